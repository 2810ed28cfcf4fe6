"""From stored relief maps to what the network is fed, with the variety a map made once does not have."""

import numpy as np
import torch
import torch.nn.functional as nn
from numpy.typing import NDArray
from torch import Tensor

from firmware.vision.canonical import COLUMNS, MM_PER_CELL, RELIEF_SCALE_MM, ROWS, template
from models.train.depth_faces import HOLE, UNIT_MM


class Batches:
    """Turns stored faces into network input, and varies them. One seed, one sequence of variations."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._device = device
        self._mean = torch.from_numpy(np.nan_to_num(template().height_mm, nan=0.0)).to(device)
        self._off_mean = torch.from_numpy(~np.isfinite(template().height_mm)).to(device)
        x = torch.arange(COLUMNS, dtype=torch.float32) - (COLUMNS - 1) / 2
        y = torch.arange(ROWS, dtype=torch.float32) - (ROWS - 1) / 2
        self._x, self._y = x.to(device)[None, None, :] * MM_PER_CELL, y.to(device)[None, :, None] * MM_PER_CELL

    @property
    def state(self) -> Tensor:
        """Of the generator of variations."""
        return self._random.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._random.set_state(state)

    def plain(self, stored: NDArray[np.int16]) -> Tensor:
        """(N, 4, ROWS, COLUMNS) float32 of (N, ROWS, COLUMNS) stored faces."""
        return self._channels(*self._relief(stored))

    def varied(self, stored: NDArray[np.int16]) -> Tensor:
        """As `plain`, each face a little misaligned, rough, and with pieces missing."""
        relief, known = self._relief(stored)
        count = len(relief)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=self._random).to(self._device)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=self._random).to(self._device)

        relief = (
            relief + 0.6 * normal(count, 1, 1) + 0.012 * (normal(count, 1, 1) * self._x + normal(count, 1, 1) * self._y)
        )
        rough = nn.interpolate(normal(count, 1, ROWS // 4, COLUMNS // 4), (ROWS, COLUMNS), mode="bilinear")[:, 0]
        relief = relief + rough * 0.5 * uniform(count, 1, 1)
        gaps = nn.interpolate(normal(count, 1, ROWS // 8, COLUMNS // 8), (ROWS, COLUMNS), mode="bilinear")[:, 0]
        known = known & (gaps < 1.2 + 2.5 * uniform(count, 1, 1))
        # a hand, a fringe, a shadow: one box in a third of the faces
        left, top = uniform(count, 1, 1) * COLUMNS, uniform(count, 1, 1) * ROWS
        wide, high = (4 + 24 * uniform(count, 1, 1) for _ in range(2))
        columns, rows = self._x / MM_PER_CELL + (COLUMNS - 1) / 2, self._y / MM_PER_CELL + (ROWS - 1) / 2
        box = ((columns - left).abs() < wide / 2) & ((rows - top).abs() < high / 2) & (uniform(count, 1, 1) < 0.33)
        return self._channels(relief, known & ~box)

    def _relief(self, stored: NDArray[np.int16]) -> tuple[Tensor, Tensor]:
        raw = torch.from_numpy(stored).to(self._device)
        return raw.float() * UNIT_MM, raw != HOLE

    def _channels(self, relief: Tensor, known: Tensor) -> Tensor:
        """As `firmware.vision.canonical` does it for one face."""
        height = self._mean - relief
        flat = known & ~self._off_mean
        across, down = torch.zeros_like(height), torch.zeros_like(height)
        across[:, :, 1:-1] = (height[:, :, 2:] - height[:, :, :-2]) / (2 * MM_PER_CELL)
        down[:, 1:-1] = (height[:, 2:] - height[:, :-2]) / (2 * MM_PER_CELL)
        sure = torch.zeros_like(known)
        sure[:, 1:-1, 1:-1] = flat[:, 1:-1, 2:] & flat[:, 1:-1, :-2] & flat[:, 2:, 1:-1] & flat[:, :-2, 1:-1]
        length = torch.sqrt(across**2 + down**2 + 1)
        filled = (relief / RELIEF_SCALE_MM).clamp(-1, 1) * known
        channels = torch.stack([filled, across / length * sure, down / length * sure, known.float()], 1)
        return channels.contiguous(memory_format=torch.channels_last)
