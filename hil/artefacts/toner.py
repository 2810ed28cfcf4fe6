"""A life-size toner print of a near-infrared picture of the victim: what both print species are made from.

Carbon black stays black in the near infrared, so such a print keeps its face there (dye inks vanish): the dangerous
one of the published attacks. R = R_paper (1 - k (1 - grey)).
"""

import cv2
import numpy as np

from hil.people.head import Head
from hil.sensor.capture import render
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene
from hil.sensor.surface import F32

PAPER_ALBEDO = 0.8
TONER_K = 0.85  # carbon black and toner: 0.8-0.9
SHEET_MM = (210.0, 297.0)  # A4
MARGIN_MM = 8.0
EYES_BELOW_TOP_MM = 125.0
PIXELS_PER_MM = 4.0
_STAND_MM = 400.0


def print_of(victim: Head, rng: np.random.Generator) -> F32:
    """(1188, 840) float32 albedo of the sheet: the victim as this very sensor sees them, upright, at life size."""
    picture, _ = render(Scene((Placed(victim, Pose(z_mm=_STAND_MM)),), wall_mm=None), rng)
    columns, rows = (round(side * PIXELS_PER_MM) for side in SHEET_MM)
    scale = INTRINSICS.fx / _STAND_MM / PIXELS_PER_MM
    place = np.array(
        [
            [scale, 0, INTRINSICS.cx - scale * columns / 2],
            [0, scale, INTRINSICS.cy - scale * EYES_BELOW_TOP_MM * PIXELS_PER_MM],
        ]
    )
    grey = cv2.warpAffine(
        picture.astype(np.float32) / 255, place, (columns, rows), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    margin = round(MARGIN_MM * PIXELS_PER_MM)
    sheet = np.ones((rows, columns), np.float32)
    inside = (slice(margin, rows - margin), slice(margin, columns - margin))
    sheet[inside] = np.clip(grey, 0, 1)[inside]
    return np.asarray(PAPER_ALBEDO * (1 - TONER_K * (1 - sheet)), np.float32)


def sheet_mesh(columns: int, rows: int, width_mm: float, height_mm: float) -> tuple[F32, F32, np.ndarray]:
    """A grid facing the camera, centred: (V, 3) vertices mm, (V, 2) uv, (F, 3) int32 faces."""
    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32)
    flat = np.zeros((len(uv), 3), np.float32)
    flat[:, :2] = (uv - 0.5) * np.array([width_mm, height_mm], np.float32)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)[None, :]).ravel()
    right, below = corner + 1, corner + columns + 1
    faces = np.concatenate([np.stack([corner, below, right], 1), np.stack([right, below, below + 1], 1)])
    return flat, uv, faces.astype(np.int32)
