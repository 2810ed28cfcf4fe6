"""Two printed heads of one person, at rest and smiling, exchanged after the prompt: nothing has moved."""

import random

import pytest

from firmware.liveness.dynamic import CONTINUOUS_S, Dynamic
from firmware.liveness.policy import load_policy
from hil.sensor.scene import Pose
from tests.liveness.motion_heads import LIMITS, REST, STRAIGHT, Head, seen

FPS = 15
ELSEWHERE = Pose(z_mm=450.0, x_mm=8.0, y_mm=5.0)


@pytest.mark.parametrize("away", [round(CONTINUOUS_S * FPS), 8, 12, 19])
@pytest.mark.parametrize("second", [Head(smile_mm=5), Head(opened_mm=15)], ids=["smiling", "open"])
def test_two_heads_of_one_person_exchanged_while_nobody_looks_show_no_motion(away: int, second: Head) -> None:
    motion = Dynamic(LIMITS, load_policy("payment")[0], random.Random(3).randbytes)
    number = 0
    while motion.prompt is None:
        frames, face = seen(REST, STRAIGHT, number)
        motion.see(frames, face, ask=True)
        if motion.due(frames.timestamp_ns):
            motion.shown(frames.timestamp_ns)
        number += 1
    for later in range(number + away, number + away + 20):
        assert not motion.see(*seen(second, ELSEWHERE, later), ask=True).passed


def test_the_same_face_that_goes_on_and_smiles_does() -> None:
    motion = Dynamic(LIMITS, load_policy("payment")[0], random.Random(3).randbytes)
    for number in range(200):
        frames, face = seen(Head(smile_mm=5) if motion.prompt else REST, STRAIGHT, number)
        if motion.see(frames, face, ask=True).passed:
            return
        if motion.due(frames.timestamp_ns):
            motion.shown(frames.timestamp_ns)
    raise AssertionError("a smile after the prompt is motion")
