"""A recorded session played into a terminal's own core: the right serial, a living face, the light of another draw."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from drivers.camera import CameraInfo, Emitter, FrameSet
from drivers.camera.recording import RecordingCamera
from firmware.core.parts import Parts, open_analyst
from firmware.core.ports import CameraPort
from firmware.core.reasons import ATTACKS
from firmware.core.session import REFUSE_AFTER
from firmware.core.watch import Watch
from firmware.liveness.code import LEVELS, Drawn
from firmware.liveness.look import load_basis
from firmware.runtime.config import load_profile
from firmware.runtime.messages import CameraFault, FrameReady
from firmware.runtime.ring import announcement
from hil.rig.render import code_of, render
from hil.rig.scenario import take_of

FRAMES = 24
SEED = 11


class Injector:
    """A port that hands over recorded frames whatever is commanded; `lie` makes them claim the light commanded now."""

    ended_by: CameraFault | None = None

    def __init__(self, frames: list[FrameSet], lie: bool) -> None:
        self._frames, self._lie = frames, lie
        self.info: CameraInfo = frames[0].camera
        self._levels: tuple[Emitter, ...] = ()
        self.capture = 0

    async def start(self, levels: Sequence[Emitter]) -> bool:
        self._levels, self.capture = tuple(levels), self.capture + 1
        return True

    async def stop(self) -> None: ...

    def current(self, announced: FrameReady) -> bool:
        return announced.capture == self.capture

    def view(self, announced: FrameReady) -> FrameSet:
        frames = self._frames[announced.timestamp_ns]
        emitter = self._levels[announced.sequence] if self._lie else frames.emitter
        return replace(frames, sequence=announced.sequence, emitter=emitter)

    def intact(self, _: FrameReady) -> bool:
        return True


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[FrameSet]:
    path = tmp_path_factory.mktemp("session") / "session.mcap"
    take = take_of(out=path.name, person="makehuman-3", seconds=FRAMES / 15, fps=15.0, seed=SEED)
    assert list(render(take, path))[-1] == FRAMES
    with closing(RecordingCamera(path)) as camera:
        camera.start([Emitter(1.0, 1.0)])
        return list(camera.frames())


def looked(
    recorded: list[FrameSet], models_dir: Path, random: bytes, lie: bool, clock: pytest.MonkeyPatch
) -> list[str]:
    """The reasons core gives, frame by frame, when the secure element draws `random`."""
    port = Injector(recorded, lie)
    analyst = open_analyst(load_profile("demo"), models_dir)[0]
    parts = SimpleNamespace(
        analyst=analyst,
        basis=load_basis("demo"),
        profile=load_profile("demo"),
        element=SimpleNamespace(random=lambda size: random[:size]),
    )
    watch, reasons = Watch(cast("CameraPort", port), cast("Parts", parts), None, "geometry"), []

    async def scenario() -> None:
        assert await watch.begin() == ""
        sequence, capture = 0, port.capture
        for place, frames in enumerate(recorded):
            if port.capture != capture:
                sequence, capture = 0, port.capture
            clock.setattr("firmware.core.watch.time.monotonic_ns", lambda at=frames.timestamp_ns: at)
            announced = announcement(replace(frames, sequence=sequence, timestamp_ns=place), 0, capture)
            finding = await watch.look(announced)
            assert finding is not None
            # a level far from the one drawn also makes the skin too bright or too dark
            assert finding.reason in ("", "gathering", "code_wrong", "not_alive", "not_skin"), finding
            reasons.append(finding.reason)
            sequence += 1

    asyncio.run(scenario())
    return reasons


def packed(levels: Sequence[float]) -> bytes:
    """The random bytes that a draw of `levels` is made of."""
    return sum(LEVELS.index(level) << (2 * place) for place, level in enumerate(levels)).to_bytes(16, "big")


ANOTHER_DRAW = packed(code_of(SEED + 1, 64))


@pytest.fixture(scope="module")
def replayed(recorded: list[FrameSet], models_dir: Path) -> list[str]:
    """The session played in again, under another draw than it was filmed in."""
    with pytest.MonkeyPatch.context() as clock:
        return looked(recorded, models_dir, ANOTHER_DRAW, False, clock)


def test_a_session_played_in_again_is_refused(replayed: list[str]) -> None:
    assert "code_wrong" in replayed
    assert sum(reason in ATTACKS for reason in replayed) >= REFUSE_AFTER
    assert "" not in replayed


def test_frames_that_lie_about_their_light_change_nothing(
    recorded: list[FrameSet], replayed: list[str], models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: every frame claims to have been lit as commanded just now."""
    assert looked(recorded, models_dir, ANOTHER_DRAW, True, monkeypatch) == replayed


def test_the_same_frames_are_not_refused_by_the_code_where_they_were_lit_by_the_own_draw(
    recorded: list[FrameSet], models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the light alone that makes the difference, not how the frames came."""
    own = packed(code_of(SEED, 64))
    assert Drawn(lambda size: own[:size]).levels[:FRAMES] == tuple(frame.emitter.flood for frame in recorded)
    reasons = looked(recorded, models_dir, own, False, monkeypatch)
    assert not ATTACKS.intersection(reasons)


def test_nobody_can_hand_core_another_verifier() -> None:
    """Only `Drawn` is ever built there, and it takes random bytes, not levels."""
    source = (Path(__file__).parents[2] / "firmware/core").rglob("*.py")
    built = [line for path in source for line in path.read_text().splitlines() if "Look(" in line]
    assert [line.strip() for line in built] == [
        "self._look = Look(self._basis, drawn, self._parts.profile.stale_s, self.dynamic)"
    ]
