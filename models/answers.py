"""What each network answers to inputs it never saw: its float parent's outputs, kept beside the weights.

One small file a network, `answers/NAME.npz`. Whatever runs the network, a CPU or an NPU behind a delegate, int8 or
float, must say nearly the same: that is its known-answer test, and it needs no training tools and no test data.

Rule kept here: an answer is compared by direction and by length, so that a sign turned, outputs exchanged, a scale
forgotten or axes swapped are all seen.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Network
from models.manifest import ModelError

ANSWERS_DIR = Path(__file__).parent / "answers"
MEDIAN, WORST = 0.99, 0.97
"""Least cosines of an int8 network to its float parent."""
EXACT = 0.9999
"""Least cosine of a float network to itself elsewhere."""
LENGTH = 0.25
"""How much longer or shorter an answer may be: as far off as the worst direction allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Inputs and what the float parent made of them.

    Attributes:
        inputs: (N, ...) integers.
        unit: what 1 in `inputs` is to the network.
        copies: how often the one channel of grey `inputs` is repeated; 1 for all others.
        outputs: (N, M) float16 or float32, all outputs of the network one after another.
        people: what and who is seen in `inputs`.
    """

    inputs: NDArray[np.int16] | NDArray[np.uint8]
    unit: float
    copies: int
    outputs: NDArray[np.float16] | NDArray[np.float32]
    people: str

    def tensor(self, index: int) -> NDArray[np.float32]:
        """(1, ...) float32, as the network takes it."""
        item = self.inputs[index : index + 1].astype(np.float32) * np.float32(self.unit)
        return np.repeat(item, self.copies, axis=1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a network's answers are: cosines, and the largest share by which one is too long or too short."""

    count: int
    median: float
    worst: float
    length: float

    def holds(self, precision: str) -> bool:
        """Whether that is near enough for a file of `precision`, `float32` or `int8`."""
        median, worst = (MEDIAN, WORST) if precision == "int8" else (EXACT, EXACT)
        return self.median >= median and self.worst >= worst and self.length <= LENGTH


def load_answers(name: str) -> Answers:
    """Return the answers of network `name`. Raises ModelError."""
    path = ANSWERS_DIR / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Answers(
                kept["inputs"], float(kept["unit"]), int(kept["copies"]), kept["outputs"], str(kept["people"])
            )
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(
            f"{path}: {error or type(error).__name__}; restore the file that this version came with"
        ) from error


def save_answers(name: str, answers: Answers) -> Path:
    """Write the answers of the network `name`; the same answers give the same bytes."""
    ANSWERS_DIR.mkdir(exist_ok=True)
    path = ANSWERS_DIR / f"{name}.npz"
    np.savez_compressed(
        path,
        inputs=answers.inputs,
        unit=np.float64(answers.unit),
        copies=np.int64(answers.copies),
        outputs=answers.outputs,
        people=np.str_(answers.people),
    )
    return path


def flat(outputs: tuple[NDArray[np.float32], ...]) -> NDArray[np.float32]:
    """All outputs one after another, (M,) float32."""
    return np.concatenate([output.ravel() for output in outputs])


def agreement(network: Network, answers: Answers) -> Agreement:
    """Ask `network` and compare. Raises NetworkError."""
    given = np.stack([flat(network.run(answers.tensor(index))) for index in range(len(answers.inputs))])
    return compare(given, answers.outputs.astype(np.float32))


def compare(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> Agreement:
    """Compare (N, M) answers."""
    ours, theirs = (np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (given, wanted))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.nan_to_num((given.astype(np.float64) * wanted).sum(1) / (ours * theirs), nan=-1.0)
        length = np.nan_to_num(np.abs(ours / theirs - 1), nan=np.inf)
    return Agreement(len(cosine), float(np.median(cosine)), float(cosine.min()), float(length.max()))
