"""The whole of recognition on people the virtual sensor sees: who is who, and the reasons in real scenes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.vision.align import align
from firmware.vision.calibration import load_calibration
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedder
from firmware.vision.face import Face, NoFace, Reason
from firmware.vision.match import is_match, make_template, score
from hil.people import Head, james, virtual_person
from hil.sensor.capture import render
from hil.sensor.scene import Placed, Pose, Scene
from tests.vision.drawn import MakeFrame

GUIDED = (Pose(), Pose(yaw_deg=-15), Pose(yaw_deg=15), Pose(pitch_deg=-10), Pose(pitch_deg=10))


@pytest.fixture(scope="module")
def people() -> list[Head]:
    return [virtual_person(seed) for seed in (41, 42, 43)]


def _frame(make_frame: MakeFrame, *placed: tuple[Head, Pose]) -> FrameSet:
    ir, depth_mm = render(Scene(tuple(Placed(head, pose) for head, pose in placed)), np.random.default_rng(7))
    return make_frame(ir, depth_mm)


def _face(found: Face | NoFace) -> Face:
    assert isinstance(found, Face), found
    return found


def _embed(frames: FrameSet, detector: Detector, embedder: Embedder) -> NDArray[np.float32]:
    return embedder.embed(align(frames.ir, _face(detector.find(frames)).points_px))


@pytest.mark.parametrize("z_mm", [360, 500, 700, 950])
def test_a_person_is_found_where_he_stands(
    z_mm: float, people: list[Head], detector: Detector, make_frame: MakeFrame
) -> None:
    for head in people:
        face = _face(detector.find(_frame(make_frame, (head, Pose(z_mm=z_mm)))))
        truth = head.landmarks + np.array([0, 0, z_mm], np.float32)
        assert np.linalg.norm(face.points_mm - truth, axis=1).mean() < 14
        assert face.ipd_mm == pytest.approx(float(np.linalg.norm(truth[1] - truth[0])), abs=12)


@pytest.mark.parametrize(("name", "axis"), [("yaw_deg", 0), ("pitch_deg", 1), ("roll_deg", 2)])
def test_signs_and_size_of_the_pose(
    name: str, axis: int, people: list[Head], detector: Detector, make_frame: MakeFrame
) -> None:
    def read(degrees: float) -> float:
        face = _face(detector.find(_frame(make_frame, (people[0], Pose(**{name: degrees})))))
        return (face.yaw_deg, face.pitch_deg, face.roll_deg)[axis]

    assert read(12) - read(-12) == pytest.approx(24, abs=9)


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        (Pose(z_mm=1250), Reason.TOO_FAR),
        (Pose(z_mm=270), Reason.TOO_NEAR),
        (Pose(yaw_deg=45), Reason.NOT_FRONTAL),
        (Pose(x_mm=205), Reason.FACE_CUT_OFF),
    ],
)
def test_a_person_standing_wrong_is_told_so(
    pose: Pose, reason: Reason, people: list[Head], detector: Detector, make_frame: MakeFrame
) -> None:
    found = detector.find(_frame(make_frame, (people[0], pose)))
    assert isinstance(found, NoFace)
    assert found.reason is reason


def test_two_people_are_refused_and_one_behind_is_ignored(
    people: list[Head], detector: Detector, make_frame: MakeFrame
) -> None:
    beside = _frame(make_frame, (people[0], Pose(x_mm=-110, z_mm=550)), (people[1], Pose(x_mm=110, z_mm=550)))
    found = detector.find(beside)
    assert isinstance(found, NoFace)
    assert found.reason is Reason.TWO_FACES
    behind = _frame(make_frame, (people[0], Pose(x_mm=-60, z_mm=500)), (people[1], Pose(x_mm=330, z_mm=1300)))
    assert _face(detector.find(behind)).distance_mm == pytest.approx(490, abs=30)


def test_people_match_themselves_and_nobody_else(
    people: list[Head], detector: Detector, embedder: Embedder, make_frame: MakeFrame
) -> None:
    calibration = load_calibration("virtual")
    templates = [
        make_template([_embed(_frame(make_frame, (head, pose)), detector, embedder) for pose in GUIDED])
        for head in people
    ]
    for i, head in enumerate(people):
        probe = _embed(_frame(make_frame, (head, Pose(z_mm=600, yaw_deg=6, roll_deg=5))), detector, embedder)
        for j, template in enumerate(templates):
            assert is_match(score(probe, template, calibration), calibration) == (i == j), (i, j)


def test_the_real_head_matches_itself_by_the_real_calibration(
    data_dir: Path, people: list[Head], detector: Detector, embedder: Embedder, make_frame: MakeFrame
) -> None:
    head, calibration = james(data_dir), load_calibration("real")
    template = make_template([_embed(_frame(make_frame, (head, pose)), detector, embedder) for pose in GUIDED])
    for pose in (Pose(z_mm=380, roll_deg=10), Pose(z_mm=700, yaw_deg=8), Pose(z_mm=900, pitch_deg=5)):
        probe = _embed(_frame(make_frame, (head, pose)), detector, embedder)
        assert score(probe, template, calibration) > 0.7
    stranger = _embed(_frame(make_frame, (people[0], Pose())), detector, embedder)
    assert not is_match(score(stranger, template, calibration), calibration)
