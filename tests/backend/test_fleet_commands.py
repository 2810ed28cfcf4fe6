"""What whoever runs the backend types: errors that name the file and leave nothing behind, views for any screen."""

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import httpx
import msgspec
import pytest
from typer.testing import CliRunner, Result

from drivers.secure_element.request import certificate_request
from firmware.payment.errors import PaymentError
from hil.backend import command, fleet_command
from hil.backend.command import backend
from hil.backend.fleet_view import COLUMNS, FleetView, TerminalView, row
from hil.backend.installation import load_service_config
from hil.backend.keys import create_backend_key, create_root, load_registrations, replace, sign_key_set
from hil.backend.service import serve
from hil.backend.simulator import new_element
from hil.rig.brokers import free_port

TILL = TerminalView(
    "till-1", "CORNER-SHOP", "online", 1_800_000_000, "counts", 11, "rig", "0.1.0", "ab" * 32, "virtual"
)
FLEET = FleetView(
    at=1_800_000_060, key_set=3, online=1, unheard=0, waiting=0, people=12, people_alarm=False, alarm="",
    terminals=(TILL,),
)  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A backend's file, and `till-1.pem`, which a terminal's device key signed."""
    (tmp_path / "till-1.pem").write_bytes(certificate_request(new_element(), "till-1"))
    file = tmp_path / "backend.toml"
    file.write_text(
        'store = "backend.db"\nkey = "backend.key"\nterminals = "terminals.json"\ntoken = "token"\nport = 8080\n'
        '[broker]\nhost = "127.0.0.1"\nport = 1883\n'
    )
    return file


def terminals(config: Path, *words: str) -> Result:
    return CliRunner().invoke(backend, ["terminals", *words, "--config", str(config)])


def registered(config: Path, profile: str) -> Result:
    request = str(config.with_name("till-1.pem"))
    return terminals(config, "register", "till-1", "--merchant", "SHOP", "--profile", profile, "--request", request)


def test_a_terminal_is_not_registered_for_a_profile_that_nothing_is_approved_of(config: Path) -> None:
    refused = registered(config, "rgi")
    assert isinstance(refused.exception, PaymentError)
    assert "demo, rig" in str(refused.exception)
    assert not config.with_name("terminals.json").exists()


def test_a_merchant_or_a_profile_given_wrong_is_corrected_and_the_key_stays(config: Path) -> None:
    assert registered(config, "demo").exit_code == 0
    (before,) = load_registrations(config.with_name("terminals.json"))
    assert terminals(config, "correct", "till-1", "--profile", "rig", "--merchant", "OTHER").exit_code == 0
    assert isinstance(terminals(config, "correct", "till-1", "--profile", "rgi").exception, PaymentError)
    (after,) = load_registrations(config.with_name("terminals.json"))
    assert after == msgspec.structs.replace(before, profile="rig", merchant="OTHER")


@pytest.mark.parametrize("part", ["root.key", "root.json"])
def test_a_root_made_on_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    _fill_disk(monkeypatch, part)
    with pytest.raises(PaymentError, match=f"{part}: No space left on device"):
        create_root(tmp_path / "root.key", tmp_path / "root.json")
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaced_on_a_full_disk_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(tmp_path / "ca.crl", b"before")
    _fill_disk(monkeypatch, "root.json")
    with pytest.raises(PaymentError, match=r"ca\.crl: No space left on device"):
        replace(tmp_path / "ca.crl", b"after")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("ca.crl", b"before")]


def _fill_disk(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Have no room for a private key (`root.key`), or else for other files."""

    def half(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def closed(handle: int, mode: str) -> None:
        os.close(handle)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if part == "root.key":
        monkeypatch.setattr(os, "fdopen", closed)
    else:
        monkeypatch.setattr(Path, "write_bytes", half)


@contextmanager
def refused(config: Path, *, why: str) -> Iterator[None]:
    """`tessera backend run` ends with this, and starts nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "supervise", Mock(side_effect=AssertionError("started")))
        said = CliRunner().invoke(backend, ["run", "--config", str(config)])
    assert isinstance(said.exception, PaymentError), said.exception
    assert re.search(why, str(said.exception))
    yield


@pytest.fixture
def ready(config: Path) -> Path:
    """A backend that can begin."""
    root = create_root(config.with_name("root.key"), config.with_name("root.json"))
    key = create_backend_key(config.with_name("backend.key")).public_key()
    config.with_name("key-set.cose").write_bytes(sign_key_set(root, [key], version=1, now=int(time.time())))
    config.with_name("terminals.json").write_text("[]")
    config.with_name("token").write_text("a-register-token-of-the-test")
    config.write_text(config.read_text().replace("8080", str(free_port())))
    return config


@pytest.mark.parametrize("absent", ["backend.key", "key-set.cose", "root.json", "terminals.json", "token"])
def test_a_backend_that_can_never_begin_ends_instead_of_starting_again_and_again(ready: Path, absent: str) -> None:
    ready.with_name(absent).unlink()
    with refused(ready, why=absent):
        assert not ready.with_name("backend.db").exists()


def test_a_backend_whose_store_is_no_database_ends(ready: Path) -> None:
    ready.with_name("backend.db").write_text("no database" * 1000)
    with refused(ready, why="not a database"):
        pass


def test_a_second_backend_ends_before_it_takes_the_first_ones_place_at_the_broker(ready: Path) -> None:
    port = load_service_config(ready).port
    with socket.create_server(("127.0.0.1", port)):
        with refused(ready, why=f"port {port}: Address already in use"):
            pass
        # the broker's port is closed: had it been tried first, it would be told of instead
        with pytest.raises(PaymentError, match=f"port {port}: Address already in use"):
            serve(ready)


def test_a_database_that_is_away_when_the_backend_begins_is_waited_for(ready: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "supervise", supervised := Mock())
        words = ["run", "--config", str(ready), "--database", "postgresql://u@127.0.0.1:1/x"]
        assert CliRunner().invoke(backend, words, catch_exceptions=False).exit_code == 0
    supervised.assert_called_once()


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, answer: httpx.Response) -> Result:
    """`tessera backend fleet` on a screen this wide."""

    @contextmanager
    def calling(_register: str, _token: Path) -> Iterator[httpx.Client]:
        with httpx.Client(transport=httpx.MockTransport(lambda _: answer), base_url="http://register") as http:
            yield http

    monkeypatch.setattr(fleet_command, "calling", calling)
    words = ["fleet", "--register", "http://register", "--token", "token"]
    return CliRunner().invoke(backend, words, env={"COLUMNS": str(columns)})


@pytest.mark.parametrize("columns", [40, 80, 400])
def test_the_fleet_can_be_read_on_a_screen_of_any_width(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    said = shown(monkeypatch, columns, httpx.Response(200, content=msgspec.json.encode(FLEET))).output
    assert "…" not in said
    assert max(len(line) for line in said.splitlines()) <= columns
    words = " ".join(said.split())
    for word in (*COLUMNS, *row(TILL)):
        assert word in words


def test_a_fleet_that_cannot_be_told_is_refused_in_the_registers_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    away = httpx.Response(503, json={"code": "storage", "detail": "the database is away; ask again"})
    assert "503 storage the database is away; ask again" in str(shown(monkeypatch, 80, away).exception)
