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


def draw_eyes(
    ir: NDArray[np.uint8], shut: tuple[bool, bool] = (False, False), gaze_px: tuple[float, float] = (0, 0)
) -> NDArray[np.uint8]:
    """Draw eyes of 17 px half width into `draw_face()`: white, iris and pupil between lids, or a line where `shut`.

    Args:
        ir: (480, 640) uint8, drawn by `draw_face` at its default place.
        shut: right and left eye.
        gaze_px: how far iris and pupil are off the middle, right and down.
    """
    y, x = np.mgrid[0:480, 0:640].astype(np.float64)
    drawn = ir.astype(np.float64)

    def below(value: NDArray[np.float64], edge: float, steep: float = 2.0) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(np.clip((value - edge) * steep, -50, 50)))

    for side, is_shut in zip((-1, 1), shut, strict=True):
        dx, dy = x - 320 - side * 38, y - 205
        socket = np.exp(-(((dx / 24) ** 2 + (dy / 13) ** 2) ** 3))
        drawn = drawn * (1 - socket) + 160 * socket
        within, arch = np.abs(dx) < 17, np.clip(1 - (dx / 17) ** 2, 0, None)
        if is_shut:
            drawn -= 90 * np.exp(-(((dy - 2 - 3 * arch) / 1.3) ** 2)) * within
            continue
        lid = np.abs(dy) - 6.5 * arch**0.7
        away = np.hypot(dx - gaze_px[0], dy - gaze_px[1])
        white = below(lid, 0) * within
        drawn = drawn * (1 - white) + (175 - 110 * below(away, 7) - 55 * below(away, 2.8)) * white
        drawn -= 70 * np.exp(-(lid**2)) * within * (dy < 0)
    return np.clip(drawn, 0, 255).astype(np.uint8)
