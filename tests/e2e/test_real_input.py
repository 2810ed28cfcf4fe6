"""Real input through the terminal's own steps: a scanned head, librealsense, a D435 file, structured-light depth."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import FrameSet, open_camera
from drivers.camera.recording import RecordingWriter
from firmware.core.analysis import Analyst, Finding
from firmware.core.parts import open_analyst
from firmware.liveness.code import SYMBOLS
from firmware.liveness.evidence import PENDING
from firmware.liveness.gates import geometry_gates
from firmware.liveness.limits import load_limits
from firmware.liveness.look import Look
from firmware.liveness.verdict import GATES
from firmware.runtime.config import load_profile
from firmware.vision.embed import Embedded
from firmware.vision.face import Face
from firmware.vision.templates import TEMPLATE_SHAPE, make_templates
from hil.evaluate.recorded_code import RecordedCode
from hil.sensor.stage import James, Stage, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions

FRAMES = 20
LIVE_FRAMES = 8
D4XX_FRAMES = 4
# No level is asked of the flood here: it stays full, and the terminal knows that.
FULL = RecordedCode((1.0,) * SYMBOLS)


@pytest.fixture(scope="module")
def analyst(models_dir: Path) -> Analyst:
    return open_analyst(load_profile("demo"), models_dir)[0]


@pytest.fixture(scope="module")
def james_frames(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FrameSet]:
    """The real scan before the virtual sensor."""
    return james_before(None, FRAMES, data_dir, tmp_path_factory.mktemp("stage") / "stage.json")


@pytest.fixture(scope="module")
def d4xx_frames(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[FrameSet]:
    """The real scan before the rig's RealSense with our flood board, with ambient and dot exposures."""
    return james_before("d4xx", D4XX_FRAMES, data_dir, tmp_path_factory.mktemp("stage") / "stage.json")


