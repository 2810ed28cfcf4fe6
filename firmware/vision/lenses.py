"""Whether something dark lies over both eyes: sunglasses that near infrared does not pass.

Asked of the picture alone, since depth is missing or wrong behind such lenses: a face behind them often has no pose.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet

F64 = NDArray[np.float64]


SPAN: Final = (0.28, 0.19)
"""Half width and height of what a lens hides, of the eyes' distance: 18 by 12 mm of an adult's."""
CHEEK, CHEEK_DOWN = 0.12, 0.7
"""Radius of a piece of cheek, of the eyes' distance; where it lies from eye to mouth corner."""
DARK = -1.0
"""Nats. ICT people without lenses had -0.53 and more, with opaque ones -1.4 and less (docs/attention.md)."""
LEAST_PX = 12
"""Of the flood's own light: less than this many pixels of an eye or a cheek say nothing."""


def dark_lenses(frames: FrameSet, points_px: NDArray[np.float32]) -> bool:
    """Whether both eyes of the face with (5, 2) `points_px` are hidden behind something dark."""
    return lens_light(frames, points_px) < DARK


def lens_light(frames: FrameSet, points_px: NDArray[np.float32]) -> float:
    """Log of the light from around the eyes over the light from the cheeks, of the lighter eye; NaN where unknown."""
    points = points_px.astype(np.float64)
    across = points[1] - points[0]
    size = float(np.hypot(*across))
    if not size > 0:
        return math.nan
    right = across / size
    down = np.array([-right[1], right[0]])
    cheeks = points[:2] + CHEEK_DOWN * (points[3:] - points[:2])
    light = [_median(frames, eye, right, down, SPAN[0] * size, SPAN[1] * size) for eye in points[:2]]
    skin = [_median(frames, cheek, right, down, CHEEK * size, CHEEK * size) for cheek in cheeks]
    if not (np.isfinite(light).all() and np.isfinite(skin).all() and min(skin) > 0):
        return math.nan
    floor = np.iinfo(frames.ir.dtype).max / 255
    return float(np.log(max(max(light), floor)) - np.log(max(float(np.mean(skin)), floor)))


def _median(frames: FrameSet, middle: F64, right: F64, down: F64, half_wide: float, half_high: float) -> float:
    """Median of the flood's own light in an ellipse; NaN where too little of it is in the picture."""
    reach = math.ceil(max(half_wide, half_high))
    u0, v0 = (max(round(float(place)) - reach, 0) for place in middle)
    u1, v1 = (max(round(float(place)) + reach + 1, 0) for place in middle)
    box = (slice(v0, v1), slice(u0, u1))
    own = frames.ir[box].astype(np.float32)
    if frames.ambient is not None:
        own = own - frames.ambient[box]
    v, u = np.mgrid[v0 : v0 + own.shape[0], u0 : u0 + own.shape[1]]
    du, dv = u - middle[0], v - middle[1]
    within = ((du * right[0] + dv * right[1]) / half_wide) ** 2 + ((du * down[0] + dv * down[1]) / half_high) ** 2 < 1
    return float(np.median(own[within])) if int(within.sum()) >= LEAST_PX else math.nan
