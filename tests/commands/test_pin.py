"""`tessera pin`: what is typed is typed unseen, goes to the scene that asked for it, and is no argument."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from firmware.commands import pin as module
from firmware.core.errors import TerminalError
from firmware.runtime.messages import Pin, SetPin, Status

DIGITS = "907133846512"


class Core:
    """In place of the control socket: notes what is asked of it."""

    def __init__(self) -> None:
        self.typing, self.asked = True, list[Any]()

    @contextmanager
    def connection(self, *_: object) -> Iterator["Core"]:
        yield self

    def ask(self, _: object, request: Any, *__: object, **___: object) -> Any:
        self.asked.append(request)
        return SimpleNamespace(typing=self.typing, scene=7, detail="")


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    core = Core()
    for name in ("control", "signed_in"):
        monkeypatch.setattr(module, name, core.connection)
    monkeypatch.setattr(module, "ask", core.ask)
    monkeypatch.setattr(module, "load_config", lambda _: (None, None))
    return core


def enter(typed: str) -> Result:
    return CliRunner().invoke(module.pin, ["enter", "--config", "terminal.toml"], input=typed + "\n")


def test_it_goes_to_the_scene_that_asked_and_is_not_shown(core: Core) -> None:
    result = enter(DIGITS)
    assert result.exit_code == 0
    assert core.asked == [Status(), Pin(scene=7, digits=DIGITS)]
    assert DIGITS not in result.output


@pytest.mark.parametrize("typed", ["123", "1234567890123", "12 34", "12a4", "٣٤٥٦"])
def test_what_is_no_pin_is_not_sent_and_not_shown(core: Core, typed: str) -> None:
    result = enter(typed)
    assert isinstance(result.exception, TerminalError)
    assert core.asked == [Status()]
    assert typed not in f"{result.output}{result.exception}"


def test_nobody_is_asked_to_type_where_the_terminal_asks_for_none(core: Core) -> None:
    core.typing = False
    result = enter(DIGITS)
    assert isinstance(result.exception, TerminalError)
    assert "PIN:" not in result.output


def test_digits_are_no_argument_and_no_file() -> None:
    """Both are kept in places that others read: a shell's history, the list of processes, a disk."""
    assert set(inspect.signature(module.enter).parameters) == {"config"}
    assert set(inspect.signature(module.set_pin).parameters) == {"person", "mandate", "config", "who", "file"}


def test_the_operator_hands_over_the_mandate_and_nothing_else(core: Core, tmp_path: Path) -> None:
    mandate = tmp_path / "pin.cose"
    mandate.write_bytes(b"a mandate")
    arguments = ["set", "0011223344556677", "--mandate", str(mandate), "--config", "terminal.toml", "--as", "op"]
    assert CliRunner().invoke(module.pin, arguments).exit_code == 0
    assert core.asked == [SetPin(person="0011223344556677", mandate=b"a mandate")]
