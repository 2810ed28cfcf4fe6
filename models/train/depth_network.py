"""The depth identity network: separable convolutions, ReLU6, nothing an NPU could not map whole.

No normalisation inside (batch norm is folded at export, the embedding is made a unit vector outside), no PReLU, no
attention. Under a million parameters and 60 million multiplications.
"""

import torch
from torch import Tensor, nn

CHANNELS, ROWS, COLUMNS = 4, 112, 96
EMBEDDING = 128
STEM = 24
# of each block: channels out, stride, how many times it widens inside
BLOCKS = (
    (40, 2, 1), (40, 1, 2), (40, 1, 2),
    (80, 2, 2), (80, 1, 2), (80, 1, 2), (80, 1, 2),
    (144, 2, 2), (144, 1, 2), (144, 1, 2),
)  # fmt: skip


def convolution(into: int, out: int, side: int, stride: int = 1, groups: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution of `side` x `side`, batch norm and, if `active`, ReLU6."""
    layers: list[nn.Module] = [
        nn.Conv2d(into, out, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if active else []))


class Block(nn.Module):
    """Widen, look around, narrow (Sandler et al. 2018), with a short cut where shapes allow."""

    def __init__(self, into: int, out: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = into * widen
        self.body = nn.Sequential(
            convolution(into, wide, 1),
            convolution(wide, wide, 3, stride, groups=wide),
            convolution(wide, out, 1, active=False),
        )
        self.short = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        seen: Tensor = self.body(x)
        return x + seen if self.short else seen


class DepthNetwork(nn.Module):
    """(N, 4, 112, 96) float32 in -1..1 -> (N, 128), not normalised."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        into = STEM
        for out, stride, widen in BLOCKS:
            blocks.append(Block(into, out, stride, widen))
            into = out
        self.features = nn.Sequential(convolution(CHANNELS, STEM, 3, 2), *blocks, convolution(into, 384, 1))
        # one weight a place and channel: a mouth is not a nose (Chen et al. 2018, global depthwise convolution)
        self.gather = convolution(384, 384, 1, groups=384, active=False)
        self.gather[0] = nn.Conv2d(384, 384, (ROWS // 16, COLUMNS // 16), groups=384, bias=False)
        self.embed = nn.Sequential(nn.Conv2d(384, EMBEDDING, 1, bias=False), nn.BatchNorm2d(EMBEDDING))

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch."""
        return torch.flatten(self.embed(self.gather(self.features(x))), 1)
