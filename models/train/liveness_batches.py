"""From stored views to what the liveness network is fed, with the variety that takes its easy ways out.

What it must not lean on is varied: how bright and even the light is, its noise and sharpness, where exactly the face
lies, the depth's own noise, and where depth is missing. Now and then a whole channel is taken away.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nn
from numpy.typing import NDArray
from torch import Tensor

from firmware.liveness.cues.network import (
    COLUMNS,
    DARK,
    LIGHT_NATS,
    REFLECTANCE_NATS,
    RELIEF_MM,
    ROWS,
    ellipse,
)
from models.train.liveness_faces import Stored, scales

SHIFT, TURN, GROW = 0.06, 0.06, 0.05  # of half the picture; radians; relative
BLANK = 0.12  # of faces lose a channel


@dataclass(frozen=True, slots=True, eq=False)
class _Planes:
    """(N, ROWS, COLUMNS) float32 each, as `firmware.liveness.cues.network.View` has them."""

    light: Tensor
    shape: Tensor
    relief_mm: Tensor
    known: Tensor


class Batches:
    """Turns stored views into network input, and varies them. One seed, one sequence of variations."""

    def __init__(self, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._within = torch.from_numpy(np.flatnonzero(ellipse()))
        x, y = torch.linspace(-1, 1, COLUMNS), torch.linspace(-1, 1, ROWS)
        self._x, self._y = x[None, None, :], y[None, :, None]

    @property
    def state(self) -> Tensor:
        """Of the generator of variations."""
        return self._random.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._random.set_state(state)

    def plain(self, stored: Stored, rows: NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """(N, 4, ROWS, COLUMNS) float32 of these rows."""
        return self._channels(_planes(stored, rows))

    def varied(self, stored: Stored, rows: NDArray[np.int64]) -> Tensor:
        """As `plain`, each view as it might have been on another day."""
        planes = self._moved(_planes(stored, rows))
        channels = self._channels(self._relit(self._roughened(planes)))
        lost = (self._uniform(len(rows), 1, 1, 1) < BLANK) & (
            torch.arange(4)[None, :, None, None] == torch.randint(0, 4, (len(rows), 1, 1, 1), generator=self._random)
        )
        return channels.masked_fill(lost, 0.0).contiguous(memory_format=torch.channels_last)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._random)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._random)

    def _blobs(self, count: int, side: int) -> Tensor:
        coarse = self._normal(count, 1, ROWS // side, COLUMNS // side)
        return nn.interpolate(coarse, (ROWS, COLUMNS), mode="bilinear")[:, 0]

    def _moved(self, planes: _Planes) -> _Planes:
        """Mirrored or not, shifted, turned, a little larger or smaller."""
        count = len(planes.light)
        turn, grow = TURN * self._normal(count), 1 + GROW * self._normal(count)
        flip = torch.where(self._uniform(count) < 0.5, -1.0, 1.0)
        aspect = ROWS / COLUMNS
        theta = torch.stack(
            [
                torch.stack([flip * grow * turn.cos(), -aspect * turn.sin(), SHIFT * self._normal(count)], 1),
                torch.stack([flip * turn.sin() / aspect, grow * turn.cos(), SHIFT * self._normal(count)], 1),
            ],
            1,
        )
        grid = nn.affine_grid(theta, [count, 1, ROWS, COLUMNS], align_corners=False)
        smooth = nn.grid_sample(torch.stack([planes.light, planes.known], 1), grid, "bilinear", align_corners=False)
        sharp = nn.grid_sample(torch.stack([planes.shape, planes.relief_mm], 1), grid, "nearest", align_corners=False)
        known = torch.where(smooth[:, 1] > 0.3, smooth[:, 1], 0.0)
        return _Planes(smooth[:, 0], sharp[:, 0], sharp[:, 1], known)

    def _relit(self, planes: _Planes) -> _Planes:
        """Other gamma, uneven light, blur, noise; then compared with its median anew."""
        count = len(planes.light)
        light = planes.light.clamp(min=0) ** torch.exp(0.12 * self._normal(count, 1, 1))
        light = light * torch.exp(0.1 * (self._normal(count, 1, 1) * self._x + self._normal(count, 1, 1) * self._y))
        soft = nn.avg_pool2d(light[:, None], 3, 1, 1)[:, 0]
        light = light + (soft - light) * (1.4 * self._uniform(count, 1, 1) - 0.4)  # sharpened a little, or blurred
        noise = 0.05 * self._uniform(count, 1, 1) ** 2
        light = light + noise * self._normal(*light.shape) * (0.3 + light.clamp(0, 2)).sqrt()
        bright = light.flatten(1)[:, self._within].median(1).values[:, None, None]
        return _Planes(light / bright.clamp(min=1e-3), planes.shape, planes.relief_mm, planes.known)

    def _roughened(self, planes: _Planes) -> _Planes:
        """Depth noise at two scales, a tilt, and pieces missing: blobs, and a box in a quarter of the faces."""
        count = len(planes.light)
        tilt = 3.0 * (self._normal(count, 1, 1) * self._x + self._normal(count, 1, 1) * self._y)
        fine, coarse = self._blobs(count, 2), self._blobs(count, 6)
        relief = planes.relief_mm + tilt + self._uniform(count, 1, 1) * fine + 0.7 * self._uniform(count, 1, 1) * coarse
        shape = planes.shape * torch.exp(0.12 * self._uniform(count, 1, 1) * self._blobs(count, 3))
        whole = self._blobs(count, 8) < 1.3 + 3 * self._uniform(count, 1, 1)
        left, top = 2 * self._uniform(count, 1, 1) - 1, 2 * self._uniform(count, 1, 1) - 1
        wide, high = (0.05 + 0.3 * self._uniform(count, 1, 1) for _ in range(2))
        box = ((self._x - left).abs() < wide) & ((self._y - top).abs() < high) & (self._uniform(count, 1, 1) < 0.25)
        known = planes.known * (whole & ~box)
        there = known > 0
        return _Planes(planes.light, shape * there, relief * there, known)

    def _channels(self, planes: _Planes) -> Tensor:
        """As `View.channels` does it for one face."""
        light = planes.light.clamp(min=DARK).log()
        sloped = planes.shape > DARK
        left = torch.where(sloped, light - planes.shape.clamp(min=DARK).log(), math.nan)
        middle = left.flatten(1)[:, self._within].nanmedian(1).values.nan_to_num()[:, None, None]
        left = (left - middle).nan_to_num() / REFLECTANCE_NATS
        off, scale = LIGHT_NATS
        stacked = torch.stack([left, (light - off) / scale, planes.relief_mm / RELIEF_MM, planes.known], 1)
        return stacked.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def _planes(stored: Stored, rows: NDArray[np.int64] | slice) -> _Planes:
    one, step_mm, share = scales()
    light, shape, relief, known = (
        torch.from_numpy(np.ascontiguousarray(plane[rows])).float()
        for plane in (stored.light, stored.shape, stored.relief, stored.known)
    )
    return _Planes(light * one, shape * one, relief * step_mm, known * share)
