"""A skin of one's own, as the near infrared sees it: painted on the unrolled cylinder of `atlas`.

Bare heads with plain skin look alike to a face network. What tells virtual people apart here is what tells
real people apart: mottling at several scales, brows, lips, beard, hair, moles, folds, and how regions differ.
Skin at 940 nm reflects about 0.53 (0.40-0.65); the palette stays inside that.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.people.atlas import EYE_PATCH, EYE_RADIUS_MM, ROWS, SIZE, Canvas, blank_canvas
from hil.sensor.surface import F32

SKIN = (0.47, 0.60)
# size of the patches in mm, and how strong they may be: fine mottling stays weak, or distance would average it away
MOTTLE = ((1.6, 0.01, 0.025), (4.0, 0.01, 0.03), (9.0, 0.015, 0.04), (22.0, 0.02, 0.06), (50.0, 0.02, 0.06))


def paint(rng: np.random.Generator, hairline: F32) -> F32:
    """(1024, 1024) float32 albedo of one person; `hairline` (896, 1024) is 1 where hair grows, soft at its edge."""
    canvas = blank_canvas(float(rng.uniform(*SKIN)))
    _regions(canvas, rng)
    _mottle(canvas, rng)
    _folds(canvas, rng)
    _moles(canvas, rng)
    _lips(canvas, rng)
    _beard(canvas, rng)
    _brows(canvas, rng)
    _eye_rims(canvas, rng)
    _hair(canvas, rng, hairline)
    _clothes(canvas, rng)
    texture = np.full((SIZE, SIZE), 0.5, np.float32)
    texture[:ROWS] = np.clip(canvas.albedo, 0.02, 0.9)
    iris = _iris(rng)
    for side in (0, 1):
        texture[ROWS + 8 : ROWS + 8 + EYE_PATCH, side * EYE_PATCH : (side + 1) * EYE_PATCH] = iris
    return texture


def noise(canvas: Canvas, rng: np.random.Generator, scale_mm: float, stretch: float = 1.0) -> F32:
    """Smooth unit normal noise with features of about `scale_mm` (`stretch` times that downwards), seamless behind."""
    row_mm, column_mm = canvas.pitch_mm
    rows = max(4, round(canvas.shape[0] * row_mm / scale_mm / stretch))
    columns = max(4, round(canvas.shape[1] * column_mm / scale_mm))
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    wrapped = np.concatenate([coarse[:, -2:], coarse, coarse[:, :2]], axis=1)
    wide = cv2.resize(
        wrapped, (round(canvas.shape[1] * (columns + 4) / columns), canvas.shape[0]), interpolation=cv2.INTER_CUBIC
    )
    start = (wide.shape[1] - canvas.shape[1]) // 2
    cut = wide[:, start : start + canvas.shape[1]]
    return np.asarray(cut / cut.std(), np.float32)


def blob(canvas: Canvas, across: float, down: float, wide: float, high: float) -> F32:
    """A soft spot, 1 in its middle, of the given half widths in mm."""
    return np.asarray(
        np.exp(-(((canvas.across - across) / wide) ** 2) - ((canvas.down - down) / high) ** 2), np.float32
    )


def step(distance_mm: NDArray[np.floating[Any]], softness_mm: float) -> F32:
    """0 below, 1 above zero, over about `softness_mm`."""
    return np.asarray(1 / (1 + np.exp(np.clip(-4 * distance_mm / softness_mm, -40, 40))), np.float32)


def _regions(canvas: Canvas, rng: np.random.Generator) -> None:
    """Nose, cheeks, forehead, chin and eye sockets differ from the rest, and between people."""
    spots = [
        (0, 30, 12, 22), (0, -55, 45, 22), (0, 95, 22, 14), (0, 52, 20, 8),
        (-45, 30, 22, 20), (45, 30, 22, 20), (-25, 10, 16, 7), (25, 10, 16, 7), (-25, -12, 18, 8), (25, -12, 18, 8),
    ]  # fmt: skip
    left = 0.0
    for index, (across, down, wide, high) in enumerate(spots):
        if index < 4 or index % 2 == 0:
            left = float(rng.normal(0, 0.1))
        canvas.albedo[:] *= 1 + np.float32(left + rng.normal(0, 0.02)) * blob(canvas, across, down, wide, high)


def _mottle(canvas: Canvas, rng: np.random.Generator) -> None:
    for scale_mm, weakest, strongest in MOTTLE:
        canvas.albedo[:] *= 1 + np.float32(rng.uniform(weakest, strongest)) * noise(canvas, rng, scale_mm)


def _folds(canvas: Canvas, rng: np.random.Generator) -> None:
    """Forehead lines, the fold from nose to mouth, and bags under the eyes; more in some."""
    age = float(rng.beta(1.3, 1.6))
    for _ in range(int(rng.integers(0, 5))):
        height = float(rng.uniform(-72, -38))
        wave = height + rng.uniform(-4, 4) * np.cos(canvas.across / rng.uniform(15, 30) + rng.uniform(0, 6))
        line = np.exp(-(((canvas.down - wave) / 1.1) ** 2) - (canvas.across / rng.uniform(25, 42)) ** 4)
        canvas.albedo[:] *= 1 - np.float32(0.3 * age) * line.astype(np.float32)
    for side in (-1, 1):
        fold = 19 + (canvas.down - 40) * np.float32(rng.uniform(0.25, 0.4))
        inside = step(canvas.down - 36, 8) * step(72 - canvas.down, 12)
        line = np.exp(-(((canvas.across * side - fold) / rng.uniform(1.2, 2.5)) ** 2)).astype(np.float32) * inside
        canvas.albedo[:] *= 1 - np.float32(rng.uniform(0.05, 0.35) * age) * line
        bag = blob(canvas, side * 26, 13, 14, 2.0)
        canvas.albedo[:] *= 1 - np.float32(rng.uniform(0.05, 0.35) * age) * bag


def _moles(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(2, 28))):
        size = float(rng.uniform(0.7, 2.2))
        spot = blob(canvas, float(rng.uniform(-75, 75)), float(rng.uniform(-75, 110)), size, size)
        canvas.albedo[:] *= 1 - np.float32(rng.uniform(0.15, 0.55)) * spot


def _lips(canvas: Canvas, rng: np.random.Generator) -> None:
    half_mm = 21.0
    bow = np.sqrt(np.clip(1 - (canvas.across / half_mm) ** 2, 0, 1))
    upper = step(canvas.down - (67 - 9 * bow), 2) * step(67 - canvas.down, 1)
    lower = step(canvas.down - 67, 1) * step((67 + 12.5 * bow) - canvas.down, 2)
    inside = step(half_mm - np.abs(canvas.across), 2)
    tone = float(rng.uniform(0.68, 1.08))
    canvas.albedo[:] *= 1 - np.float32(1 - tone * rng.uniform(0.92, 1.0)) * upper * inside
    canvas.albedo[:] *= 1 - np.float32(1 - tone) * lower * inside
    mouth_line = np.exp(-(((canvas.down - 67) / 1.0) ** 2)) * inside
    canvas.albedo[:] *= 1 - np.float32(rng.uniform(0.3, 0.6)) * mouth_line.astype(np.float32)


def _beard(canvas: Canvas, rng: np.random.Generator) -> None:
    """None, stubble, moustache, goatee or full, each as dense as it comes."""
    style = rng.choice(["none", "stubble", "moustache", "goatee", "full"], p=[0.5, 0.17, 0.08, 0.1, 0.15])
    density = float(rng.uniform(0.25, 0.7)) * (0.45 if style == "stubble" else 1)
    moustache = blob(canvas, 0, 54, 24, 5.5)
    chin = (
        blob(canvas, 0, 96, 24, 18)
        + blob(canvas, 0, 84, 5, 6)
        + blob(canvas, -27, 75, 6, 18)
        + blob(canvas, 27, 75, 6, 18)
    )
    cheek_line = 20 + 42 * np.exp(-(((np.abs(canvas.across) - 75) / 34) ** 2) * -1).clip(0, 1)
    jaw = step(canvas.down - (62 - (np.abs(canvas.across) / 80) ** 2 * (cheek_line - 10)), 8)
    jaw = jaw * step(100 - np.abs(canvas.across), 10) * step(135 - canvas.down, 15)
    where = {
        "none": 0 * moustache, "moustache": moustache, "goatee": moustache + chin,
        "stubble": moustache + chin + jaw, "full": moustache + chin + jaw,
    }[str(style)]  # fmt: skip
    lips = blob(canvas, 0, 68, 20, 8)
    cover = np.clip(where, 0, 1) * (1 - np.clip(1.3 * lips, 0, 1))
    strands = np.clip(0.75 + 0.3 * noise(canvas, rng, 1.2, 2.5) + 0.15 * noise(canvas, rng, 8), 0, 1.3)
    canvas.albedo[:] *= 1 - np.clip(np.float32(density) * cover * strands, 0, 0.9)


def _brows(canvas: Canvas, rng: np.random.Generator) -> None:
    inner, outer = float(rng.uniform(7, 13)), float(rng.uniform(40, 52))
    height, arch, tilt = float(rng.uniform(-27, -20)), float(rng.uniform(0, 6)), float(rng.normal(0, 3))
    thick, dark = float(rng.uniform(2.2, 5.5)), float(rng.uniform(0.3, 0.75))
    strands = np.clip(0.85 + 0.25 * noise(canvas, rng, 1.3, 1.0), 0, 1.3)
    for side in (-1, 1):
        along = (canvas.across * side - inner) / (outer - inner)
        middle = height + rng.normal(0, 0.7) - arch * np.sin(np.pi * np.clip(along, 0, 1)) + tilt * along
        width = thick * (1.15 - 0.75 * np.clip(along, 0, 1))
        body = np.exp(-(np.abs((canvas.down - middle) / width) ** 3)).astype(np.float32)
        ends = step(along * (outer - inner), 4) * step(((1 - along) * (outer - inner)).astype(np.float32), 6)
        canvas.albedo[:] *= 1 - np.clip(np.float32(dark) * body * ends * strands, 0, 0.9)


def _eye_rims(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lashes and lid edges: a dark almond line round each eye."""
    dark = float(rng.uniform(0.25, 0.6))
    for side in (-1, 1):
        x, y = (canvas.across - side * 24.5) / 13.5, canvas.down / 5.5
        ring = np.exp(-(((np.sqrt(x * x + y * y) - 1) / 0.28) ** 2)).astype(np.float32)
        upper = np.where(canvas.down < 1, 1.0, 0.5).astype(np.float32)
        canvas.albedo[:] *= 1 - np.float32(dark) * ring * upper


