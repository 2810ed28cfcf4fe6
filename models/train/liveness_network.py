"""The liveness network: plain and residual convolutions, ReLU6, nothing an NPU could not map whole.

Batch norm is folded at export; what the scores add up to is reckoned outside (`firmware.liveness.cues.network.alive`).
"""

import torch
from torch import Tensor, nn

from firmware.liveness.cues.network import CHANNELS, COLUMNS, ROWS
from models.train.depth_network import convolution
from models.train.liveness_faces import GROUPS

STEM = 16
WIDTHS = (24, 48, 96)  # of each stage, half as large as the one before
DROPPED = 0.2  # of the last features, while training


class Residual(nn.Module):
    """Two convolutions and a short cut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(width, width, 3), convolution(width, width, 3, active=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same."""
        seen: Tensor = self.body(x)
        return x + seen


class LivenessNetwork(nn.Module):
    """(N, 4, 112, 96) float32 in -1..1 -> (N, groups) scores."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        into = STEM
        for width in WIDTHS:
            stages += [convolution(into, width, 3, 2), Residual(width)]
            into = width
        self.features = nn.Sequential(convolution(CHANNELS, STEM, 3, 2), *stages)
        # one weight a place and channel, as in `depth_network`: an eye is not a cheek
        self.gather = nn.Sequential(
            nn.Conv2d(into, into, (ROWS // 16, COLUMNS // 16), groups=into, bias=False), nn.BatchNorm2d(into)
        )
        self.scores = nn.Sequential(nn.Dropout(DROPPED), nn.Conv2d(into, len(GROUPS), 1))

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch."""
        return torch.flatten(self.scores(self.gather(self.features(x))), 1)
