"""A neural network loaded on some runtime: float32 arrays in, float32 arrays out, nothing kept between calls.

A runtime is an entry point of the group `tessera.npu`, a function of this shape:

    open_network(model: bytes, threads: int = 1, name: str = "network", layout: Layout = "NCHW",
                 options: Options = {}) -> Network

Contract, whatever the runtime:
- Images are NCHW outside. A model file whose own tensors are NHWC says so in the manifest (`layout`), and its adapter
  turns them.
- Inputs and outputs are float32. Where a model file's own are int8, its adapter applies their scales, there alone.
- The bytes that were verified are the bytes that run: an adapter takes no path.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Layout: TypeAlias = Literal["NCHW", "NHWC"]
Options: TypeAlias = Mapping[str, str | int | float | bool]
MAX_THREADS = 64


class NetworkError(Exception):
    """The network file is missing, damaged, not the one named in the manifest, or the runtime refused it."""


class Network(ABC):
    """A loaded network. Inputs and outputs are in the model file's own order."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in the order `run` takes them."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order `run` returns them."""

    @abstractmethod
    def run(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run once. Raises NetworkError naming the network where shapes or dtypes do not fit."""


def check_threads(threads: int, name: str) -> None:
    """Raise NetworkError unless `threads` is possible."""
    if not 1 <= threads <= MAX_THREADS:
        raise NetworkError(f"network {name}: threads is {threads}, must be 1..{MAX_THREADS}")
