"""The flood's response and a dot's size, measured on pictures drawn here, whose truth is known."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from drivers.camera.flood import FALLOFF, measured
from drivers.camera.structured_light.dot_size import dot_sigma_px

K = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
INFO = CameraInfo("TEST", "0", "", flood=True)


def plane(
    distance_mm: float = 500.0,
    response: float = 0.1,
    reflectance: float = 0.8,
    level: float = 1.0,
    tilt_deg: float = 0.0,
    dark: float = 0.1,
) -> FrameSet:
    """A flat target in a noiseless camera; 2 ms at gain 1.5."""
    v, u = np.mgrid[: K.height, : K.width].astype(float)
    x, y = (u - K.cx) / K.fx, (v - K.cy) / K.fy
    tilt = np.radians(tilt_deg)
    z = distance_mm * np.cos(tilt) / (np.cos(tilt) - x * np.sin(tilt))
    axial = 1 / np.sqrt(1 + x * x + y * y)
    incidence = (np.cos(tilt) - x * np.sin(tilt)) * axial
    lit = reflectance * response * level * incidence * axial**FALLOFF * (axial * 1000 / z) ** 2
    ir = np.clip(np.rint((lit * 3 + dark) * 65535), 0, 65535).astype(np.uint16)
    ambient = np.full(ir.shape, round(dark * 65535), np.uint16)
    emitter = Emitter(level, 1.0)
    return FrameSet(0, 0, ir, z.astype(np.float32), K, emitter, 2000, 1.5, INFO, ambient)


@settings(max_examples=100, deadline=None)
@given(
    distance_mm=st.floats(300, 1000),
    response=st.floats(0.05, 0.07),  # neither too dim at 1 m nor full at 0.3 m
    level=st.floats(0.5, 1),
    tilt_deg=st.floats(-8, 8),
    dark=st.floats(0, 0.05),
)
def test_the_response_is_found_at_any_distance_level_and_small_tilt(
    distance_mm: float, response: float, level: float, tilt_deg: float, dark: float
) -> None:
    found = measured(plane(distance_mm, response, 0.35, level, tilt_deg, dark), 0.35)
    assert found == pytest.approx(response, rel=0.02)


FAULTS = {
    "no dark exposure": lambda: replace(plane(), ambient=None),
    "no flood": lambda: replace(plane(), camera=msgspec.structs.replace(INFO, flood=False)),
    "flood commanded dark": lambda: replace(plane(), emitter=Emitter(0.0, 1.0)),
    "nothing lit": lambda: plane(response=1e-4),
    "full": lambda: plane(response=1.0),
    "full of sun": lambda: plane(dark=0.99),
    "no depth": lambda: replace(plane(), depth_mm=np.full((120, 160), np.nan, np.float32)),
    "exposure unknown": lambda: replace(plane(), exposure_us=0),
    "gain unknown": lambda: replace(plane(), gain=0.0),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_told_is_not_guessed(fault: str) -> None:
    assert measured(FAULTS[fault]()) is None


def drawn_dots(sigma_px: float, over: float = 20.0, brightness: float = 150.0) -> NDArray[np.uint8]:
    """Dots some nine pixels apart, anywhere between pixels, on even light, with some noise."""
    rng = np.random.default_rng(3)
    v, u = np.mgrid[:240, :320].astype(float)
    image = np.full(v.shape, over)
    for row in range(6, 240, 9):
        for column in range(6, 320, 9):
            y, x = row + rng.uniform(-1.5, 1.5), column + rng.uniform(-1.5, 1.5)
            box = np.s_[max(row - 8, 0) : row + 9, max(column - 8, 0) : column + 9]
            apart = (v[box] - y) ** 2 + (u[box] - x) ** 2
            image[box] += brightness * rng.uniform(0.5, 1) * np.exp(-apart / (2 * sigma_px**2))
    noisy = image + rng.standard_normal(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("over", [0.0, 60.0])
@pytest.mark.parametrize("sigma_px", [0.8, 1.2, 1.8])
def test_a_dots_size_is_found_wherever_between_pixels_it_is(sigma_px: float, over: float) -> None:
    image = drawn_dots(sigma_px, over)
    assert dot_sigma_px(image) == pytest.approx(sigma_px, rel=0.06)
    assert dot_sigma_px(image.astype(np.uint16) * np.uint16(257)) == pytest.approx(sigma_px, rel=0.06)


def test_dots_that_are_full_do_not_count() -> None:
    bright = np.minimum(drawn_dots(1.2).astype(int) * 3, 255).astype(np.uint8)
    found = dot_sigma_px(bright)
    assert found is None or found == pytest.approx(1.2, rel=0.1)
    assert dot_sigma_px(drawn_dots(1.2, over=300.0)) is None


def test_a_picture_without_dots_has_no_dot_size() -> None:
    assert dot_sigma_px(np.full((240, 320), 90, np.uint8)) is None
    assert dot_sigma_px(np.zeros((240, 320), np.uint8)) is None
    ramp = np.tile(np.linspace(0, 255, 320).astype(np.uint8), (240, 1))
    assert dot_sigma_px(ramp) is None
