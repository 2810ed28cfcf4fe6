"""A terminal's core on a recorded verdict, for runs of thousands of payments: `python -m hil.rig.verdicts`. Simulated.

Rules kept here:
- It looks at nobody. What a frame "shows" is the finding of a frame that once decided a real session before the virtual
  camera, kept in `recorded_verdict.json`. On the wire the camera's serial says so: `recorded-verdict`.
- All else is the terminal's own: payments, outbox, keys, gallery, audit log, link process, supervisor. Nothing is
  left out of them, and only a profile that allows the rig lets this one start.
- Who is enrolled here is nobody: vectors drawn at random (`enrolled`).
- The clock that its time goes on by may be shifted, by what stands in a file (`chaos_clock`).
"""

import asyncio
from functools import partial
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Emitter
from firmware.core.__main__ import run
from firmware.core.analysis import Finding
from firmware.core.parts import Parts
from firmware.core.ports import CameraPort
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import Cue, Gate
from firmware.payment.messages import Assurance
from firmware.runtime import child
from firmware.runtime.messages import FrameReady
from firmware.vision.embed import MODALITIES, Modality
from firmware.vision.fusion import Match
from hil.rig.chaos_clock import SHIFT, boottime_of

RECORDED_FILE = "recorded_verdict.json"


class _Match(msgspec.Struct, frozen=True):
    """As an audit record has it."""

    reason: str
    llr: float
    threshold: float
    cosines: dict[Modality, float]
    ratios: dict[Modality, float]


class _Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: what it is, and the audit record of the frame that decided."""

    label: str
    reason: str
    gates: tuple[Gate, ...]
    cues: tuple[Cue, ...]
    llr: float
    match: _Match


def recorded() -> Finding:
    """The finding that is played back, for every face."""
    kept = msgspec.json.decode((files("hil.rig") / RECORDED_FILE).read_bytes(), type=_Recorded)
    match = Match(**msgspec.structs.asdict(kept.match))
    assert set(match.cosines) == set(MODALITIES)
    return Finding(kept.reason, kept.gates, kept.cues, kept.llr, match=match)


class RecordedWatch:
    """Says of every announced frame what the recorded one showed. Made as a `Watch` is."""

    dynamic: Dynamic | None = None

    def __init__(
        self,
        camera: CameraPort,
        parts: Parts,
        _template: NDArray[np.float32] | None,
        assurance: Assurance,
        _disputes: int = 0,
    ) -> None:
        """Prepare to say it. Nobody is looked at: whose templates they are makes no difference."""
        self._camera, self._finding, self._fit = camera, recorded(), assurance == "geometry"
        self.look_s = parts.profile.look_s

    async def begin(self) -> str:
        """Have the stand-in of a camera announce frames; not where movement is asked for, which the record has not."""
        if not self._fit:
            return "camera_unfit"
        return "" if await self._camera.start([Emitter(flood=1.0, dots=1.0)]) else "camera_lost"

    async def look(self, announced: FrameReady) -> Finding | None:
        """The recorded finding, for a frame of this capture."""
        return self._finding if self._camera.current(announced) else None

    async def end(self) -> None:
        """Have it stop."""
        await self._camera.stop()


def main() -> None:
    """Run core as a child of the supervisor."""
    me = child.start("core")
    if not me.profile.allow_hil:
        raise SystemExit("a recorded verdict is for profiles that allow the rig")
    elapsed = partial(boottime_of, Path(me.config.state_dir) / SHIFT)
    asyncio.run(run(me, RecordedWatch, elapsed))


if __name__ == "__main__":
    main()
