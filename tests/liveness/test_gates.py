"""What cannot be known refuses; and the instruments that came nearest to passing, rendered, do not pass."""

import dataclasses
import math
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.albedo import albedo_gate, exposure_gate
from firmware.liveness.coherence import Coherence
from firmware.liveness.evidence import Gate
from firmware.liveness.gates import geometry_gates
from firmware.liveness.limits import load_limits
from firmware.liveness.patch import patch
from firmware.vision.detect import Detector
from firmware.vision.face import Face, NoFace
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.people.generators import make_actor
from hil.rig.render import living
from hil.sensor.cycle import take
from hil.sensor.presets import preset
from hil.sensor.scene import Performance
from tests.liveness.shapes import face_at_centre, frames_of, head_relief

LIMITS, _ = load_limits()
SENSOR = preset("structured-light")
LEVEL = 0.64


def judged(frames: FrameSet, face: Face) -> tuple[Gate, ...]:
    """Every gate that one frame gives."""
    seen = patch(frames, face)
    return (
        *geometry_gates(frames, face, LIMITS),
        exposure_gate(seen, LIMITS),
        albedo_gate(seen, frames, LEVEL, LIMITS),
        Coherence(LIMITS).check(frames, face, seen),
    )


def with_nan(values: NDArray[np.float32], place: int) -> NDArray[np.float32]:
    """A copy whose element number `place` is unknown."""
    copy = values.copy()
    copy.flat[place] = math.nan
    return copy