def james_before(sensor: Literal["d4xx"] | None, count: int, data_dir: Path, stage: Path) -> list[FrameSet]:
    """By a clock that needs no waiting."""
    write_stage(stage, Stage(subject=James()))
    now_ns = 0

    def wait(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    camera = VirtualCamera(
        VirtualCameraOptions(stage=str(stage), data=str(data_dir), preset=sensor), lambda: now_ns, wait
    )
    camera.start()
    return [camera.read(1.0) for _ in range(count)]


def findings(analyst: Analyst, frames: list[FrameSet]) -> list[Finding]:
    look = Look(analyst.basis, FULL, 0.5)
    return [analyst.look(frame, look, frame.timestamp_ns) for frame in frames]


def faces(analyst: Analyst, frames: list[FrameSet]) -> list[Embedded]:
    """Who each frame shows, whatever its evidence of life is worth."""
    found = [(frame, analyst._detector.find(frame)) for frame in frames]
    return [analyst._embedder.embed(frame, face) for frame, face in found if isinstance(face, Face)]


def assert_same_faces(analyst: Analyst, before: list[FrameSet], after: list[FrameSet]) -> list[Embedded]:
    """Returns who they show."""
    one, other = faces(analyst, before), faces(analyst, after)
    assert len(one) == len(other) == len(before)
    for here, there in zip(one, other, strict=True):
        assert here.seen == there.seen
        np.testing.assert_array_equal(here.ir, there.ir)
        np.testing.assert_array_equal(here.depth, there.depth)
    return one


def assert_same(before: list[Finding], after: list[Finding]) -> None:
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert (one.reason, one.values) == (other.reason, other.values)
        assert (one.embedded is None) == (other.embedded is None)
        if one.embedded is not None and other.embedded is not None:
            assert one.embedded.seen == other.embedded.seen
            np.testing.assert_array_equal(one.embedded.ir, other.embedded.ir)
            np.testing.assert_array_equal(one.embedded.depth, other.embedded.depth)


def test_james_passes_every_gate_in_every_frame(analyst: Analyst, james_frames: list[FrameSet]) -> None:
    """What the soft cues say of him is another matter: they were calibrated on made-up people (docs/cues.md)."""
    found = findings(analyst, james_frames)
    assert {gate.reason for finding in found for gate in finding.gates} <= {"", PENDING}
    assert all(gate.passed for gate in found[-1].gates)
    assert {gate.name for gate in found[-1].gates} == set(GATES)


def test_same_frames_through_librealsense_give_the_same_result_frame_for_frame(
    analyst: Analyst, james_frames: list[FrameSet], librealsense: ModuleType, tmp_path: Path
) -> None:
    from hil.sensor.software_device import as_replayed, record

    assert record(tmp_path / "james.db3", james_frames, fps=15) == FRAMES
    camera = open_camera("realsense", {"file": str(tmp_path / "james.db3")})
    camera.start()
    replayed = list(camera.frames())
    camera.close()
    direct = [replace(as_replayed(frame), camera=camera.info) for frame in james_frames]
    before = findings(analyst, direct)
    assert_same(before, findings(analyst, replayed))
    # a bare RealSense has no flood light: it answers no code, and its infrared says nothing of who it is
    assert {finding.reason for finding in before} == {"gate_unknown"}
    assert {embedded.seen for embedded in assert_same_faces(analyst, direct, replayed)} == {("depth",)}


def test_a_live_device_of_librealsense_gives_the_same_decision_frame_for_frame(
    analyst: Analyst, james_frames: list[FrameSet], librealsense: ModuleType
) -> None:
    from drivers.camera.realsense.driver import RealSenseCamera
    from drivers.camera.realsense.sources import Attached
    from hil.sensor.software_device import SoftwareDevice, as_replayed

    shown = james_frames[:LIVE_FRAMES]
    device = SoftwareDevice(shown[0].camera, shown[0].intrinsics, fps=15)
    camera = RealSenseCamera(Attached("rig", device.device))
    camera.start()
    came = []
    for frames in shown:
        device.push(frames)
        came.append(camera.read(5.0))
    camera.close()
    direct = [replace(as_replayed(frame), camera=camera.info) for frame in shown]
    before = findings(analyst, direct)
    assert_same(before, findings(analyst, came))
    assert {finding.reason for finding in before} == {"gate_unknown"}
    # and if anybody asked who it is: without a flood light one modality is missing, whoever it is
    for embedded in assert_same_faces(analyst, direct, came):
        assert analyst._judge.compare(embedded, make_templates({"front": embedded})).reason == "modality_missing"


def test_a_live_device_that_alternates_gives_the_same_findings_frame_for_frame(
    analyst: Analyst, d4xx_frames: list[FrameSet], librealsense: ModuleType
) -> None:
    from drivers.camera.realsense.driver import RealSenseCamera
    from drivers.camera.realsense.presets import settings
    from drivers.camera.realsense.sources import Attached
    from hil.sensor.software_device import OPTIONS, SoftwareDevice, alternating, as_replayed

    shown = d4xx_frames[0]
    device = SoftwareDevice(shown.camera, shown.intrinsics, fps=60, options=OPTIONS)
    source = Attached("rig", device.device, settings=settings(True, True))
    response = shown.camera.flood_response
    camera = RealSenseCamera(source, alternate=True, flood_board=True, flood_response=response)
    camera.start()
    came = []
    for frames in d4xx_frames:
        for number, at_ns, image, dots in alternating(frames, 10**9 // 60, flood_board=True):
            device.push_frame(frames, number, at_ns, image, flagged=not dots)  # as metadata lies on some set-ups
        came.append(camera.read(5.0))
    camera.close()
    direct = [replace(as_replayed(frame), camera=camera.info, ambient=frame.ambient) for frame in d4xx_frames]
    before = findings(analyst, direct)
    assert_same(before, findings(analyst, came))
    # up to the match: with templates of the face shown every frame is a yes, with another's none is
    seen = assert_same_faces(analyst, direct, came)
    another = np.zeros(TEMPLATE_SHAPE, np.float32)
    another[:, :, 0] = 1
    template = make_templates({"front": seen[0]})
    assert {analyst._judge.compare(embedded, template).reason for embedded in seen} == {""}
    assert {analyst._judge.compare(embedded, another).reason for embedded in seen} == {"not_recognised"}


def test_same_frames_through_a_recording_give_the_same_result_frame_for_frame(
    analyst: Analyst, james_frames: list[FrameSet], tmp_path: Path
) -> None:
    with RecordingWriter(tmp_path / "james.mcap", consent="test data, BSD-3-Clause") as writer:
        for frame in james_frames:
            writer.write(frame)
    camera = open_camera("recording", {"path": str(tmp_path / "james.mcap")})
    camera.start()
    replayed = list(camera.frames())
    camera.close()
    assert_same(findings(analyst, james_frames), findings(analyst, replayed))


def test_office_wall_of_a_real_d435_holds_no_face(analyst: Analyst, data_dir: Path, librealsense: ModuleType) -> None:
    camera = open_camera("realsense", {"file": str(data_dir / "realsense" / "single_depth_color_640x480.bag")})
    camera.start()
    frames = list(camera.frames())
    camera.close()
    assert frames
    assert {finding.reason for finding in findings(analyst, frames)} == {"no_face"}


def face_at(frames: FrameSet, points: NDArray[np.float32]) -> Face:
    """The face a detector would report for five points (5, 2) px, in images that have no infrared to detect it in."""
    columns, rows = np.clip(np.round(points).astype(int), 0, [[639, 479]] * 5).T
    z = frames.depth_mm[rows, columns]
    k = frames.intrinsics
    points_mm = np.stack([(points[:, 0] - k.cx) / k.fx * z, (points[:, 1] - k.cy) / k.fy * z, z], axis=1)
    return Face(
        box=(float(points[0, 0]), float(points[0, 1]), 100.0, 100.0),
        points_px=points,
        score=1.0,
        distance_mm=float(np.nanmedian(z)) if np.isfinite(z).any() else 700.0,
        points_mm=points_mm.astype(np.float32),
        yaw_deg=0.0,
        pitch_deg=0.0,
        roll_deg=0.0,
        ipd_mm=float(np.linalg.norm(points_mm[1] - points_mm[0])),
    )


def frontal_points(centre: tuple[float, float], size: float) -> NDArray[np.float32]:
    """Five points of a frontal face, `size` pixels between the eyes."""
    steps = np.array([[-0.5, -0.5], [0.5, -0.5], [0, 0.05], [-0.4, 0.55], [0.4, 0.55]]) * size
    return (np.array(centre) + steps).astype(np.float32)


def test_real_depth_images_pass_through_the_gates_without_an_exception(real_depth_frames: dict[str, FrameSet]) -> None:
    limits, _ = load_limits()
    for frames in real_depth_frames.values():
        rows, columns = np.nonzero(np.isfinite(frames.depth_mm))
        centre = (float(np.median(columns)), float(np.median(rows)))
        for size, (dx, dy) in itertools.product((12.0, 40.0, 90.0), ((0, 0), (-60, -80), (900, 0))):
            points = frontal_points((centre[0] + dx, centre[1] + dy), size)
            gates = geometry_gates(frames, face_at(frames, points), limits)
            assert all(gate.passed or gate.reason for gate in gates)


# Where eyes, nose and mouth of the man in profile are in `person_depth_mm.png`, read off the image: he looks right.
PROFILE_POINTS = np.array([[312, 228], [320, 228], [329, 248], [316, 275], [321, 275]], np.float32)


def test_real_profile_view_is_refused_with_a_reason(analyst: Analyst, real_depth_frames: dict[str, FrameSet]) -> None:
    frames = real_depth_frames["person_depth_mm"]
    assert findings(analyst, [frames])[0].reason == "no_face"  # there is no infrared to see one in
    limits, _ = load_limits()
    gates = geometry_gates(frames, face_at(frames, PROFILE_POINTS), limits)
    assert {gate.reason for gate in gates} - {""} <= {"depth_missing", "gate_unknown"}
    assert not all(gate.passed for gate in gates)
