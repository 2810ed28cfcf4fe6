"""One photograph made to blink, smile and speak: what a face animation program does, as a smooth warp of the picture.

Five points of the face are enough: lids close over the eyes, mouth corners move out and up, the lower lip and chin
move down and the mouth between them turns dark. Sizes are shares of the distance between the eyes.
"""

import cv2
import numpy as np

from hil.people.actor import Expression
from hil.sensor.surface import F32

DARK = 0.05  # inside of an open mouth
CORNER_OUT, CORNER_UP = 0.12, 0.09  # of the distance between the eyes, at a full smile
CHIN_DOWN = 0.3  # at a fully opened mouth
LIPS = 0.36  # half the width of the mouth


def animated(picture: F32, points: F32, expression: Expression) -> F32:
    """(R, C) float32: `picture` (R, C), whose face at rest has its five `points` (5, 2) in pixels, in YuNet's order."""
    unit = float(np.linalg.norm(points[1] - points[0]))
    rows, columns = picture.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    shift_x, shift_y = np.zeros_like(picture), np.zeros_like(picture)
    middle = points[3:].mean(axis=0)
    opened = expression.mouth_open * CHIN_DOWN * unit
    # what is below the lips' line goes down; beside the lips skin only stretches, so it must not tear there
    lips = np.sqrt(np.clip(1 - ((x - middle[0]) / (LIPS * unit)) ** 2, 0, 1))
    depth = np.clip((y - middle[1]) / (0.4 * unit), 0, 1)
    below = (y > middle[1]) * (lips + (1 - lips) * depth * depth * (3 - 2 * depth))
    shift_y += opened * below * _bump(x - middle[0], np.maximum(y - middle[1] - 0.5 * unit, 0), 0.7 * unit, 0.3 * unit)
    for corner in points[3:]:
        outwards = 1.0 if corner[0] > middle[0] else -1.0
        near = _bump(x - corner[0], y - corner[1], 0.4 * unit, 0.35 * unit)
        wide = expression.smile + 0.6 * expression.lips_wide - 0.7 * expression.lips_round
        shift_x += outwards * wide * CORNER_OUT * unit * near
        shift_y -= (expression.smile - expression.frown) * CORNER_UP * unit * near
    moved: F32 = _sampled(picture, x - shift_x, y - shift_y)
    if opened > 0:
        gap = opened * lips
        dark = np.clip(np.minimum(y - middle[1], middle[1] + gap - y) + 0.5, 0, 1) * (lips > 0)
        moved = moved * (1 - dark) + np.float32(DARK) * dark
    for eye, closed in ((points[0], expression.blink_right), (points[1], expression.blink_left)):
        moved = _lid(moved, x - eye[0], y - eye[1], unit, closed)
    return np.asarray(moved, np.float32)


def _lid(picture: F32, x: F32, y: F32, unit: float, closed: float) -> F32:
    """Skin from above the eye laid over it, down to where the lid's edge stands."""
    if closed <= 0:
        return picture
    half_wide, half_high = 0.26 * unit, 0.12 * unit
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    skin = _sampled(picture, columns, rows - np.float32(0.26 * unit))
    inside = np.clip(3 * (1 - (x / half_wide) ** 2 - (y / half_high) ** 2), 0, 1)
    edge = half_high * (2 * closed - 1)
    cover = inside * np.clip(edge - y + 0.5, 0, 1)
    return np.asarray(picture * (1 - cover) + skin * cover, np.float32)


def _sampled(picture: F32, columns: F32, rows: F32) -> F32:
    moved = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _bump(x: F32, y: F32, wide: float, high: float) -> F32:
    return np.asarray(np.exp(-((x / wide) ** 2) - (y / high) ** 2), np.float32)
