"""A frame that was overwritten while it was measured was none: it is in no average and in no face at rest."""

import pytest

from firmware.liveness.motion import GATHERED, Motion
from tests.liveness.motion_heads import LIMITS, REST, Head, rested, seen

TORN = Head(opened_mm=14.0)


def excess(motion: Motion, first: int) -> list[float]:
    """Of the next frames, the head at rest."""
    found = [motion.follow(*seen(number=number)) for number in range(first, first + 5)]
    return [one.excess for one in found if one is not None]


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_frame_that_was_overwritten_is_not_averaged_into_the_next(forgotten: bool) -> None:
    motion = rested()
    first = GATHERED + 20
    for number in range(first, first + 3):
        motion.follow(*seen(number=number))
    frames, face = seen(TORN, number=first + 3)
    motion.follow(frames, face)
    if forgotten:
        motion.forget(frames.timestamp_ns)
    left = excess(motion, first + 4)
    assert left
    assert (max(left) < 0.3) is forgotten


@pytest.mark.parametrize("at", range(GATHERED))
def test_no_face_at_rest_is_made_of_a_frame_that_was_overwritten(at: int) -> None:
    motion = Motion(LIMITS)
    for number in range(GATHERED):
        frames, face = seen(TORN if number == at else REST, number=number)
        motion.follow(frames, face)
        if number == at:
            motion.forget(frames.timestamp_ns)
    left = excess(motion, GATHERED)
    assert motion.settled
    assert max(left, default=0) < 0.5
    motion.settle()
    assert max(excess(motion, 2 * GATHERED + 5)) < 0.5
