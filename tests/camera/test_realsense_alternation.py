"""Dots, flood and dark told apart by the pictures, whatever metadata says; through the real librealsense."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import CameraLostError, Emitter, FrameSet, FrameTimeoutError
from drivers.camera.realsense import open_camera
from drivers.camera.realsense.alternation import is_flood_lit, which_has_dots
from drivers.camera.realsense.cycles import Sorter, Taken
from drivers.camera.realsense.presets import settings
from hil.sensor.dots_or_off import CONDITIONS, SUBJECTS, frame_sets

FPS = 60
PERIOD_NS = round(1e9 / FPS)
Flag = Callable[[bool], bool | None]
FLAGS: dict[str, Flag] = {"right": lambda dots: dots, "inverted": lambda dots: not dots, "absent": lambda dots: None}


@pytest.fixture(scope="module")
def cycles() -> list[FrameSet]:
    """A living person before the rig's d4xx with our flood board."""
    return frame_sets("living", CONDITIONS["indoors"], seed=71, distance_mm=500, count=4)


@pytest.mark.parametrize("condition", ["indoors", "sun 0.2", "dots at 20 %"])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_dots_are_found_in_either_order_beside_dark_and_flood(subject: str, condition: str) -> None:
    for frames in frame_sets(subject, CONDITIONS[condition], seed=72, distance_mm=400, count=2):
        assert frames.dots is not None
        assert frames.ambient is not None
        for off in (frames.ambient, frames.ir):
            assert which_has_dots(u8(frames.dots), u8(off)) == "first"
            assert which_has_dots(u8(off), u8(frames.dots)) == "second"
        assert which_has_dots(u8(frames.dots), u8(frames.dots)) == "both"
        assert which_has_dots(u8(frames.ir), u8(frames.ambient)) == "neither"
        assert is_flood_lit(u8(frames.ir), u8(frames.ambient))
        assert not is_flood_lit(u8(frames.ambient), u8(frames.ir))


