"""The whole of recognition on people the virtual sensor sees: who is who, and the reasons in real scenes."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.camera import FrameSet
from firmware.vision.calibration import load_calibration
from firmware.vision.detect import Detector
from firmware.vision.embed import MODALITIES, Embedded, FaceEmbedder
from firmware.vision.face import Face, NoFace, Reason
from firmware.vision.fusion import MISSING, Judge
from firmware.vision.policy import load_policy
from firmware.vision.templates import Templates, make_templates
from hil.people import Head, james, virtual_person
from hil.sensor.capture import render
from hil.sensor.scene import Placed, Pose, Scene
from tests.vision.drawn import MakeFrame

GUIDED = {
    "front": Pose(), "left": Pose(yaw_deg=15), "right": Pose(yaw_deg=-15), "up": Pose(pitch_deg=10),
    "down": Pose(pitch_deg=-10),
}  # fmt: skip
PAYMENT = load_policy("payment")[0]


@pytest.fixture(scope="module")
def people() -> list[Head]:
    return [virtual_person(seed) for seed in (41, 42, 43)]


def _frame(make_frame: MakeFrame, *placed: tuple[Head, Pose]) -> FrameSet:
    ir, depth_mm = render(Scene(tuple(Placed(head, pose) for head, pose in placed)), np.random.default_rng(7))
    return make_frame(ir, depth_mm)


def _face(found: Face | NoFace) -> Face:
    assert isinstance(found, Face), found
    return found


def _embed(frames: FrameSet, detector: Detector, embedder: FaceEmbedder) -> Embedded:
    return embedder.embed(frames, _face(detector.find(frames)))


def _enrol(head: Head, detector: Detector, embedder: FaceEmbedder, make_frame: MakeFrame) -> Templates:
    return make_templates(
        {name: _embed(_frame(make_frame, (head, pose)), detector, embedder) for name, pose in GUIDED.items()}
    )


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
    people: list[Head], detector: Detector, face_embedder: FaceEmbedder, make_frame: MakeFrame
) -> None:
    judge = Judge(load_calibration("virtual"), PAYMENT, PAYMENT.claimed)
    enrolled = [_enrol(head, detector, face_embedder, make_frame) for head in people]
    for i, head in enumerate(people):
        frames = _frame(make_frame, (head, Pose(z_mm=600, yaw_deg=6, roll_deg=5)))
        probe = _embed(frames, detector, face_embedder)
        assert probe.seen == MODALITIES
        for j, templates in enumerate(enrolled):
            assert judge.compare(probe, templates).matched == (i == j), (i, j)


def test_a_face_without_enough_depth_or_flood_light_has_one_modality(
    people: list[Head], detector: Detector, face_embedder: FaceEmbedder, make_frame: MakeFrame
) -> None:
    judge = Judge(load_calibration("virtual"), PAYMENT, PAYMENT.claimed)
    frames = _frame(make_frame, (people[0], Pose()))
    face = _face(detector.find(frames))
    blind = replace(frames, depth_mm=np.full_like(frames.depth_mm, np.nan))
    dark = replace(frames, camera=msgspec.structs.replace(frames.camera, flood=False))
    enrolled = _enrol(people[0], detector, face_embedder, make_frame)
    for one, seen in ((blind, ("ir",)), (dark, ("depth",))):
        probe = face_embedder.embed(one, face)
        assert probe.seen == seen
        assert judge.compare(probe, enrolled).reason == MISSING


def test_the_real_head_matches_itself_by_the_real_calibration(
    data_dir: Path, people: list[Head], detector: Detector, face_embedder: FaceEmbedder, make_frame: MakeFrame
) -> None:
    head, judge = james(data_dir), Judge(load_calibration("real"), PAYMENT, PAYMENT.claimed)
    enrolled = _enrol(head, detector, face_embedder, make_frame)
    for pose in (Pose(z_mm=380, roll_deg=10), Pose(z_mm=700, yaw_deg=8), Pose(z_mm=900, pitch_deg=5)):
        match = judge.compare(_embed(_frame(make_frame, (head, pose)), detector, face_embedder), enrolled)
        assert match.cosines["ir"] > 0.7
        assert match.matched, match
    stranger = _embed(_frame(make_frame, (people[0], Pose())), detector, face_embedder)
    assert not judge.compare(stranger, enrolled).matched
