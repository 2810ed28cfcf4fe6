"""What the screen asks of somebody who is looked at: a movement, when it is due, and what they can mend.

Rules kept here:
- Every movement is asked for together with the other way to pay, and with what Cancel does.
- A movement that is asked for stands until it is answered or its time is over, and either is said. What can be mended
  meanwhile is told once it has lasted, with the movement behind it: a laugh turns a head away for a frame.
- A movement is asked for only of a face that was just seen well: nobody answers what nobody stands there to read.
- When a prompt was shown is taken before anybody can have read it.
"""

import time
from typing import Final

from firmware.core.reasons import FALLBACK, INSTEAD, MENDABLE, MOVING, PROMPTS, REST, THANKS, sentence
from firmware.core.stand import Stand
from firmware.liveness.challenge import PromptKind
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import PENDING

LASTING: Final = 4
"""Frames in a row after which what can be mended is told although a movement is asked for."""


class Asking:
    """Asks during one look."""

    def __init__(self, stand: Stand, dynamic: Dynamic | None) -> None:
        """`dynamic`: what has movements to ask for; None where nothing does."""
        self._stand, self._dynamic = stand, dynamic
        self._asked: PromptKind | None = None
        self._tries = 0
        self._told = self._seen = ""
        self._frames = 0

    def after(self, reason: str) -> bool:
        """Ask for the movement that is due, after a frame with this finding; whether one has just been answered."""
        dynamic = self._dynamic
        if dynamic is None:
            return False
        answered = False
        if self._asked is not None and dynamic.prompt != self._asked:
            answered = dynamic.passed or dynamic.tries == self._tries
            self._asked, self._told = None, ""
            self._stand.say("prompt", *(THANKS if answered else REST))
        now_ns = time.monotonic_ns()
        if reason in ("", PENDING) and (kind := dynamic.due(now_ns)) is not None:
            self._asked, self._told, self._tries = kind, "", dynamic.tries
            dynamic.shown(now_ns)
            self._stand.say("prompt", kind, f"{PROMPTS[kind]} {INSTEAD} {FALLBACK}", at_ns=now_ns)
        return answered

    def mend(self, reason: str) -> None:
        """Say what can be mended after a frame with this finding, once."""
        self._frames = self._frames + 1 if reason == self._seen else 1
        self._seen = reason
        if reason not in MENDABLE or reason == self._told:
            return
        if self._asked is None:
            lasting, again = (LASTING if reason == MOVING else 1), ""
        elif reason == MOVING:
            return  # as asked
        else:
            lasting, again = LASTING, f" {PROMPTS[self._asked]}"
        if self._frames >= lasting:
            self._told = reason
            self._stand.say("prompt", reason, sentence(reason) + again)
