"""One look through the camera: capture on, frames judged one by one, capture off.

Judging runs beside the event loop, which goes on beating the emitter's heart and hearing Cancel: on a slow board a
decision takes longer than the light may burn without a heartbeat.

Rules kept here:
- Every capture is lit by a draw of its own, from the secure element, and read against that draw and nothing else.
- Evidence is of the claimed person alone: a frame of another, or one that was overwritten, begins it anew.
- An enrolment claims nobody. Whoever it saw first is who is claimed from then on, and evidence is of them alone.
- Evidence of motion is the session's: a prompt that was shown stays spent, however often a capture is begun anew.
- A draw is spent after `SYMBOLS` cycles; a first cycle that was lost shifts all others. Both are mended by capturing
  anew, a bounded number of times: every wrong answer counts all the same.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Emitter, FrameSet
from firmware.core.analysis import IDENTIFIED, Finding
from firmware.core.errors import TerminalError
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort
from firmware.core.reasons import ANOTHER, MOVING
from firmware.liveness.challenge import TRIES, WAIT_S, WINDOW_S
from firmware.liveness.code import SYMBOLS, Drawn
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.look import Look
from firmware.payment.messages import Assurance
from firmware.runtime.messages import CameraFault, FrameReady
from firmware.vision.embed import MODALITIES

# Without one frame that outlived its judgement for this long, the camera is too fast for us.
OVERRUN_S = 0.8
# Judging one frame takes a tenth of a second. One that takes this long will not end: a defect, which ends the process.
JUDGE_S = 5.0
# The longest look, an enrolment of five poses, needs 48 at 15 frames a second.
CAPTURES = 50
# A decade of false matches, nats: `Judge` adds log-likelihood ratios.
DECADE = math.log(10)
# Captures begun anew because the code was wrong from their start.
REALIGNED = 2
# Of a look with prompts: until the face is at rest, and from the answer on.
AROUND_S = 4.0


class Watching(Protocol):
    """What looks at somebody who pays: a `Watch`; in a rig without a camera, a recorded verdict that says so."""

    @property
    def dynamic(self) -> Dynamic | None:
        """Evidence of motion, where any is asked for."""

    @property
    def look_s(self) -> float:
        """How long somebody has to be judged, seconds."""

    async def begin(self) -> str:
        """Start; returns the reason why it cannot, or an empty string."""

    async def look(self, announced: FrameReady) -> Finding | None:
        """What an announced frame shows; None where it shows nothing any more."""

    async def end(self) -> None:
        """Stop."""


MakeWatch: TypeAlias = Callable[[CameraPort, Parts, NDArray[np.float32], Assurance, int], Watching]
"""As `Watch` is made: who looks, parts, template of the claimed person, assurance, disputes."""


class Watch:
    """`begin`, then `look` at announced frames, then `end`. With a template the person is recognised too.

    Without one nobody is claimed, and only faces at rest are good frames: templates are made of them.

    Attributes:
        dynamic: evidence of motion, where any is asked for.
    """

    def __init__(
        self,
        camera: CameraPort,
        parts: Parts,
        template: NDArray[np.float32] | None,
        assurance: Assurance,
        disputes: int = 0,
    ) -> None:
        """Prepare to look; nothing is captured yet.

        Args:
            camera: looks.
            parts: of the terminal.
            template: of the claimed person.
            assurance: the evidence of life that is wanted; the terminal's policy may want more.
            disputes: how often somebody was wrongly taken for this person: each asks for ten times the evidence.
        """
        self._stricter = disputes * DECADE
        self._camera, self._parts, self._template = camera, parts, template
        self._posing = template is None
        basis = parts.basis
        policy = basis.policy if assurance == "geometry" else basis.policy.asking()
        # what is typed is asked for after the look (`keypad`)
        self._basis = replace(basis, policy=msgspec.structs.replace(policy, pin=False))
        asks = self._basis.policy.dynamic != "asked"
        self.dynamic = Dynamic(basis.limits, self._basis.policy, parts.element.random) if asks else None
        self._look: Look | None = None
        self._intact_at: float | None = None
        self._captures = self._realigned = 0
        self._last = -1
        self._answered = False

    @property
    def look_s(self) -> float:
        """How long somebody has to be judged, seconds: time for every try of every prompt."""
        if self.dynamic is None:
            return self._parts.profile.look_s
        prompts_s = TRIES * (1 + self._basis.policy.turns) * (WAIT_S[1] + WINDOW_S)
        return max(self._parts.profile.look_s, AROUND_S + prompts_s)

    async def begin(self) -> str:
        """Start capture; returns the reason why it cannot, or an empty string."""
        info = self._camera.info
        if info is not None and self._parts.profile.require_flood and not info.flood:
            return "camera_unfit"
        return "" if await self._capture() else "camera_lost"

    def claim(self, template: NDArray[np.float32]) -> None:
        """From the next frame on it must be this person: who is being enrolled."""
        self._template = template

    async def end(self) -> None:
        """Stop capture."""
        await self._camera.stop()

    async def look(self, announced: FrameReady) -> Finding | None:
        """Judge an announced frame where it lies; None if it was overwritten before it had been judged.

        Raises TerminalError: it cannot be judged within `JUDGE_S`.
        """
        if self._look is None or not self._camera.current(announced):
            return None
        frames = self._camera.view(announced)
        if frames is None:
            self._overrun()
            return None
        try:
            finding = await asyncio.wait_for(asyncio.to_thread(self._judge, frames, self._look), JUDGE_S)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise TerminalError(f"frame {announced.sequence} could not be judged within {JUDGE_S:g} s") from error
        if not self._camera.intact(announced):
            # nor may it have answered anything
            self._look.interrupted()
            if self.dynamic is not None:
                self.dynamic.unsee(announced.timestamp_ns)
            self._overrun()
            return None
        self._intact_at = time.monotonic()
        await self._renew(announced.sequence, finding)
        return finding

    async def _capture(self) -> bool:
        """Begin a capture under a new draw."""
        drawn = Drawn(self._parts.element.random)
        self._look = Look(self._basis, drawn, self._parts.profile.stale_s, self.dynamic)
        self._captures += 1
        self._last, self._answered = -1, False
        return await self._camera.start([Emitter(flood=level, dots=1.0) for level in drawn.levels])

    async def _renew(self, sequence: int, finding: Finding) -> None:
        """Capture anew where the draw will be spent by the next frame, or was never answered."""
        code = next((gate for gate in finding.gates if gate.name == "code"), None)
        self._answered |= code is not None and code.passed
        lost = code is not None and code.reason == "code_wrong" and not self._answered and self._realigned < REALIGNED
        # frames come as far apart as the last two did
        spent = sequence + max(sequence - self._last, 1) >= SYMBOLS
        self._last = sequence
        if self._camera.ended_by is not None or self._captures >= CAPTURES or not (spent or lost):
            return
        self._realigned += lost
        await self._camera.stop()
        await self._capture()

    def _judge(self, frames: FrameSet, look: Look) -> Finding:
        """Life and identity of one frame.

        Life of one and the face of another, in turns: who answers must be the one who was claimed. So a face that is
        not recognised takes away all that was shown, motion too. A face that does what it was asked to may for the
        moment be hard to recognise; while its lower part is deformed and it still resembles the person more than
        anybody (a likelihood ratio above one), nothing is taken away and nothing is decided. That does not help an
        accomplice who smiles in place of a printed head: their face at rest is another's and takes everything away,
        motion is held against the shape of the very face that was there at rest (`Dynamic`), where what does not move
        must fit, and the frames that decide, all in a row, are of a recognised face again. Of a frame that does not
        tell who it is no motion counts.
        """
        finding = self._parts.analyst.look(frames, look, time.monotonic_ns())
        still = self.dynamic is None or self.dynamic.still
        if self._template is None:
            if self.dynamic is not None and not shows_who(finding):
                self.dynamic.unsee(frames.timestamp_ns)
            return _at_rest(finding, still)
        recognised = self._parts.analyst.recognise(finding, self._template, self._stricter)
        if self.dynamic is not None and recognised.reason not in (*IDENTIFIED, *ANOTHER):
            self.dynamic.unsee(frames.timestamp_ns)
        if recognised.reason == finding.reason:
            return _at_rest(recognised, still) if self._posing else recognised
        if not still and recognised.reason in ANOTHER and recognised.match is not None and recognised.match.llr > 0:
            return replace(recognised, reason=MOVING)
        if recognised.reason in ANOTHER:
            look.another()
        elif not self._posing:
            look.interrupted()
        return recognised

    def _overrun(self) -> None:
        """Throw a finding away; where that goes on, the capture is lost."""
        now = time.monotonic()
        self._intact_at = self._intact_at or now
        silent_s = now - self._intact_at
        if silent_s >= OVERRUN_S:
            detail = f"no frame outlived its judgement for {OVERRUN_S:g} s"
            self._camera.end_capture(CameraFault(cause="overrun", detail=detail), silent_s)


def shows_who(finding: Finding) -> bool:
    """Whether there is a face that can be told from others, in both modalities, and nothing speaks against it."""
    return finding.reason in IDENTIFIED and finding.embedded is not None and finding.embedded.seen == MODALITIES


def _at_rest(finding: Finding, still: bool) -> Finding:
    """The same; a good frame in which the face does something is none: templates are of a face at rest."""
    return finding if still or finding.reason else replace(finding, reason=MOVING)
