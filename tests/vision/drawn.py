"""A face drawn from a handful of smooth spots: YuNet takes it for one, and it needs no data and no renderer."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet

MakeFrame = Callable[..., FrameSet]


def draw_face(x_px: float = 320, y_px: float = 240, scale: float = 1.0) -> NDArray[np.uint8]:
    """(480, 640) uint8: a drawn face centred at a place, 76 px between the eyes at scale 1."""
    y, x = np.mgrid[0:480, 0:640].astype(np.float64)
    x, y = (x - x_px) / scale, (y - y_px) / scale

    def spot(cx: float, cy: float, sx: float, sy: float) -> NDArray[np.float64]:
        value: NDArray[np.float64] = np.exp(-((((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) ** 2))
        return value

    face = 20 + 150 * spot(0, 0, 95, 130) + 25 * spot(0, 0, 9, 35) - 70 * spot(0, 65, 32, 8)
    for side in (-1, 1):
        face -= 90 * spot(side * 38, -35, 17, 8) + 70 * spot(side * 38, -58, 24, 5) + 60 * spot(side * 9, 28, 5, 4)
    return np.clip(face, 0, 255).astype(np.uint8)
