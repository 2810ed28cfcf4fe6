"""The decoder against surfaces with a closed form, drawn by a renderer that shares no code with the product's."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.camera import CameraError, Intrinsics
from drivers.camera.structured_light import Calibration, CalibrationError, Decoder

LENS = Intrinsics(width=640, height=400, fx=450.0, fy=450.0, cx=319.5, cy=199.5)
CALIBRATION = Calibration(intrinsics=LENS, farthest_px=-26, disparities=64)
U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
Surface = Callable[[F64, F64], F64]  # image column and row to depth in mm

_rng = np.random.default_rng(5)
_PLACES = _rng.uniform([-60, -4], [LENS.width + 60, LENS.height + 4], (9000, 2))
_BRIGHT = _rng.uniform(80, 160, len(_PLACES))


def exposure(surface: Surface, rows_off: float = 0.0, noise: float = 2.0, seed: int = 1) -> U8:
    """The pattern of `_PLACES` (where its dots are on the reference plane) as it lies on `surface`."""
    x0, y = _PLACES.T
    x = x0
    for _ in range(60):
        x = 0.5 * x + 0.5 * (x0 + CALIBRATION.product * (1 / surface(x, y) - 1 / CALIBRATION.reference_mm))
    image = np.full((LENS.height + 16, LENS.width + 16), 10.0)
    left, top = np.floor(x).astype(int), np.floor(y + rows_off).astype(int)
    for dj in range(-3, 5):
        for di in range(-3, 5):
            column, row = left + di, top + dj
            inside = (column >= -8) & (column < LENS.width + 8) & (row >= -8) & (row < LENS.height + 8)
            light = _BRIGHT * np.exp(-((column - x) ** 2 + (row - y - rows_off) ** 2) / (2 * 0.9**2))
            np.add.at(image, (row[inside] + 8, column[inside] + 8), light[inside])
    image = image[8:-8, 8:-8] + np.random.default_rng(seed).normal(0, noise, (LENS.height, LENS.width))
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


def plane(z_mm: float) -> Surface:
    return lambda x, y: np.full_like(x, z_mm)


def ball(x: F64, y: F64) -> F64:
    """A ball of 90 mm radius, its nearest point at 400 mm, before a wall at 700 mm."""
    u, v = (x - LENS.cx) / LENS.fx, (y - LENS.cy) / LENS.fy
    a, b, c = 1 + u * u + v * v, -2 * 490.0, 490.0**2 - 90.0**2
    under = b * b - 4 * a * c
    return np.where(under > 0, (-b - np.sqrt(np.maximum(under, 0))) / (2 * a), 700.0)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(exposure(plane(CALIBRATION.reference_mm), noise=0.5, seed=0), CALIBRATION)


MIDDLE = (slice(20, -20), slice(60, -60))  # nearer the sides a dot's own neighbourhood lies beyond the reference


@pytest.mark.parametrize("z_mm", [310.0, 400.0, 500.0, 650.0, 900.0])
def test_a_plane_is_where_it_stands(decoder: Decoder, z_mm: float) -> None:
    depth = decoder.decode(exposure(plane(z_mm)))[MIDDLE]
    one_px_mm = z_mm**2 / CALIBRATION.product
    assert np.isfinite(depth).mean() > 0.98
    assert abs(np.nanmedian(depth) - z_mm) < 0.025 * one_px_mm
    assert np.nanmedian(np.abs(depth - z_mm)) < 0.06 * one_px_mm


def test_a_slanted_plane_is_not_a_staircase(decoder: Decoder) -> None:
    """1/z of a plane is linear in the image: 30 degrees of slant, so disparity falls by half a pixel every ten."""

    def slanted(x: F64, y: F64) -> F64:
        return 1 / (1 / 450.0 - 3e-6 * (x - LENS.cx) - 1e-6 * (y - LENS.cy))

    y, x = np.mgrid[0 : LENS.height, 0 : LENS.width].astype(float)
    error = (decoder.decode(exposure(slanted)) - slanted(x, y))[MIDDLE] / (slanted(x, y)[MIDDLE] ** 2)
    known = np.isfinite(error)
    assert known.mean() > 0.95
    assert np.median(np.abs(error[known])) * CALIBRATION.product < 0.1  # pixels


def test_a_ball_is_round(decoder: Decoder) -> None:
    y, x = np.mgrid[0 : LENS.height, 0 : LENS.width].astype(float)
    truth = ball(x, y)
    depth = decoder.decode(exposure(ball), roi=(220, 100, 420, 300))
    front = truth < 450  # what slopes up to 64 degrees
    assert np.isfinite(depth[front]).mean() > 0.9
    assert np.nanmedian(np.abs(depth - truth)[front]) < 0.6
    near_or_far = np.isfinite(depth) & (truth < 700)
    assert np.mean(np.abs(depth - truth)[near_or_far] > 20) < 0.01  # edges leave holes, not flying pixels


def test_misaligned_rows_lose_depth(decoder: Decoder) -> None:
    y, x = np.mgrid[0 : LENS.height, 0 : LENS.width].astype(float)
    front = ball(x, y) < 450

    def valid(rows_off: float) -> float:
        dots = exposure(ball, rows_off, noise=12.0)
        return float(np.isfinite(decoder.decode(dots)[front]).mean())

    aligned, half, one, two = valid(0.0), valid(0.5), valid(1.0), valid(2.0)
    assert aligned > 0.9
    assert half > 0.8
    assert one < 0.9 * aligned
    assert two < 0.03


def test_a_region_decodes_as_the_whole_image_does_there(decoder: Decoder) -> None:
    dots, (left, top, right, bottom) = exposure(ball), (250, 120, 400, 290)
    whole, part = decoder.decode(dots), decoder.decode(dots, (left, top, right, bottom))
    inside = np.zeros(dots.shape, bool)
    inside[top:bottom, left:right] = True
    assert np.isnan(part[~inside]).all()
    assert np.mean(np.isfinite(part[inside]) == np.isfinite(whole[inside])) > 0.97
    both = inside & np.isfinite(part) & np.isfinite(whole)
    assert np.mean(np.abs(part - whole)[both] < 0.5) > 0.98


def test_a_decoder_keeps_nothing_from_one_image_to_the_next(decoder: Decoder) -> None:
    dots = exposure(ball)
    before = decoder.decode(dots)
    decoder.decode(exposure(plane(600.0)), (10, 10, 300, 200))
    np.testing.assert_array_equal(decoder.decode(dots), before)


@settings(max_examples=25, deadline=None)
@given(roi=st.tuples(*[st.integers(-900, 900)] * 4))
def test_any_region_is_cut_to_the_image(roi: tuple[int, int, int, int]) -> None:
    depth = SMALL.decode(np.random.default_rng(1).integers(0, 256, (96, 128), np.uint8), roi)
    inside = np.zeros(depth.shape, bool)
    inside[max(roi[1], 0) : max(roi[3], 0), max(roi[0], 0) : max(roi[2], 0)] = True
    assert depth.shape == (96, 128)
    assert np.isnan(depth[~inside]).all()


SMALL = Decoder(
    np.random.default_rng(0).integers(0, 256, (96, 128), np.uint8),
    Calibration(Intrinsics(128, 96, 450.0, 450.0, 63.5, 47.5), farthest_px=-26, disparities=64),
)


def _black(rng: np.random.Generator) -> U8:
    return np.zeros((LENS.height, LENS.width), np.uint8)


def _full(rng: np.random.Generator) -> U8:
    return np.full((LENS.height, LENS.width), 255, np.uint8)


def _noise(rng: np.random.Generator) -> U8:
    return rng.integers(0, 256, (LENS.height, LENS.width), np.uint8)


def _weak_noise(rng: np.random.Generator) -> U8:
    return rng.integers(10, 15, (LENS.height, LENS.width), np.uint8)


def _stripes(rng: np.random.Generator) -> U8:
    return np.repeat(np.tile(np.array([0, 0, 200, 200], np.uint8), LENS.width // 4)[None], LENS.height, axis=0)


def _someone_elses_dots(rng: np.random.Generator) -> U8:
    return np.ascontiguousarray(exposure(plane(500.0))[::-1])


@pytest.mark.parametrize("garbage", [_black, _full, _noise, _weak_noise, _stripes, _someone_elses_dots])
def test_an_image_without_our_dots_has_no_depth(decoder: Decoder, garbage: Callable[[np.random.Generator], U8]) -> None:
    depth = decoder.decode(garbage(np.random.default_rng(2)))
    assert np.isfinite(depth).mean() < 0.03


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), spread=st.integers(0, 255))
def test_whatever_is_decoded_lies_in_range(seed: int, spread: int) -> None:
    dots = np.random.default_rng(seed).integers(0, spread + 1, (96, 128), dtype=np.uint8)
    near_mm, far_mm = CALIBRATION.range_mm
    depth = SMALL.decode(dots)
    known = depth[np.isfinite(depth)]
    assert ((known > 0.95 * near_mm) & (known < 1.05 * far_mm)).all()


@pytest.mark.parametrize(
    "dots", [np.zeros((400, 641), np.uint8), np.zeros((400, 640), np.uint16), np.zeros((400, 640, 1), np.uint8)]
)
def test_an_image_of_another_kind_is_refused_by_name(decoder: Decoder, dots: U8) -> None:
    with pytest.raises(ValueError, match=r"dots is .* expected \(400, 640\) uint8"):
        decoder.decode(dots)


def test_a_reference_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="reference is"):
        Decoder(np.zeros((480, 640), np.uint8), CALIBRATION)


def test_range_is_what_the_search_covers() -> None:
    nearest, farthest = CALIBRATION.range_mm
    assert nearest == pytest.approx(1 / (37 / 22_500 + 1 / 500))
    assert farthest == pytest.approx(1 / (-26 / 22_500 + 1 / 500))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"baseline_mm": 0.05}, "baseline_mm"),  # metres
        ({"baseline_mm": float("nan")}, "baseline_mm"),
        ({"reference_mm": 0.5}, "reference_mm"),
        ({"reference_mm": float("inf")}, "reference_mm"),
        ({"disparities": 100}, "multiple of 16"),
        ({"disparities": 16}, "do not reach"),
        ({"farthest_px": 3}, "farthest_px"),
        ({"farthest_px": -46, "disparities": 112}, "infinity"),
        ({"intrinsics": Intrinsics(640, 400, 0.0, 450.0, 319.5, 199.5)}, "intrinsics.fx"),
        ({"intrinsics": Intrinsics(640, 400, 450.0, 450.0, 700.0, 199.5)}, "intrinsics.cx"),
    ],
)
def test_an_impossible_calibration_is_refused_by_name(change: dict[str, object], word: str) -> None:
    with pytest.raises(CalibrationError, match=word) as refused:
        msgspec.structs.replace(CALIBRATION, **change)
    assert isinstance(refused.value, CameraError)


def test_a_calibration_file_is_read_strictly() -> None:
    text = msgspec.json.encode(CALIBRATION)
    assert msgspec.json.decode(text, type=Calibration, strict=True) == CALIBRATION
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(text.replace(b"disparities", b"disparitys"), type=Calibration)
    with pytest.raises(msgspec.ValidationError, match="baseline_mm"):
        msgspec.json.decode(text.replace(b'"baseline_mm":50.0', b'"baseline_mm":5.0'), type=Calibration)
    with pytest.raises(AttributeError):
        CALIBRATION.baseline_mm = 60.0  # type: ignore[misc]


@given(
    baseline_mm=st.floats(),
    reference_mm=st.floats(),
    farthest_px=st.integers(-2000, 2000),
    disparities=st.integers(-200, 2000),
    focal=st.floats(),
)
def test_a_calibration_is_refused_or_has_a_range(
    baseline_mm: float, reference_mm: float, farthest_px: int, disparities: int, focal: float
) -> None:
    lens = Intrinsics(640, 400, focal, focal, 319.5, 199.5)
    try:
        built = Calibration(lens, baseline_mm, reference_mm, farthest_px, disparities)
    except CalibrationError:
        return
    nearest, farthest = built.range_mm
    assert 0 < nearest < built.reference_mm < farthest < float("inf")
