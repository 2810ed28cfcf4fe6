"""A running backend ends for the sake of new files only where it could begin with them; a revocation waits for none."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from hil.backend import registry
from hil.backend.beginning import prepare
from hil.backend.command import backend
from hil.backend.installation import load_service_config
from hil.backend.keys import (
    KEY_SET_LIFE_S,
    create_backend_key,
    create_root,
    load_backend_key,
    load_registrations,
    registration,
    replace,
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


def no_token(config: Path) -> None:
    (config.parent / "token").unlink()


def ended_key_set(config: Path) -> None:
    signing, root = (load_backend_key(config.parent / name) for name in ("backend.pem", "root.key"))
    long_ago = int(time.time()) - 2 * KEY_SET_LIFE_S
    replace(config.parent / "key-set.cose", sign_key_set(root, [signing.public_key()], version=2, now=long_ago))


def lost_database(config: Path) -> None:
    (config.parent / "backend.db").mkdir()


def unlike(config: Path, **changes: object) -> None:
    """The list with till-1 changed, written by hand."""
    listed = config.parent / "terminals.json"
    save_registrations(listed, [msgspec.structs.replace(each, **changes) for each in load_registrations(listed)])


def revoked(config: Path) -> None:
    registry.revoke(config.parent / "terminals.json", "till-1")


def missing(config: Path) -> None:
    save_registrations(config.parent / "terminals.json", [])


def another_key(config: Path) -> None:
    unlike(config, public_key=registration("till-1", "SHOP", "demo", new_element().public_key).public_key)


def another_merchant(config: Path) -> None:
    unlike(config, merchant="OTHER")


def no_port(config: Path) -> None:
    worded("port = 1\n", "port = 0\n")(config)


@pytest.mark.parametrize("spoil", [no_token, ended_key_set, lost_database, no_port])
def test_a_revocation_counts_at_once_whatever_other_file_cannot_be_used(
    config: Path, spoil: Callable[[Path], None]
) -> None:
    watched = Watched(config, 0, None)
    known = watched.begin().installation.terminals
    (kid,) = known.kids
    spoil(config)
    assert not watched.changed()
    assert known.resolve(kid)
    revoked(config)
    assert not watched.changed()
    assert [each.revoked for each in known.registrations] == [True]
    with pytest.raises(PaymentError, match="revoked"):
        known.resolve(kid)


@pytest.mark.parametrize("take", [missing, another_key])
def test_a_key_that_is_listed_no_longer_is_taken_away_and_none_is_added(
    config: Path, take: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(config, 0, None)
    known = watched.begin().installation.terminals
    (kid,) = known.kids
    no_token(config)
    take(config)
    assert not watched.changed()
    with pytest.raises(PaymentError, match="revoked"):
        known.resolve(kid)
    assert known.kids == {kid}
    watched.changed()
    assert "till-1: its key counts no longer" in caplog.messages
    assert len(caplog.messages) == 2, "each is said once"


@pytest.mark.parametrize("spoil", [two_of_one_name, damaged_key, another_merchant])
def test_a_list_that_cannot_be_read_or_that_only_adds_takes_nothing_away(
    config: Path, spoil: Callable[[Path], None]
) -> None:
    watched = Watched(config, 0, None)
    known = watched.begin().installation.terminals
    no_token(config)
    spoil(config)
    assert not watched.changed()
    assert [(each.merchant, each.revoked) for each in known.registrations] == [("SHOP", False)]


def test_what_was_tried_is_what_it_begins_with_though_a_file_is_spoilt_in_between(config: Path) -> None:
    watched = Watched(config, 0, None)
    first = watched.begin()
    another_merchant(config)
    assert watched.changed()
    worded("port = 1\n", "half wri")(config)
    assert watched.changed(), "there is still something newer"
    second = watched.begin()
    merchants = [[each.merchant for each in of.installation.terminals.registrations] for of in (first, second)]
    assert merchants == [["SHOP"], ["OTHER"]]
    assert not watched.changed()


def test_a_revocation_while_it_begins_anew_counts_for_what_it_begins_with(config: Path) -> None:
    watched = Watched(config, 0, None)
    watched.begin()
    another_merchant(config)
    assert watched.changed()
    no_token(config)
    revoked(config)
    assert watched.changed()
    (known,) = watched.begin().installation.terminals.registrations
    assert (known.merchant, known.revoked) == ("OTHER", True)


def test_revoking_says_what_would_keep_a_backend_from_beginning(config: Path) -> None:
    words = ["terminals", "revoke", "till-1", "--config", str(config)]
    said = CliRunner().invoke(backend, words, catch_exceptions=False)
    assert (said.exit_code, "none can begin" in said.output) == (0, False)
    no_token(config)
    said = CliRunner().invoke(backend, words, catch_exceptions=False)
    assert said.exit_code == 0
    assert "till-1: its key no longer counts" in said.output
    assert "No such file or directory" in " ".join(said.output.split())


def _replace(path: Path, text: str) -> None:
    beside = path.with_name("beside")
    beside.write_text(text)
    beside.replace(path)


def test_a_file_of_tls_that_is_not_there_is_named_as_the_backends_own_configuration_does(config: Path) -> None:
    worded("[broker]", f"{TLS}[broker]")(config)
    with pytest.raises(LinkError, match=r"^broker\.tls\.ca: .*/ca\.pem: No such file"):
        prepare(config, 0, None)