@pytest.mark.parametrize(
    "changes",
    [
        *({"points_px": with_nan(face_at_centre().points_px, place)} for place in range(10)),
        *({"points_mm": with_nan(face_at_centre().points_mm, place)} for place in (0, 1, 2, 5, 11, 14)),
        {"distance_mm": math.nan},
        {"distance_mm": 0.0},
        {"ipd_mm": math.nan},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_face_with_anything_unknown_is_refused(changes: dict[str, object]) -> None:
    gates = judged(frames_of(head_relief()), dataclasses.replace(face_at_centre(), **changes))  # type: ignore[arg-type]
    assert any(not gate.passed and gate.reason == "gate_unknown" for gate in gates)


@settings(max_examples=40)
@given(
    missing=st.floats(0.6, 1.0),
    value=st.sampled_from([math.nan, 0.0, -450.0, math.inf, -math.inf]),
    seed=st.integers(0, 99),
)
def test_face_whose_depth_is_mostly_missing_is_refused_whatever_stands_for_it(
    missing: float, value: float, seed: int
) -> None:
    holes = np.random.default_rng(seed).random((480, 640)) < missing
    relief = np.where(holes, value - 450.0, head_relief())
    assert not all(gate.passed for gate in geometry_gates(frames_of(relief), face_at_centre(), LIMITS))


@given(x=st.floats(-2000, 2000), y=st.floats(-2000, 2000))
def test_face_partly_or_wholly_outside_the_picture_raises_nothing(x: float, y: float) -> None:
    frames = frames_of(head_relief())
    face = face_at_centre()
    moved = dataclasses.replace(face, points_px=(face.points_px + np.array([x, y])).astype(np.float32))
    gates = judged(frames, moved)
    assert len({gate.name for gate in gates}) == len(gates)
    if max(abs(x), abs(y)) > 600:
        assert not all(gate.passed for gate in gates[:-1])


@given(st.integers(0, 8))
def test_gate_that_refuses_says_why_and_one_that_passes_does_not(scale: int) -> None:
    for gate in judged(frames_of(head_relief() * scale / 4), face_at_centre()):
        assert gate.passed == (gate.reason == "")
        assert gate.limit


NEAREST = MappingProxyType(
    {
        # two fingers before a flat print, past every gate but the nose's on a worse sensor
        "touched beside the nose": (
            "touched_print",
            {"k": 0.89, "scale": 1.01, "fingers": 2, "x_mm": 21.4, "y_mm": 19.5, "thick_mm": 18.1, "long_mm": 87.2,
             "before_mm": 42.2, "distance_mm": 760},
        ),
        "touched at the cheeks": (
            "touched_print",
            {"k": 0.91, "scale": 1.05, "fingers": 2, "x_mm": 34.3, "y_mm": 14.3, "thick_mm": 19.5, "long_mm": 73.0,
             "before_mm": 32.8, "distance_mm": 790},
        ),
        "touched on the nose": (
            "touched_print",
            {"k": 0.85, "scale": 0.8, "fingers": 2, "x_mm": 8.0, "y_mm": 40.0, "thick_mm": 20.0, "long_mm": 80.0,
             "before_mm": 20.0, "distance_mm": 700},
        ),
        "touched, far": (
            "touched_print",
            {"k": 0.67, "scale": 0.9, "fingers": 2, "x_mm": 26.8, "y_mm": 53.3, "thick_mm": 12.2, "long_mm": 79.5,
             "before_mm": 40.5, "distance_mm": 880},
        ),
        "cut-out with large holes": (
            "cutout_print",
            {"k": 0.86, "scale": 0.95, "eye_hole_mm": 18.6, "radius_mm": 141.0, "distance_mm": 480},
        ),
        "cut-out, far": (
            "cutout_print",
            {"k": 0.7, "scale": 0.93, "eye_hole_mm": 17.7, "radius_mm": 161.0, "distance_mm": 870},
        ),
        "folded tight": (
            "folded_print",
            {"k": 0.79, "scale": 1.07, "across_mm": 22.1, "tilt_deg": 10.4, "fold_deg": 52.0, "distance_mm": 358,
             "yaw_deg": 7.0, "pitch_deg": 6.7},
        ),
        "folded, far": (
            "folded_print",
            {"k": 0.78, "scale": 1.02, "across_mm": 43.3, "tilt_deg": 4.8, "fold_deg": 43.1, "distance_mm": 920},
        ),
        "rolled tight": ("bent_print", {"k": 0.7, "radius_mm": 55, "distance_mm": 600}),
    }
)  # fmt: skip


def shot(performance: Performance, number: int) -> FrameSet:
    """One frame by the simulated sensor, lit at `LEVEL`."""
    taken = take(performance, number / 15, SENSOR, np.random.default_rng([0x6A7E, number]), flood_level=LEVEL)
    info = CameraInfo("SIMULATED", "simulated", "", True)
    return FrameSet(
        number, round(number / 15 * 1e9), taken.ir, taken.depth_mm, SENSOR.intrinsics, Emitter(LEVEL, 1.0),
        taken.exposure_us, taken.gain, info, taken.ambient, taken.dots,
    )  # fmt: skip


def refusals(performance: Performance, detector: Detector) -> list[str]:
    """Of three frames, the first reason why each is no living face; empty where none was found."""
    reasons = []
    for number in range(3):
        frames = shot(performance, number)
        face = detector.find(frames)
        if isinstance(face, NoFace):
            reasons.append(face.reason.value)
        else:
            reasons.append(next((gate.reason for gate in geometry_gates(frames, face, LIMITS) if not gate.passed), ""))
    return reasons


@pytest.mark.parametrize("name", NEAREST)
def test_print_that_came_nearest_to_passing_is_refused_in_every_frame(
    name: str, data_dir: Path, models_dir: Path
) -> None:
    species, parameters = NEAREST[name]
    victim, wearer = (make_actor("ict", seed, data_dir=data_dir) for seed in (2_001_041, 2_501_041))
    performance = SPECIES[species].perform(victim, Attacker(3, wearer), **parameters)
    assert all(refusals(performance, Detector(load_network(DETECTOR, models_dir))))


@pytest.mark.parametrize(("seed", "distance_mm"), [(2_000_038, 790), (2_000_115, 350), (2_000_266, 330)])
def test_person_with_the_flattest_of_faces_is_not(
    seed: int, distance_mm: float, data_dir: Path, models_dir: Path
) -> None:
    performance = living(
        make_actor("ict", seed, data_dir=data_dir), Attacker(seed), distance_mm=distance_mm
    ).performance
    assert refusals(performance, Detector(load_network(DETECTOR, models_dir))) == ["", "", ""]
