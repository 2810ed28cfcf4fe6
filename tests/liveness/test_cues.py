"""The soft cues: known answers, both polarities, and what happens where something is missing."""

import math
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.camera import CameraInfo, FrameSet
from firmware.liveness.cues import load_cues, measure
from firmware.liveness.cues.dot_halo import SKIN
from firmware.liveness.patch import patch
from firmware.liveness.policy import CueName
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.people.generators import make_actor
from hil.rig.render import living
from hil.sensor.capture import capture
from hil.sensor.cycle import take
from hil.sensor.presets import preset
from hil.sensor.scene import INTRINSICS, Performance, Scene
from tests.liveness import cue_frames

CUES: tuple[CueName, ...] = ("photometric", "dot_halo", "eyes", "mask_edges")
GREY = np.full((320, 320), 0.5, np.float32)


def _measured(frames: FrameSet, face: Face) -> dict[CueName, float]:
    return measure(frames, face, patch(frames, face), 1.0)


@pytest.mark.parametrize("distance_mm", [350.0, 500.0, 800.0])
def test_dots_on_paper_have_no_halo_and_dots_on_skin_have_one_at_any_distance(distance_mm: float) -> None:
    face, depth = cue_frames.face_at(distance_mm), cue_frames.plane(distance_mm)
    paper = cue_frames.of(depth, GREY, cue_frames.dots(distance_mm))
    skin = cue_frames.of(depth, GREY, cue_frames.dots(distance_mm, SKIN))
    assert _measured(paper, face)["dot_halo"] == pytest.approx(0, abs=0.25)
    assert _measured(skin, face)["dot_halo"] == pytest.approx(1, abs=0.25)


def test_a_surface_share_of_skin_lowers_its_halo_by_that_share() -> None:
    face, depth = cue_frames.face_at(450.0), cue_frames.plane(450.0)
    sheen = ((0.4, 0.0), *((0.6 * weight, sigma) for weight, sigma in SKIN))
    plain, oily = (cue_frames.of(depth, GREY, cue_frames.dots(450.0, spread)) for spread in (SKIN, sheen))
    assert _measured(plain, face)["dot_halo"] - _measured(oily, face)["dot_halo"] == pytest.approx(0.4, abs=0.1)


def test_dots_that_are_full_do_not_make_paper_look_like_skin() -> None:
    face, depth = cue_frames.face_at(450.0), cue_frames.plane(450.0)
    bright = cue_frames.of(depth, GREY, 3 * cue_frames.dots(450.0))
    assert not _measured(bright, face)["dot_halo"] > 0.3


def test_of_a_ball_of_one_colour_nothing_is_left_and_of_brows_and_lips_something_is() -> None:
    face, shape = cue_frames.face_at(450.0), cue_frames.ball(450.0, bumps_mm=2.5)
    patched = GREY.copy()
    patched[::24] *= 0.5
    for row in range(1, 8):
        patched[row::24] *= 0.6
    assert _measured(cue_frames.of(shape, GREY), face)["photometric"] < 0.03
    assert _measured(cue_frames.of(shape, patched), face)["photometric"] > 0.05


def test_eyes_are_as_dark_as_they_are_whatever_the_shape() -> None:
    face = cue_frames.face_at(450.0)
    albedo = GREY.copy()
    for x, y in face.points_px[:2]:
        cv2.ellipse(albedo, (round(float(x)), round(float(y))), (16, 7), 0, 0, 360, 0.25, -1)
    assert _measured(cue_frames.of(cue_frames.ball(450.0), albedo), face)["eyes"] == pytest.approx(
        math.log(0.5), abs=0.1
    )
    assert _measured(cue_frames.of(cue_frames.ball(450.0), GREY), face)["eyes"] == pytest.approx(0, abs=0.1)


def test_a_hole_has_an_edge_all_round_and_a_brow_has_not() -> None:
    face, depth = cue_frames.face_at(450.0), cue_frames.ball(450.0)
    masked, holed, browed = GREY.copy(), depth.copy(), GREY.copy()
    for x, y in face.points_px[:2]:
        hole = np.zeros((320, 320), np.uint8)
        cv2.ellipse(hole, (round(float(x)), round(float(y))), (17, 10), 0, 0, 360, 1, -1)
        masked[hole > 0], holed[hole > 0] = 0.3, depth[hole > 0] + 8
        browed[round(float(y)) - 18 : round(float(y)) - 12, round(float(x)) - 20 : round(float(x)) + 20] = 0.15
    bare, mask, brow = (
        _measured(cue_frames.of(*made), face)["mask_edges"]
        for made in ((depth, GREY), (holed, masked), (depth, browed))
    )
    assert mask > bare + 1
    assert brow < bare + 0.3


@pytest.mark.parametrize("level", [0.512, 0.64, 0.8])
def test_the_flood_level_changes_no_cue(level: float) -> None:
    face = cue_frames.face_at(450.0)
    frames = cue_frames.of(cue_frames.ball(450.0, 2.0), GREY, cue_frames.dots(450.0, SKIN))
    assert frames.ambient is not None
    dark = frames.ambient.astype(np.float32)
    dimmed = np.clip(dark + level * (frames.ir - dark), 0, 255).round().astype(np.uint8)
    full, less = _measured(frames, face), _measured(replace(frames, ir=dimmed), face)
    for name in CUES:
        assert less[name] == pytest.approx(full[name], abs=0.12), name


