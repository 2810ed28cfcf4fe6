"""A neural network loaded on some runtime: arrays in, arrays out, nothing kept between calls."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