def u8(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.asarray(image, np.uint8)


def taken(number: int, image: NDArray[np.uint8] | NDArray[np.uint16]) -> Taken:
    return Taken(number, number * 16.7, u8(image), np.zeros(image.shape, np.uint16), 1000, 1.0, 0.0)


def test_a_lost_frame_makes_no_cycle_of_strangers(cycles: list[FrameSet]) -> None:
    one, other = cycles[0], cycles[1]
    assert one.dots is not None
    assert one.ambient is not None
    assert other.dots is not None
    sorter = Sorter(flood_board=False)
    assert sorter.add(taken(0, one.dots)) is None
    assert sorter.add(taken(2, other.dots)) is None  # frame 1 is lost
    pair = sorter.add(taken(3, one.ambient))
    assert pair is not None
    assert (pair.number, pair.dots.number, pair.ir.number) == (2, 2, 3)
    board = Sorter(flood_board=True)
    for number, image in enumerate([one.dots, one.ir, one.dots, one.ambient, one.dots, one.ir]):
        if number != 2:
            assert board.add(taken(number, image)) is None, number


@pytest.mark.parametrize(
    ("shown", "cause"),
    [
        (("dots", "dots", "dots", "dots"), "emitter_stuck_on"),
        (("dark", "dark", "dark", "dark"), "emitter_stuck_off"),
        (("ir", "ir", "ir", "ir"), "weak_dots"),
        (("dots", "dark", "dots", "dark"), "emitter_stuck_off"),
        (("dots", "ir", "dots", "ir"), "emitter_stuck_on"),
    ],
)
def test_light_that_does_not_alternate_is_dropped_and_named(
    cycles: list[FrameSet], shown: tuple[str, ...], cause: str
) -> None:
    sorter = Sorter(flood_board=True)
    for number, what in enumerate(shown):
        image = {"dots": cycles[0].dots, "dark": cycles[0].ambient, "ir": cycles[0].ir}[what]
        assert image is not None
        assert sorter.add(taken(number, image)) is None
    assert sorter.cause == cause


class Alternating:
    """A software device that alternates, and the driver on it."""

    def __init__(self, first: FrameSet, flood_board: bool, record_to: Path | None = None) -> None:
        from drivers.camera.realsense.driver import RealSenseCamera
        from drivers.camera.realsense.sources import Attached
        from hil.sensor.software_device import OPTIONS, SoftwareDevice

        self.flood_board = flood_board
        self.device = SoftwareDevice(first.camera, first.intrinsics, FPS, options=OPTIONS)
        source = Attached("rig", self.device.device, settings=settings(True, flood_board))
        self.camera = RealSenseCamera(source, alternate=True, flood_board=flood_board, record_to=record_to)
        self.camera.start()

    def show(self, frames: FrameSet, flag: Flag) -> FrameSet:
        from hil.sensor.software_device import alternating

        for number, at_ns, image, dots in alternating(frames, PERIOD_NS, self.flood_board):
            self.device.push_frame(frames, number, at_ns, image, flag(dots))
        return self.camera.read(5.0)


@pytest.mark.parametrize("flood_board", [False, True])
@pytest.mark.parametrize("flag", FLAGS)
def test_metadata_right_inverted_or_absent_gives_the_same_frames(
    librealsense: ModuleType, cycles: list[FrameSet], flag: str, flood_board: bool
) -> None:
    from hil.sensor.software_device import as_replayed

    rig = Alternating(cycles[0], flood_board)
    assert rig.camera.info.flood == flood_board
    came = [rig.show(frames, FLAGS[flag]) for frames in cycles]
    rig.camera.close()
    assert [frame.sequence for frame in came] == list(range(len(cycles)))
    assert [frame.emitter for frame in came] == [
        Emitter(float(flood_board), 1.0, frame.sequence if flood_board else None) for frame in came
    ]
    for frame, given in zip(came, cycles, strict=True):
        assert frame.dots is not None
        assert frame.ambient is not None
        np.testing.assert_array_equal(frame.dots, given.dots)
        np.testing.assert_array_equal(frame.ir, given.ir)
        # without our board nothing of `ir` is our light, and the ambient frame says so
        np.testing.assert_array_equal(frame.ambient, given.ambient if flood_board else given.ir)
        np.testing.assert_array_equal(frame.depth_mm, as_replayed(given).depth_mm)


@pytest.mark.parametrize("first", range(3))
def test_every_third_frame_flood_lit_gives_one_frame_set_in_six_and_none_is_dropped(
    librealsense: ModuleType, cycles: list[FrameSet], first: int
) -> None:
    shown = cycles[0]
    assert shown.dots is not None
    assert shown.ambient is not None
    flood = shown.ir.astype(np.int32) - shown.ambient
    rig = Alternating(shown, flood_board=True)
    came = []
    for number in range(36):
        image = (shown.ambient if number % 2 else shown.dots) + (flood if number % 3 == first else 0)
        rig.device.push_frame(shown, number, 10**12 + number * PERIOD_NS, u8(np.clip(image, 0, 255)), None)
        with suppress(FrameTimeoutError):
            came.append(rig.camera.read(0.05))
    assert [frame.sequence for frame in came] == list(range(len(came)))
    assert 5 <= len(came) <= 7
    assert rig.camera.health.dropped == 0
    for frame in came:
        np.testing.assert_array_equal(frame.ir, shown.ir)
        np.testing.assert_array_equal(frame.ambient, shown.ambient)
        np.testing.assert_array_equal(frame.dots, shown.dots)
    rig.camera.close()


def test_a_start_in_mid_cycle_finds_the_beat(librealsense: ModuleType, cycles: list[FrameSet]) -> None:
    from hil.sensor.software_device import alternating

    rig = Alternating(cycles[0], flood_board=False)
    _, at_ns, image, _ = alternating(cycles[0], PERIOD_NS, False)[1]
    rig.device.push_frame(cycles[0], 1, at_ns, image, None)
    for frames in cycles[1:3]:
        frame = rig.show(frames, FLAGS["absent"])
        np.testing.assert_array_equal(frame.dots, frames.dots)
    rig.camera.close()


@pytest.mark.parametrize("flood_board", [False, True])
def test_what_was_recorded_alternating_plays_alternating(
    librealsense: ModuleType, cycles: list[FrameSet], tmp_path: Path, flood_board: bool
) -> None:
    path = tmp_path / "take.db3"
    rig = Alternating(cycles[0], flood_board, record_to=path)
    came = [rig.show(frames, FLAGS["inverted"]) for frames in cycles]
    rig.camera.close()
    camera = open_camera({"file": str(path), "alternate": True, "flood_board": flood_board})
    camera.start()
    played = list(camera.frames())
    camera.close()
    assert [frame.sequence for frame in played] == [frame.sequence for frame in came]
    for one, other in zip(played, came, strict=True):
        np.testing.assert_array_equal(one.ir, other.ir)
        np.testing.assert_array_equal(one.ambient, other.ambient)
        np.testing.assert_array_equal(one.dots, other.dots)
        np.testing.assert_array_equal(one.depth_mm, other.depth_mm)


@pytest.mark.parametrize(("shown", "cause"), [("ambient", "emitter_stuck_off"), ("dots", "emitter_stuck_on")])
def test_a_projector_that_does_not_alternate_is_lost_by_its_cause(
    librealsense: ModuleType, cycles: list[FrameSet], shown: str, cause: str
) -> None:
    rig = Alternating(cycles[0], flood_board=False)
    with pytest.raises(CameraLostError) as lost:
        show_over_and_over(rig, cycles[0], u8(getattr(cycles[0], shown)))
    assert lost.value.cause == cause
    rig.camera.close()


def show_over_and_over(rig: Alternating, frames: FrameSet, image: NDArray[np.uint8]) -> None:
    for number in count():
        rig.device.push_frame(frames, number, 10**12 + number * PERIOD_NS, image, flagged=number % 2 == 0)
        with suppress(FrameTimeoutError):
            rig.camera.read(0.02)
