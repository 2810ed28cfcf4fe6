"""One look through the camera: capture on, frames judged one by one, capture off.

Judging runs beside the event loop, which goes on beating the emitter's heart and hearing Cancel: on a slow board a
decision takes longer than the light may burn without a heartbeat.

Rules kept here:
- Every capture is lit by a draw of its own, from the secure element, and read against that draw and nothing else.
- Evidence is of the claimed person alone: a frame of another, or one that was overwritten, begins it anew.
- A draw is spent after `SYMBOLS` cycles; a first cycle that was lost shifts all others. Both are mended by capturing
  anew, a bounded number of times: every wrong answer counts all the same.
"""

import asyncio
import time

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Emitter, FrameSet
from firmware.core.analysis import Finding
from firmware.core.errors import TerminalError
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort
from firmware.liveness.code import SYMBOLS, Drawn
from firmware.liveness.look import Look
from firmware.runtime.messages import CameraFault, FrameReady

# Without one frame that outlived its judgement for this long, the camera is too fast for us.
OVERRUN_S = 0.8
# Judging one frame takes a tenth of a second. One that takes this long will not end: a defect, which ends the process.
JUDGE_S = 5.0
# The longest look, an enrolment of five poses, needs 24 at 15 frames a second.
CAPTURES = 26
# Captures begun anew because the code was wrong from their start.
REALIGNED = 2


class Watch:
    """`begin`, then `look` at announced frames, then `end`. With a template the person is recognised too."""

    def __init__(self, camera: CameraPort, parts: Parts, template: NDArray[np.float32] | None) -> None:
        self._camera, self._parts, self._template = camera, parts, template
        self._look: Look | None = None
        self._intact_at: float | None = None
        self._captures = self._realigned = 0
        self._last = -1
        self._answered = False

    async def begin(self) -> str:
        """Start capture; returns the reason why it cannot, or an empty string."""
        info = self._camera.info
        if info is not None and self._parts.profile.require_flood and not info.flood:
            return "camera_unfit"
        return "" if await self._capture() else "camera_lost"

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
            self._overrun()
            return None
        self._intact_at = time.monotonic()
        await self._renew(announced.sequence, finding)
        return finding

    async def _capture(self) -> bool:
        """Begin a capture under a new draw."""
        drawn = Drawn(self._parts.element.random)
        self._look = Look(self._parts.basis, drawn, self._parts.profile.stale_s)
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
        finding = self._parts.analyst.look(frames, look, time.monotonic_ns())
        if self._template is None:
            return finding
        recognised = self._parts.analyst.recognise(finding, self._template)
        if recognised.reason != finding.reason:
            # life of one and the face of another, in turns: who answers must be the one who was claimed
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
