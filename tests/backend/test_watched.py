"""A running backend ends for the sake of new files only where it could begin with them."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hil.backend.installation import load_service_config
from hil.backend.keys import (
    create_backend_key,
    create_root,
    load_registrations,
    registration,
    save_registrations,
    sign_key_set,
)
from hil.backend.simulator import new_element
from hil.backend.watched import Watched

TLS = '[broker.tls]\nca = "ca.pem"\ncrl = "crl.pem"\ncertificate = "link.pem"\nkey = "link.key"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A backend's files, good as they are."""
    signing = create_backend_key(tmp_path / "backend.pem").public_key()
    root = create_root(tmp_path / "root.key", tmp_path / "root.json")
    (tmp_path / "key-set.cose").write_bytes(sign_key_set(root, [signing], version=1, now=int(time.time())))
    save_registrations(tmp_path / "terminals.json", [registration("till-1", "SHOP", "demo", new_element().public_key)])
    (tmp_path / "token").write_text("a-token-that-is-long-enough")
    (tmp_path / "short").write_text("short")
    path = tmp_path / "backend.toml"
    path.write_text(
        'store = "backend.db"\nkey = "backend.pem"\nterminals = "terminals.json"\ntoken = "token"\nport = 1\n'
        '[broker]\nhost = "127.0.0.1"\nport = 1\n'
    )
    return path


def worded(old: str, new: str) -> Callable[[Path], None]:
    """A configuration in which `new` stands for `old`."""
    return lambda config: _replace(config, config.read_text().replace(old, new))


def two_under_one_key(config: Path) -> None:
    known = load_registrations(config.parent / "terminals.json")
    again = msgspec.structs.replace(known[0], terminal="till-2")
    save_registrations(config.parent / "terminals.json", [*known, again])


def two_of_one_name(config: Path) -> None:
    known = load_registrations(config.parent / "terminals.json")
    another = registration("till-1", "SHOP", "demo", new_element().public_key)
    save_registrations(config.parent / "terminals.json", [*known, another])


def damaged_key(config: Path) -> None:
    known = load_registrations(config.parent / "terminals.json")
    damaged = msgspec.structs.replace(known[0], public_key="-----BEGIN nonsense")
    save_registrations(config.parent / "terminals.json", [damaged])


@pytest.mark.parametrize(
    "spoil",
    [
        two_under_one_key,
        two_of_one_name,
        damaged_key,
        worded('token = "token"', 'token = "short"'),
        worded('token = "token"', 'token = "missing"'),
        worded("backend.db", "mysql://shop/backend"),
        worded("backend.db", "no/such/folder/backend.db"),
        worded("[broker]", f"{TLS}[broker]"),
        worded("port = 1\n", "port = 0\n"),
    ],
    ids=[
        "two-under-one-key",
        "two-of-one-name",
        "damaged-key",
        "short-token",
        "no-token",
        "no-such-kind-of-store",
        "no-store",
        "tls",
        "port",
    ],
)
def test_a_file_it_could_not_begin_with_does_not_end_a_running_backend(
    config: Path, spoil: Callable[[Path], None]
) -> None:
    good = {path: path.read_bytes() for path in (config, config.parent / "terminals.json")}
    watched = Watched(config, 0, None)
    spoil(config)
    assert not watched.changed()
    for path, content in good.items():
        _replace(path, content.decode())
    assert watched.changed()


def test_what_cannot_be_used_is_said_once_and_taken_up_when_it_can(
    config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(config, 0, None)
    worded('token = "token"', 'token = "short"')(config)
    assert not watched.changed()
    assert not watched.changed()
    assert len(caplog.records) == 1
    # no file that is looked at
    (config.parent / "short").write_text("a-token-that-has-grown")
    assert watched.changed()


def test_another_database_is_tried_only_where_the_file_says_which(config: Path) -> None:
    given = str(config.parent / "given.db")
    watched = Watched(config, 0, given)
    worded("backend.db", "mysql://shop/backend")(config)
    assert watched.changed()
    assert load_service_config(config).store.startswith("mysql")


def _replace(path: Path, text: str) -> None:
    beside = path.with_name("beside")
    beside.write_text(text)
    beside.replace(path)