def _hair(canvas: Canvas, rng: np.random.Generator, hairline: F32) -> None:
    tone = float(rng.uniform(0.1, 0.36))
    strands = 1 + 0.16 * noise(canvas, rng, 2.0, 9.0) + 0.12 * noise(canvas, rng, 7.0, 5.0)
    canvas.albedo[:] = canvas.albedo * (1 - hairline) + np.float32(tone) * strands * hairline


def _clothes(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fabric from the neck down; dyes mostly vanish in the near infrared, so it is rather bright."""
    collar = float(rng.uniform(150, 190)) + float(rng.uniform(0, 45)) * np.exp(-((canvas.across / 35) ** 2))
    cloth = step(canvas.down - collar, 3)
    tone = float(rng.uniform(0.25, 0.65))
    weave = 1 + 0.05 * noise(canvas, rng, 2.5) + 0.1 * noise(canvas, rng, 35, 2.0)
    canvas.albedo[:] = canvas.albedo * (1 - cloth) + np.float32(tone) * weave * cloth


def _iris(rng: np.random.Generator) -> F32:
    """(112, 112): sclera, iris with its fibres, pupil."""
    place = (np.arange(EYE_PATCH, dtype=np.float32) + 0.5) / EYE_PATCH * 2 - 1
    x, y = np.meshgrid(place * EYE_RADIUS_MM, place * EYE_RADIUS_MM)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    fibres = 1 + 0.12 * np.sin(angle * float(rng.integers(9, 17)) + float(rng.uniform(0, 6)))
    iris = step(float(rng.uniform(5.6, 6.2)) - radius, 0.7)
    pupil = step(float(rng.uniform(1.6, 2.6)) - radius, 0.4)
    tone = np.float32(rng.uniform(0.2, 0.4)) * fibres
    eye = np.float32(0.55) * (1 - iris) + tone * iris
    return np.asarray(eye * (1 - pupil) + np.float32(0.04) * pupil, np.float32)
