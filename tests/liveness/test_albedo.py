"""Light that is not as skin returns it refuses, and so does not knowing."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import CameraInfo, Emitter, FrameSet
from firmware.liveness.albedo import albedo_gate, exposure_gate
from firmware.liveness.limits import load_limits
from firmware.liveness.patch import Patch, patch
from tests.liveness.shapes import DISTANCE_MM, K, face_at_centre, head_relief

LIMITS, _ = load_limits()
RESPONSE = 0.13


def lit_frames(
    albedo: float = 0.54,
    *,
    level: float = 0.8,
    ambient: float | None = 0.05,
    response: float | None = RESPONSE,
    exposure_us: int = 1000,
) -> FrameSet:
    """A head-shaped thing of one reflectance, lit as the model of `patch` has it, ambient light added."""
    depth = (DISTANCE_MM + head_relief()).astype(np.float32)
    bare = CameraInfo("TEST", "0", "0" * 64, True, flood_response=response)
    dark = None if ambient is None else np.full((480, 640), round(255 * ambient), np.uint8)
    nothing = np.zeros((480, 640), np.uint8)
    unlit = FrameSet(0, 0, nothing, depth, K, Emitter(level, 1), exposure_us, 1.0, bare, nothing)
    shape = patch(unlit, face_at_centre())
    assert shape is not None
    lit = np.zeros((480, 640), np.float32)
    step = shape.step
    thin = lit[int(shape.v[0, 0]) : int(shape.v[-1, 0]) + 1 : step, int(shape.u[0, 0]) : int(shape.u[0, -1]) + 1 : step]
    thin[:] = np.nan_to_num(albedo * RESPONSE * level * exposure_us / 1000 * shape.expected)
    ir = np.clip(np.rint(255 * (lit + (ambient or 0.0))), 0, 255).astype(np.uint8)
    return dataclasses.replace(unlit, ir=ir, ambient=dark)


def seen(frames: FrameSet) -> Patch:
    """The patch of a face in the middle."""
    found = patch(frames, face_at_centre())
    assert found is not None
    return found


@given(st.floats(0.42, 0.65), st.floats(0.5, 1.0), st.floats(0.0, 0.3))
def test_skin_is_as_bright_as_it_is_whatever_the_level_and_the_light_about(
    albedo: float, level: float, ambient: float
) -> None:
    frames = lit_frames(albedo, level=level, ambient=ambient)
    gate = albedo_gate(seen(frames), frames, level, LIMITS)
    assert gate.passed
    assert gate.value == pytest.approx(albedo, rel=0.06)


@pytest.mark.parametrize("albedo", [0.0, 0.04, 0.15, 0.95])
def test_screen_and_white_paint_are_not_skin(albedo: float) -> None:
    frames = lit_frames(albedo)
    gate = albedo_gate(seen(frames), frames, 0.8, LIMITS)
    assert (gate.passed, gate.reason) == (False, "not_skin")


@pytest.mark.parametrize(
    ("frames", "level"),
    [
        (lit_frames(ambient=None), 0.8),
        (lit_frames(response=None), 0.8),
        (lit_frames(response=0.0), 0.8),
        (lit_frames(response=float("nan")), 0.8),
        (lit_frames(), None),
        (lit_frames(), 0.0),
        (lit_frames(), float("nan")),
    ],
    ids=["no dark exposure", "no response", "response 0", "response NaN", "no level", "level 0", "level NaN"],
)
def test_reflectance_that_cannot_be_known_refuses(frames: FrameSet, level: float | None) -> None:
    gate = albedo_gate(seen(frames), frames, level, LIMITS)
    assert (gate.passed, gate.reason) == (False, "gate_unknown")


def test_level_that_the_frame_claims_counts_for_nothing() -> None:
    """A recording made under level 0.512, shown while 1.0 was drawn, is half as bright as it should be."""
    frames = lit_frames(0.5, level=0.512)
    assert albedo_gate(seen(frames), frames, 1.0, LIMITS).reason == "not_skin"


def test_no_patch_refuses_both() -> None:
    frames = lit_frames()
    assert exposure_gate(None, LIMITS).reason == "gate_unknown"
    assert albedo_gate(None, frames, 0.8, LIMITS).reason == "gate_unknown"


def test_lit_face_can_be_judged() -> None:
    assert exposure_gate(seen(lit_frames()), LIMITS).passed


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (lit_frames(0.01), "exposure"),
        (lit_frames(ambient=1.0), "exposure"),
        (lit_frames(0.02, ambient=0.8), "exposure"),
        (lit_frames(exposure_us=40_000), "exposure"),
        (lit_frames(ambient=None), "gate_unknown"),
    ],
    ids=["black", "full of other light", "under other light", "burnt out", "no dark exposure"],
)
def test_face_that_cannot_be_judged_refuses(frames: FrameSet, reason: str) -> None:
    gate = exposure_gate(seen(frames), LIMITS)
    assert (gate.passed, gate.reason) == (False, reason)
