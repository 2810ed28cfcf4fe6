"""One look through the camera: capture on, frames judged one by one, capture off."""

import time

import numpy as np
from numpy.typing import NDArray

from firmware.core.analysis import Finding
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort
from firmware.liveness.gates import Freshness
from firmware.runtime.messages import FrameReady


class Watch:
    """`begin`, then `look` at announced frames, then `end`. With a template the person is recognised too."""

    def __init__(self, camera: CameraPort, parts: Parts, template: NDArray[np.float32] | None) -> None:
        self._camera, self._parts, self._template = camera, parts, template
        self._freshness = Freshness(parts.profile.stale_s)

    async def begin(self) -> str:
        """Start capture; returns the reason why it cannot, or an empty string."""
        info = self._camera.info
        if info is None:
            return "camera_lost"
        if self._parts.profile.require_flood and not info.flood:
            return "camera_unfit"
        return "" if await self._camera.start() else "camera_lost"

    async def end(self) -> None:
        """Stop capture."""
        await self._camera.stop()

    def look(self, announced: FrameReady) -> Finding | None:
        """Judge an announced frame; None if it was overwritten before it could be read."""
        frames = self._camera.frames(announced)
        if frames is None:
            return None
        finding = self._parts.analyst.look(frames, self._freshness, time.monotonic_ns())
        if finding.reason or self._template is None:
            return finding
        return self._parts.analyst.recognise(finding, self._template)
