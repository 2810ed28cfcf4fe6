"""A skin of one's own, as the near infrared sees it: painted on the unrolled cylinder of `atlas`.

Bare heads with plain skin look alike to a face network. What tells virtual people apart here is what tells
real people apart: mottling at several scales, brows, lips, beard, hair, moles, folds, and how regions differ.
Skin at 940 nm reflects about 0.53 (0.40-0.65); the palette stays inside that.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.people.atlas import EYE_PATCH, EYE_RADIUS_MM, MOUTH_PATCH, ROWS, SIZE, Canvas, blank_canvas
from hil.sensor.surface import F32

SKIN = (0.47, 0.60)
GREY_HAIR = 0.5  # guess: hair without pigment scatters almost as skin does
MOUTH_ALBEDO = 0.08  # the dark of an open mouth; it is drawn as a lining, so the cavity's shadow is in here
MOUTH_MM, MOUTH_HALF_MM = 67.0, 21.0  # of the base mesh: below the eyes, and half its width of arc
# size of the patches in mm, and how strong they may be: fine mottling stays weak, or distance would average it away
MOTTLE = ((1.6, 0.01, 0.025), (4.0, 0.01, 0.03), (9.0, 0.015, 0.04), (22.0, 0.02, 0.06), (50.0, 0.02, 0.06))


@dataclass(frozen=True)
class Looks:
    """What a life has done to a skin: without it, an adult of any age and a beard by chance.

    Attributes:
        age: 0 smooth as a child's, 1 lined as at ninety.
        beard: whether one may grow.
        grey: share of the hair's pigment lost, which brightens it.
    """

    age: float
    beard: bool
    grey: float


def paint(rng: np.random.Generator, hairline: F32, looks: Looks | None = None) -> F32:
    """(1024, 1024) float32 albedo of one person; `hairline` (896, 1024) is 1 where hair grows, soft at its edge."""
    canvas = blank_canvas(float(rng.uniform(*SKIN)))
    _regions(canvas, rng)
    _mottle(canvas, rng)
    _folds(canvas, rng, looks)
    _moles(canvas, rng)
    _lips(canvas, rng)
    if looks is None or looks.beard:
        _beard(canvas, rng)
    _brows(canvas, rng)
    _eye_rims(canvas, rng)
    _hair(canvas, rng, hairline, looks)
    _clothes(canvas, rng)
    texture = np.full((SIZE, SIZE), 0.5, np.float32)
    texture[:ROWS] = np.clip(canvas.albedo, 0.02, 0.9)
    iris = _iris(rng)
    for side in (0, 1):
        texture[ROWS + 8 : ROWS + 8 + EYE_PATCH, side * EYE_PATCH : (side + 1) * EYE_PATCH] = iris
    if looks is not None:
        texture[ROWS + 8 : ROWS + 8 + EYE_PATCH, slice(*MOUTH_PATCH)] = MOUTH_ALBEDO
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


def ridge(distance: NDArray[np.floating[Any]], width: float) -> F32:
    """1 where `distance` is zero, fading over `width`."""
    return np.asarray(np.exp(-((distance / width) ** 2)), np.float32)


def _regions(canvas: Canvas, rng: np.random.Generator) -> None:
    """Nose, forehead, chin, upper lip, cheeks and eye sockets differ from the rest, and between people."""
    for across, down, wide, high in ((0, 30, 12, 22), (0, -55, 45, 22), (0, 95, 22, 14), (0, 52, 20, 8)):
        canvas.scale(rng.normal(0, 0.1), blob(canvas, across, down, wide, high))
    for across, down, wide, high in ((45, 30, 22, 20), (25, 10, 16, 7), (25, -12, 18, 8)):
        both = rng.normal(0, 0.1)
        for side in (-1, 1):
            canvas.scale(both + rng.normal(0, 0.02), blob(canvas, side * across, down, wide, high))


def _mottle(canvas: Canvas, rng: np.random.Generator) -> None:
    for scale_mm, weakest, strongest in MOTTLE:
        canvas.scale(rng.uniform(weakest, strongest), noise(canvas, rng, scale_mm))


def _folds(canvas: Canvas, rng: np.random.Generator, looks: Looks | None) -> None:
    """Forehead lines, the fold from nose to mouth, and bags under the eyes; deeper with age."""
    age = rng.beta(1.3, 1.6) if looks is None else looks.age
    for _ in range(rng.integers(0, 5)):
        wave = rng.uniform(-72, -38) + rng.uniform(-4, 4) * np.cos(
            canvas.across / rng.uniform(15, 30) + rng.uniform(0, 6)
        )
        line = ridge(canvas.down - wave, 1.1) * np.exp(-((canvas.across / rng.uniform(25, 42)) ** 4))
        canvas.scale(-0.3 * age, line)
    for side in (-1, 1):
        fold = 19 + (canvas.down - 40) * rng.uniform(0.25, 0.4)
        beside_mouth = step(canvas.down - 36, 8) * step(72 - canvas.down, 12)
        canvas.scale(
            -rng.uniform(0.05, 0.35) * age, ridge(canvas.across * side - fold, rng.uniform(1.2, 2.5)) * beside_mouth
        )
        canvas.scale(-rng.uniform(0.05, 0.35) * age, blob(canvas, side * 26, 13, 14, 2))


def _moles(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(2, 28)):
        size = rng.uniform(0.7, 2.2)
        canvas.scale(-rng.uniform(0.15, 0.55), blob(canvas, rng.uniform(-75, 75), rng.uniform(-75, 110), size, size))


def _lips(canvas: Canvas, rng: np.random.Generator) -> None:
    """In the near infrared lips are hardly darker than skin, in some brighter; the line between them is dark."""
    bow = np.sqrt(np.clip(1 - (canvas.across / MOUTH_HALF_MM) ** 2, 0, 1))
    inside = step(MOUTH_HALF_MM - np.abs(canvas.across), 2)
    upper = step(canvas.down - (MOUTH_MM - 9 * bow), 2) * step(MOUTH_MM - canvas.down, 1)
    lower = step(canvas.down - MOUTH_MM, 1) * step(MOUTH_MM + 12.5 * bow - canvas.down, 2)
    tone = rng.uniform(0.68, 1.08)
    canvas.scale(tone * rng.uniform(0.92, 1) - 1, upper * inside)
    canvas.scale(tone - 1, lower * inside)
    canvas.scale(-rng.uniform(0.3, 0.6), ridge(canvas.down - MOUTH_MM, 1) * inside)


def _beard(canvas: Canvas, rng: np.random.Generator) -> None:
    """None, stubble, moustache, goatee or full, each as dense as it comes."""
    style = str(rng.choice(["none", "stubble", "moustache", "goatee", "full"], p=[0.5, 0.17, 0.08, 0.1, 0.15]))
    density = rng.uniform(0.25, 0.7) * (0.45 if style == "stubble" else 1)
    where = np.zeros(canvas.shape, np.float32)
    if style != "none":
        where += blob(canvas, 0, 54, 24, 5.5)
    if style in ("goatee", "stubble", "full"):
        for across, down, wide, high in ((0, 96, 24, 18), (0, 84, 5, 6), (-27, 75, 6, 18), (27, 75, 6, 18)):
            where += blob(canvas, across, down, wide, high)
    if style in ("stubble", "full"):
        below_cheek = step(canvas.down - (62 - 52 * (canvas.across / 80) ** 2), 8)
        where += below_cheek * step(100 - np.abs(canvas.across), 10) * step(135 - canvas.down, 15)
    cover = np.clip(where, 0, 1) * (1 - np.clip(1.3 * blob(canvas, 0, MOUTH_MM + 1, 20, 8), 0, 1))
    strands = 0.75 + 0.3 * noise(canvas, rng, 1.2, 2.5) + 0.15 * noise(canvas, rng, 8)
    canvas.scale(-density, cover * np.clip(strands, 0, 1.3))


def _brows(canvas: Canvas, rng: np.random.Generator) -> None:
    inner, outer = rng.uniform(7, 13), rng.uniform(40, 52)
    height, arch, tilt = rng.uniform(-27, -20), rng.uniform(0, 6), rng.normal(0, 3)
    thick, dark = rng.uniform(2.2, 5.5), rng.uniform(0.3, 0.75)
    strands = np.clip(0.85 + 0.25 * noise(canvas, rng, 1.3), 0, 1.3)
    for side in (-1, 1):
        along = np.clip((canvas.across * side - inner) / (outer - inner), -1, 2)
        middle = height + rng.normal(0, 0.7) - arch * np.sin(np.pi * np.clip(along, 0, 1)) + tilt * along
        body = np.exp(-(np.abs((canvas.down - middle) / (thick * (1.15 - 0.75 * np.clip(along, 0, 1)))) ** 3))
        ends = step(along * (outer - inner), 4) * step((1 - along) * (outer - inner), 6)
        canvas.scale(-dark, np.asarray(body * ends * strands, np.float32))


def _eye_rims(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lashes and lid edges: an almond line round each eye, darker above."""
    dark = rng.uniform(0.25, 0.6)
    lids = np.where(canvas.down < 1, 1.0, 0.5).astype(np.float32)
    for side in (-1, 1):
        radius = np.hypot((canvas.across - side * 24.5) / 13.5, canvas.down / 5.5)
        canvas.scale(-dark, ridge(radius - 1, 0.28) * lids)


def _hair(canvas: Canvas, rng: np.random.Generator, hairline: F32, looks: Looks | None) -> None:
    tone = np.float32(rng.uniform(0.1, 0.36))
    if looks is not None:
        tone = np.float32(tone * (1 - looks.grey) + GREY_HAIR * looks.grey)
    canvas.blend(tone * (1 + 0.16 * noise(canvas, rng, 2, 9) + 0.12 * noise(canvas, rng, 7, 5)), hairline)


def _clothes(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fabric from the neck down; dyes mostly vanish in the near infrared, so it is rather bright."""
    collar = rng.uniform(150, 190) + rng.uniform(0, 45) * np.exp(-((canvas.across / 35) ** 2))
    tone = np.float32(rng.uniform(0.25, 0.65))
    weave = tone * (1 + 0.05 * noise(canvas, rng, 2.5) + 0.1 * noise(canvas, rng, 35, 2))
    canvas.blend(weave, step(canvas.down - collar, 3))


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