def test_without_dots_or_their_width_only_the_halo_is_unknown() -> None:
    face = cue_frames.face_at(450.0)
    frames = cue_frames.of(cue_frames.ball(450.0, 2.0), GREY, cue_frames.dots(450.0, SKIN))
    unmeasured = CameraInfo("TEST", "0", "0" * 64, True)
    for bare in (replace(frames, dots=None), replace(frames, camera=unmeasured)):
        values = _measured(bare, face)
        assert math.isnan(values["dot_halo"])
        assert all(math.isfinite(values[name]) for name in CUES if name != "dot_halo")


def test_what_is_missing_is_unknown_and_nothing_breaks() -> None:
    face = cue_frames.face_at(450.0)
    frames = cue_frames.of(cue_frames.ball(450.0), GREY, cue_frames.dots(450.0, SKIN))
    blind = np.full((320, 320), np.nan, np.float32)
    black, white = np.zeros((320, 320), np.uint8), np.full((320, 320), 255, np.uint8)
    for poor in (
        replace(frames, ambient=None),
        replace(frames, depth_mm=blind),
        replace(frames, ir=white, dots=white, ambient=white),
    ):
        assert all(math.isnan(value) for value in _measured(poor, face).values())
    for odd in (replace(frames, ir=black, dots=black, ambient=black), replace(frames, ambient=frames.ir)):
        assert not any(math.isinf(value) for value in _measured(odd, face).values())
    assert measure(frames, face, None, 1.0) == {}


def filmed(performance: Performance) -> tuple[FrameSet, Face]:
    """One frame before the training preset, and the face the detector finds in it."""
    sensor = preset("structured-light")
    cycle = take(performance, 0.5, sensor, np.random.default_rng(5))
    own = math.hypot(sensor.projector.sigma_px, sensor.lens.psf_px)
    frames = FrameSet(
        sequence=0,
        timestamp_ns=1,
        ir=cycle.ir,
        depth_mm=cycle.depth_mm,
        intrinsics=sensor.intrinsics,
        emitter=cue_frames.FULL,
        exposure_us=cycle.exposure_us,
        gain=cycle.gain,
        camera=CameraInfo("SIMULATED", "simulated", "0" * 64, True, dot_sigma_px=own),
        ambient=cycle.ambient,
        dots=cycle.dots,
    )
    face = Detector(load_network(DETECTOR)).find(frames)
    assert isinstance(face, Face)
    return frames, face


def test_simulated_faces_differ_as_the_cues_say(data_dir: Path, models_dir: Path) -> None:
    del models_dir
    person, other = (make_actor("ict", seed, data_dir=data_dir) for seed in (2_900_001, 2_900_004))
    alive = _measured(*filmed(living(person, Attacker(1)).performance))
    plaster = _measured(*filmed(SPECIES["mannequin"].perform(person, Attacker(1))))
    cutout = _measured(*filmed(SPECIES["cutout_print"].perform(person, Attacker(1, other))))
    assert alive["dot_halo"] > plaster["dot_halo"] + 0.3
    assert alive["eyes"] < plaster["eyes"] - 0.15
    assert alive["photometric"] > plaster["photometric"]
    assert cutout["mask_edges"] > alive["mask_edges"] + 0.3


def test_on_the_plain_sensor_three_cues_still_tell_a_person_from_plaster(data_dir: Path, models_dir: Path) -> None:
    del models_dir
    person, (tables, _), sums = make_actor("ict", 2_900_001, data_dir=data_dir), load_cues(), []
    for performance in (living(person, Attacker(1)).performance, SPECIES["mannequin"].perform(person, Attacker(1))):
        taken = capture(Scene(performance(0.5)), np.random.default_rng(5))
        frames = FrameSet(
            sequence=0,
            timestamp_ns=1,
            ir=taken.ir,
            depth_mm=taken.depth_mm,
            intrinsics=INTRINSICS,
            emitter=cue_frames.FULL,
            exposure_us=taken.exposure_us,
            gain=taken.gain,
            camera=CameraInfo("SIMULATED", "simulated", "0" * 64, True),
            ambient=taken.ambient,
        )
        face = Detector(load_network(DETECTOR)).find(frames)
        assert isinstance(face, Face)
        cues = tables.weigh(_measured(frames, face), ("photometric", "eyes", "mask_edges"))
        sums.append(sum(cue.llr for cue in cues))
    assert sums[0] > -1 > -4 > sums[1]


def test_all_cues_of_a_frame_cost_no_more_than_seven_milliseconds(data_dir: Path, models_dir: Path) -> None:
    del models_dir
    frames, face = filmed(
        living(make_actor("ict", 2_900_001, data_dir=data_dir), Attacker(1), distance_mm=320).performance
    )
    taken = []
    for _ in range(9):
        cut = patch(frames, face)
        began = time.process_time()
        measure(frames, face, cut, 1.0)
        taken.append(time.process_time() - began)
    assert min(taken) <= 0.007
