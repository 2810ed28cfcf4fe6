"""Streams fed past the sensor: replayed session, cloned serial, spliced, relit recording.

Whoever injects frames sits between camera and core: an earlier recording of the victim (`past`) goes in where the
terminal's own frames (`live`, of the attacker before the camera) were due. What makes a frame current (its number,
its time) is written by the injector and proves nothing; what it knows of the light is what each species is about.
ISO/IEC 30107 ends at the sensor; these are injection attacks, the matter of CEN/TS 18099.

Rules kept here:
- A stream has a frame for every live one, until the recording ends.
- Nothing in it is younger than the live frame it stands for: an injector cannot see the future.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from hil.artefacts.instrument import Limit, Limits, settle

DARKEST = 0.05  # a flood level below this leaves too little to scale up from

Frames = Sequence[FrameSet]


@dataclass(frozen=True)
class Stream:
    """One kind of injection.

    Attributes:
        name: as commands and reports name it.
        does: what goes in where live frames were due.
        access: what the attacker has.
        level: effort class, as of a species.
        cost_eur: material, rough guess, at least and at most.
        stops: what is there to stop it.
        not_modelled: what it leaves out.
        make: from (past, live) and parameters to the frames injected.
        parameters: with their limits.
    """

    name: str
    does: str
    access: str
    level: Literal["A", "B", "C"]
    cost_eur: tuple[int, int]
    stops: str
    not_modelled: str
    make: Callable[..., Iterator[FrameSet]]
    parameters: Limits = field(default_factory=dict)

    def inject(self, past: Frames, live: Frames, **parameters: float) -> Iterator[FrameSet]:
        """The frames that core receives instead of `live`. Raises ArtefactError for impossible parameters."""
        return self.make(past, live, **settle(self.name, self.parameters, parameters))


def replayed(past: Frames, live: Frames, *, start: float) -> Iterator[FrameSet]:
    """A session once recorded at this terminal, from frame `start` on, with its own light and its own claims of it."""
    for old, due in zip(past[int(start) :], live, strict=False):
        yield replace(old, sequence=due.sequence, timestamp_ns=due.timestamp_ns)


def cloned(past: Frames, live: Frames) -> Iterator[FrameSet]:
    """Another camera's frames of the victim, under this terminal's serial and claiming the light commanded now."""
    for old, due in zip(past, live, strict=False):
        yield _under(old, due)


def spliced(past: Frames, live: Frames, *, live_share: float, turns: float) -> Iterator[FrameSet]:
    """Life from one, the face from another: of each of `turns` equal parts the first `live_share` is the attacker's."""
    part = max(1, round(len(live) / turns))
    for place, (old, due) in enumerate(zip(past, live, strict=False)):
        yield due if place % part < live_share * part else _under(old, due)


def relit(past: Frames, live: Frames, *, delay_frames: float) -> Iterator[FrameSet]:
    """The victim's frames, lit anew to the level seen `delay_frames` ago: flood scaled over the recorded dark."""
    delay = int(delay_frames)
    for place, (old, due) in enumerate(zip(past, live, strict=False)):
        seen = live[max(0, place - delay)].emitter
        ir = _scaled(old.ir, old.ambient, seen.flood, old.emitter.flood)
        dots = None if old.dots is None else _scaled(old.dots, old.ambient, seen.dots, old.emitter.dots)
        yield replace(_under(old, due), ir=ir, dots=dots)


def _under(old: FrameSet, due: FrameSet) -> FrameSet:
    """The images of `old` with everything else as of the frame that is due."""
    return replace(
        due,
        ir=old.ir,
        depth_mm=old.depth_mm,
        ambient=old.ambient,
        dots=old.dots,
        intrinsics=old.intrinsics,
        exposure_us=old.exposure_us,
        gain=old.gain,
    )


def _scaled(image: NDArray[Any], dark: NDArray[Any] | None, level: float, recorded: float) -> NDArray[Any]:
    """`image` as if lit at `level` instead of `recorded`."""
    below = np.float32(0) if dark is None else dark.astype(np.float32)
    lit = below + (image.astype(np.float32) - below) * np.float32(level / max(recorded, DARKEST))
    readable: NDArray[Any] = np.clip(np.round(lit), 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return readable


STREAMS: Mapping[str, Stream] = MappingProxyType(
    {
        stream.name: stream
        for stream in (
            Stream(
                name="replayed_session",
                does="an earlier session at this terminal, numbered and dated anew",
                access="frames of an earlier session at this terminal, and the line between camera and core",
                level="C",
                cost_eur=(50, 500),
                stops="the emitter code: the recording answers an old one",
                not_modelled="re-encoding losses on the line",
                make=replayed,
                parameters={"start": Limit(0, 30, 0, "frames", whole=True)},
            ),
            Stream(
                name="cloned_serial",
                does="another camera's frames of the victim, under this terminal's serial, claiming the light "
                "commanded now",
                access="another camera of the same make, the victim before it, and the line to core",
                level="C",
                cost_eur=(50, 500),
                stops="the emitter code; the serial is a misconfiguration check only",
                not_modelled="geometry of the other camera where it differs",
                make=cloned,
            ),
            Stream(
                name="spliced",
                does="life from an accomplice, the face from a recording, in turns",
                access="as the replayed session, and a living accomplice before the camera",
                level="C",
                cost_eur=(50, 500),
                stops="the emitter code, depth and identity held over the whole window",
                not_modelled="blending between the two",
                make=spliced,
                parameters={"live_share": Limit(0.1, 0.9, 0.5), "turns": Limit(1, 8, 1, whole=True)},
            ),
            Stream(
                name="relit",
                does="a recording lit anew to the code seen 0, 1 or 2 frames ago",
                access="as the replayed session, and a light sensor before the emitter",
                level="C",
                cost_eur=(50, 500),
                stops="at a delay, the emitter code; without one, nothing in the frames: only a camera that cannot be "
                "unplugged",
                not_modelled="noise that grows with light: scaling keeps that of the recording",
                make=relit,
                parameters={"delay_frames": Limit(0, 2, 1, "frames", whole=True)},
            ),
        )
    }
)
