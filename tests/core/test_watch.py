"""A look at frames where they lie: what was overwritten meanwhile counts for nothing, nothing of a frame is kept."""

import asyncio
import dataclasses
import mmap
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import Emitter, FrameSet
from firmware.core import watch as watching
from firmware.core.analysis import Analyst, Finding
from firmware.core.enrolment import Enrolment
from firmware.core.errors import TerminalError
from firmware.core.parts import Parts, open_analyst
from firmware.core.ports import CameraPort
from firmware.core.watch import Watch
from firmware.liveness.code import LEVELS, SYMBOLS
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.look import Look, load_basis
from firmware.runtime.config import load_profile
from firmware.runtime.messages import CameraFault, FrameReady
from firmware.runtime.ring import SLOTS, Ring, RingReader, RingWriter, announcement
from firmware.vision.fusion import Judge
from hil.sensor.stage import Person, Stage, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions
from tests.link.ends import WAIT_S


@pytest.fixture
def ring() -> Iterator[Ring]:
    with closing(Ring()) as made:
        yield made


@pytest.fixture(scope="module")
def known(models_dir: Path) -> tuple[Analyst, Judge]:
    return open_analyst(load_profile("demo"), models_dir)[:2]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> list[FrameSet]:
    """Somebody looking at the camera, rendered."""
    stage = tmp_path_factory.mktemp("stage") / "stage.json"
    write_stage(stage, Stage(subject=Person(94_000)))
    now_ns = 0

    def wait(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    with closing(VirtualCamera(VirtualCameraOptions(stage=str(stage)), lambda: now_ns, wait)) as camera:
        camera.start()
        return [camera.read(1.0) for _ in range(20)]


class Steady:
    """A flood that was told to stay as it is."""

    def level(self, sequence: int) -> float | None:
        return 1.0


def look_of(analyst: Analyst) -> Look:
    return Look(analyst.basis, Steady(), 0.5)


def ready(frames: FrameSet, slot: int) -> FrameReady:
    return announcement(frames, slot, capture=1)


def poison(ring: Ring) -> None:
    """Overwrite every byte of every frame."""
    memory = mmap.mmap(ring.writer_fd, os.fstat(ring.writer_fd).st_size)
    np.frombuffer(memory, np.uint8)[:] = 0xA5


def arrays(value: object) -> Iterator[NDArray[Any]]:
    """Every array in a value of dataclasses, structs, tuples, lists and plain objects."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from arrays([getattr(value, field.name) for field in dataclasses.fields(value)])
    elif isinstance(value, msgspec.Struct):
        yield from arrays([getattr(value, name) for name in value.__struct_fields__])
    elif hasattr(value, "__dict__"):
        yield from arrays(list(vars(value).values()))


def test_nothing_kept_of_a_frame_changes_when_its_memory_does(
    ring: Ring, film: list[FrameSet], known: tuple[Analyst, Judge]
) -> None:
    analyst, _ = known
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    look, views = look_of(analyst), []
    findings: list[Finding] = []
    enrolment = Enrolment.begin(0)
    for frames in film:
        announced = ready(frames, writer.write(frames))
        seen = reader.view(announced, frames.camera)
        assert seen is not None
        finding = analyst.look(seen, look, frames.timestamp_ns)
        if enrolment.claimed is not None:
            finding = analyst.recognise(finding, enrolment.claimed)
        assert reader.intact(announced)
        findings.append(finding)
        views.append(seen)
        enrolment = enrolment.looked(finding, 1)
    reasons = [finding.reason for finding in findings]
    gathered = reasons.index("")
    assert gathered >= 12
    assert reasons == [PENDING] * gathered + [""] * (len(film) - gathered)
    kept = [findings, enrolment, look, analyst]
    assert enrolment.seen
    before = [array.copy() for array in arrays(kept)]
    told = [finding.values for finding in findings]
    poison(ring)
    assert all((view.ir == view.ir[0, 0]).all() for view in views), "nothing was poisoned"
    for array, copy in zip(arrays(kept), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert [finding.values for finding in findings] == told
    # and the next frame is judged as if nothing had happened
    again = dataclasses.replace(film[0], sequence=100)
    announced = ready(again, writer.write(again))
    seen = reader.view(announced, again.camera)
    assert seen is not None
    assert analyst.look(seen, look, again.timestamp_ns).reason == "repeated_frame"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that are none
def test_memory_that_changes_while_it_is_judged_ends_in_some_finding(
    ring: Ring, film: list[FrameSet], known: tuple[Analyst, Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step after the first sees other pixels than the one before; no step trips over that."""
    analyst, _ = known
    reader, rng = RingReader(ring.reader_fd), np.random.default_rng(0)
    first_slot = mmap.mmap(ring.writer_fd, os.fstat(ring.writer_fd).st_size // SLOTS)
    pixels = np.frombuffer(first_slot, np.uint8)[64:]
    percentile = np.percentile

    def hostile(*arguments: Any, **named: Any) -> Any:
        # called by detector and aligner, between their looks at the image
        pixels[rng.integers(0, len(pixels), 200_000)] = rng.integers(0, 256, 200_000, np.uint8)
        return percentile(*arguments, **named)

    monkeypatch.setattr(np, "percentile", hostile)
    for sequence in range(8):
        frames = film[sequence % len(film)]
        ring.zero()
        announced = ready(frames, RingWriter(ring.writer_fd).write(frames))
        seen = reader.view(announced, frames.camera)
        assert seen is not None
        assert isinstance(analyst.look(seen, look_of(analyst), frames.timestamp_ns), Finding)


class Camera:
    """A port whose frames the test lets be overwritten."""

    info = None
    ended_by: CameraFault | None = None

    def __init__(self) -> None:
        self.survives = True
        self.ended: list[str] = []
        self.lit: list[tuple[Emitter, ...]] = []
        self.stopped = 0

    async def start(self, levels: Sequence[Emitter]) -> bool:
        self.lit.append(tuple(levels))
        return True

    async def stop(self) -> None:
        self.stopped += 1

    def current(self, announced: FrameReady) -> bool:
        return announced.capture == max(len(self.lit), 1)

    def view(self, announced: FrameReady) -> FrameSet | None:
        return cast("FrameSet", announced)

    def intact(self, _: FrameReady) -> bool:
        return self.survives

    def end_capture(self, fault: CameraFault, silent_s: float) -> None:
        self.ended.append(fault.cause)
        assert silent_s >= watching.OVERRUN_S


@pytest.fixture
def looking() -> tuple[Camera, Watch]:
    camera = Camera()
    analyst = SimpleNamespace(look=lambda *_: Finding("no_face"))
    element = SimpleNamespace(random=random.Random(7).randbytes)
    parts = SimpleNamespace(analyst=analyst, basis=load_basis("demo"), profile=load_profile("demo"), element=element)
    return camera, Watch(cast("CameraPort", camera), cast("Parts", parts), None, "geometry")


def test_the_loop_goes_round_while_a_frame_is_judged(looking: tuple[Camera, Watch], film: list[FrameSet]) -> None:
    """On a slow board judging outlasts the emitter's heartbeat time-out: the light must not go out for that."""
    _, watch = looking
    judging, beaten = threading.Event(), threading.Event()

    def slow(*_: object) -> Finding:
        judging.set()
        assert beaten.wait(WAIT_S)
        return Finding("no_face")

    async def scenario() -> None:
        await watch.begin()
        looked = asyncio.create_task(watch.look(ready(film[0], 0)))
        while not judging.is_set():
            await asyncio.sleep(0)
        assert not looked.done()
        beaten.set()
        assert (await looked) is not None

    watch._parts.analyst.look = slow  # type: ignore[method-assign,assignment]
    asyncio.run(scenario())


def test_a_frame_that_is_never_judged_ends_the_process(
    looking: tuple[Camera, Watch], film: list[FrameSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, watch = looking
    monkeypatch.setattr(watching, "JUDGE_S", 0.05)
    end = threading.Event()

    async def scenario() -> None:
        await watch.begin()
        with pytest.raises(TerminalError, match="could not be judged"):
            await watch.look(ready(film[0], 0))
        end.set()

    watch._parts.analyst.look = lambda *_: end.wait(WAIT_S) and Finding("no_face")  # type: ignore[method-assign,assignment]
    asyncio.run(scenario())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("firmware.core.watch.time.monotonic", lambda: now[0])
    return now


def test_finding_from_an_overwritten_frame_is_thrown_away(looking: tuple[Camera, Watch], film: list[FrameSet]) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())
    finding = asyncio.run(watch.look(ready(film[0], 0)))
    assert finding is not None
    assert finding.reason == "no_face"
    camera.survives = False
    assert asyncio.run(watch.look(ready(film[1], 1))) is None
    assert camera.ended == []


def test_overrun_that_lasts_ends_the_capture_and_one_good_frame_forgives_it(
    looking: tuple[Camera, Watch], film: list[FrameSet], clock: list[float]
) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())

    def overrun_for(seconds: float) -> None:
        camera.survives = False
        until = clock[0] + seconds
        while clock[0] < until:
            clock[0] += 0.05
            asyncio.run(watch.look(ready(film[0], 0)))
        camera.survives = True

    overrun_for(watching.OVERRUN_S - 0.1)
    asyncio.run(watch.look(ready(film[0], 0)))
    overrun_for(watching.OVERRUN_S - 0.1)
    assert camera.ended == []
    overrun_for(0.3)
    assert set(camera.ended) == {"overrun"}


class Gathering:
    """A look of which only is noted how often it was begun anew."""

    def __init__(self) -> None:
        self.anew = 0

    def interrupted(self) -> None:
        self.anew += 1

    def another(self) -> None:
        self.anew += 1


@pytest.mark.parametrize("overwritten", [False, True])
@pytest.mark.parametrize("another", [False, True])
def test_frames_of_another_person_or_of_nobody_knows_what_begin_the_evidence_anew(
    looking: tuple[Camera, Watch], film: list[FrameSet], overwritten: bool, another: bool
) -> None:
    """Attack: an accomplice answers the code, and a recording in between shows the face."""
    camera, watch = looking
    asyncio.run(watch.begin())
    watch._template = cast("Any", object())
    watch._look = cast("Look", gathering := Gathering())
    found = Finding("not_recognised") if another else Finding(PENDING)
    watch._parts.analyst.look = lambda *_: Finding(PENDING)  # type: ignore[method-assign]
    watch._parts.analyst.recognise = lambda *_: found  # type: ignore[method-assign]
    camera.survives = not overwritten
    finding = asyncio.run(watch.look(ready(film[0], 0)))
    assert (finding is None) == overwritten
    assert (gathering.anew > 0) == (another or overwritten)


RIGHT = Gate("code", 12, ">= 12 symbols", True, "")
WRONG = Gate("code", 0, ">= 12 symbols", False, "code_wrong")


def seen(watch: Watch, film: FrameSet, gates: Callable[[int], Gate], sequences: Sequence[int]) -> list[str]:
    """What came of frames of whatever capture is in hand."""
    camera = cast("Camera", watch._camera)
    reasons = []

    async def scenario() -> None:
        for sequence in sequences:
            gate = gates(sequence)
            watch._parts.analyst.look = lambda *_, gate=gate: Finding(gate.reason, (gate,))  # type: ignore[method-assign]
            announced = msgspec.structs.replace(ready(film, 0), sequence=sequence, capture=len(camera.lit))
            finding = await watch.look(announced)
            assert finding is not None
            reasons.append(finding.reason)

    asyncio.run(scenario())
    return reasons


def test_every_capture_is_lit_by_a_draw_of_its_own(looking: tuple[Camera, Watch], film: list[FrameSet]) -> None:
    camera, watch = looking
    assert asyncio.run(watch.begin()) == ""
    seen(watch, film[0], lambda _: RIGHT, range(SYMBOLS))
    assert len(camera.lit) == 2
    assert len(set(camera.lit)) == 2
    for levels in camera.lit:
        assert len(levels) == SYMBOLS
        assert {level.flood for level in levels} == set(LEVELS)
        assert {level.dots for level in levels} == {1.0}, "coded dots would cost depth"


@pytest.mark.parametrize("step", [1, 3, 7])
def test_draw_is_renewed_before_a_frame_comes_that_it_does_not_know(
    looking: tuple[Camera, Watch], film: list[FrameSet], step: int
) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())
    last = (SYMBOLS - 1) // step * step
    seen(watch, film[0], lambda _: RIGHT, range(0, last, step))
    assert len(camera.lit) == 1
    seen(watch, film[0], lambda _: RIGHT, [last])
    assert len(camera.lit) == 2
    assert camera.stopped == 1, "lights are loaded only while they are off"


def test_wrong_from_the_start_is_begun_anew_twice_and_every_wrong_answer_counts(
    looking: tuple[Camera, Watch], film: list[FrameSet]
) -> None:
    """A first cycle that was lost shifts all others; a recording gets no more tries by it."""
    camera, watch = looking
    asyncio.run(watch.begin())
    assert seen(watch, film[0], lambda _: WRONG, range(8)) == ["code_wrong"] * 8
    assert len(camera.lit) == 1 + watching.REALIGNED


def test_wrong_after_a_right_answer_is_no_lost_cycle(looking: tuple[Camera, Watch], film: list[FrameSet]) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())
    seen(watch, film[0], lambda sequence: RIGHT if sequence < 3 else WRONG, range(8))
    assert len(camera.lit) == 1


def test_numbers_that_spend_a_draw_at_once_do_not_capture_anew_for_ever(
    looking: tuple[Camera, Watch], film: list[FrameSet]
) -> None:
    """Attack: every frame says that it is the last of its draw."""
    camera, watch = looking
    asyncio.run(watch.begin())
    seen(watch, film[0], lambda _: RIGHT, [SYMBOLS - 1] * 50)
    assert len(camera.lit) == watching.CAPTURES


def test_capture_that_was_lost_is_not_begun_anew(looking: tuple[Camera, Watch], film: list[FrameSet]) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())
    camera.ended_by = CameraFault(cause="emitter_current", detail="dark")
    seen(watch, film[0], lambda _: WRONG, [SYMBOLS - 1])
    assert len(camera.lit) == 1


def test_frame_of_the_capture_before_is_not_read_against_the_new_draw(
    looking: tuple[Camera, Watch], film: list[FrameSet]
) -> None:
    camera, watch = looking
    asyncio.run(watch.begin())
    late = ready(film[0], 0)
    seen(watch, film[0], lambda _: RIGHT, [SYMBOLS - 1])
    assert asyncio.run(watch.look(late)) is None
    assert camera.ended == []
