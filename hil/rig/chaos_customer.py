"""Somebody at a till of the chaos run, and the till's own ledger of what its screen said. Simulated.

Rules kept here:
- All a customer can do is read the screen and touch it, over the terminal's control socket; they come back to it when
  the terminal was gone.
- What the screen said of a payment is told from others by the amount shown: at one till no two payments are alike.
- Every outcome a screen showed is written down, one line each.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.runtime.config import Config
from firmware.runtime.ipc import Connection, IpcError
from firmware.runtime.messages import Cancel, Event, FromCore, Status, StatusReply, Subscribe, Tap

Does = Literal["taps", "taps_twice", "cancels", "waits"]
TOUCHES: dict[Does, tuple[type[Tap] | type[Cancel], ...]] = {
    "taps": (Tap,), "taps_twice": (Tap, Tap), "cancels": (Cancel,), "waits": ()
}  # fmt: skip
BACK_S = 0.2
LISTEN_S = 0.2
ANSWER_S = 5.0


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the ledger: how a screen said that a payment ended. `shown` is what was to be confirmed."""

    terminal: str
    shown: str
    reason: str
    text: str


class Customer:
    """Stands at one till, in a thread of their own. Use as a context manager.

    Args:
        config: the terminal's.
        does: what they do where the screen shows this text to be confirmed.
        ledger: the file; appended to.
    """

    def __init__(self, config: Config, does: Callable[[str], Does], ledger: Path) -> None:
        self._config, self._does = config, does
        self._file: BinaryIO = ledger.open("ab", buffering=0)
        self._leaving, self._said = threading.Event(), threading.Condition()
        self._outcomes: dict[str, str] = {}
        self._shown: dict[int, str] = {}
        self._thread = threading.Thread(target=self._stand, name=f"customer of {config.terminal}")

    def __enter__(self) -> "Customer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        self._file.close()

    def told(self, shown: str, within_s: float) -> str:
        """Wait for the outcome of a payment, at most so long; its reason, empty where none was shown."""
        with self._said:
            self._said.wait_for(lambda: shown in self._outcomes, within_s)
            return self._outcomes.get(shown, "")

    def _stand(self) -> None:
        while not self._leaving.wait(BACK_S):
            with contextlib.suppress(TerminalError, IpcError), control(self._config) as core:
                self._watch(core)

    def _watch(self, core: "Connection[FromCore]") -> None:
        self._shown.clear()
        ask(core, Subscribe(), ANSWER_S, self._read(core))
        now: StatusReply = ask(core, Status(), ANSWER_S, self._read(core))
        if now.shown:
            self._prompted(core, now.scene, now.shown)
        while not self._leaving.is_set():
            message = core.receive(LISTEN_S)
            if isinstance(message, Event):
                self._read(core)(message)

    def _read(self, core: "Connection[FromCore]") -> Callable[[Event], None]:
        def read(event: Event) -> None:
            if event.stage == "prompt" and event.reason == "tap":
                self._prompted(core, event.scene, event.text.split(". ")[0])
            elif event.stage == "outcome":
                self._ended(event)

        return read

    def _prompted(self, core: "Connection[FromCore]", scene: int, shown: str) -> None:
        if self._shown.get(scene) == shown:
            return  # read twice: as it came, and in the status
        self._shown[scene] = shown
        for kind in TOUCHES[self._does(shown)]:
            core.send(kind(scene=scene))

    def _ended(self, event: Event) -> None:
        shown = self._shown.get(event.scene, "")
        said = Said(self._config.terminal, shown, event.reason, event.text)
        self._file.write(msgspec.json.encode(said) + b"\n")
        with self._said:
            self._outcomes[shown] = event.reason
            self._said.notify_all()
