"""The board's light, exposure by exposure, in a camera that throws its own dots: the RealSense driver's sorter."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import Emitter, FrameSet
from drivers.camera.realsense.cycles import Cycle, Sorter, Taken
from drivers.emitter.messages import Arm, Beat, State, pack_levels
from drivers.emitter.patterns import by_exposure
from hil.sensor.dots_or_off import CONDITIONS, frame_sets
from tests.emitter.board_bench import Bench

LEVELS = [Emitter(flood=1.0, dots=1.0)]  # a session's, unless core says otherwise
PERIOD_US, EXPOSURE_US = 16_667, 4000
STROBES = 48


@pytest.fixture(scope="module", params=["indoors", "sun 0.2, dots at 30 %"])
def person(request: pytest.FixtureRequest) -> FrameSet:
    """In sun a frame lit by both is not told from a dark one: that costs no cycle."""
    return frame_sets("living", CONDITIONS[request.param], seed=71, distance_mm=500, count=1)[0]


def test_a_programme_has_an_entry_for_each_exposure() -> None:
    levels = [Emitter(1.0, 0.5), Emitter(0.25, 1.0)]
    dark = Emitter(0.0, 0.0)
    flood, dots = [Emitter(one.flood, 0.0) for one in levels], [Emitter(0.0, one.dots) for one in levels]
    assert by_exposure(levels, "dark-flood-dots") == (dark, flood[0], dots[0], dark, flood[1], dots[1])
    assert by_exposure(levels, "every-third-flood") == (dark, flood[0], dark, dark, flood[1], dark)


@pytest.mark.parametrize("missed", range(6))
def test_a_realsense_finds_flood_dark_and_dots_wherever_the_board_begins(person: FrameSet, missed: int) -> None:
    """The camera runs before the board is armed: it may begin at any of the camera's frames."""
    bench = Bench()
    assert not bench.open(programme=pack_levels(by_exposure(LEVELS, "every-third-flood")))
    sorter = Sorter(flood_board=True)
    cycles: list[tuple[int, Cycle]] = []
    for number in range(STROBES):
        if number == missed:
            bench.send(Arm(bench.session, bench.stamp))
        bench.strobe(True)
        flood_ma, dots_ma = bench.board.light_ma
        assert dots_ma == 0
        image = _seen(person, own_dots=number % 2 == 0, flood=flood_ma > 0)
        bench.wait(EXPOSURE_US)
        bench.strobe(False)
        bench.wait(PERIOD_US - EXPOSURE_US)
        bench.send(Beat(bench.session, bench.stamp))
        cycle = sorter.add(Taken(number, number * 16.7, image, np.zeros(image.shape, np.uint16), 4000, 1.0, 0.0))
        if cycle is not None:
            cycles.append((number, cycle))
    assert bench.board.state is State.ARMED
    for _, cycle in cycles:
        assert cycle.ambient is not None
        np.testing.assert_array_equal(cycle.ir.ir, _seen(person, own_dots=False, flood=True))
        np.testing.assert_array_equal(cycle.ambient.ir, _seen(person, own_dots=False, flood=False))
        np.testing.assert_array_equal(cycle.dots.ir, _seen(person, own_dots=True, flood=False))
        assert abs(cycle.dots.number - cycle.ir.number) == 1
    # one in six frames, once it has begun
    assert len(cycles) >= (STROBES - missed) // 6 - 1
    at = [number for number, _ in cycles]
    assert max(b - a for a, b in pairwise(at)) <= 8


def _seen(person: FrameSet, own_dots: bool, flood: bool) -> NDArray[np.uint8]:
    """One frame: what the flood adds to the dark frame it adds to one with dots too."""
    assert person.ambient is not None
    assert person.dots is not None
    picture = (person.dots if own_dots else person.ambient).astype(np.int32)
    if flood:
        picture = picture + person.ir - person.ambient
    return np.clip(picture, 0, 255).astype(np.uint8)
