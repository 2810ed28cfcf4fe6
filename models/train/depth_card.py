"""The depth network's model card and loss curve, written by its export out of what was measured.

Error rates come from `cards/depth_identity.json`, rows of `[what, value]` that an evaluation wrote; without that file
the card says that none were measured.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np

from models.manifest import ModelError
from models.train.depth_faces import FRAMES, TRAIN_PEOPLE, TUNE_PEOPLE

CARDS = Path(__file__).parents[1] / "cards"
NAME = "depth_identity"
_TEXT = Path(__file__).with_name("depth_card.md")
_FILES = {"parent": "float ONNX", "onnx": "int8 ONNX", "tflite": "int8 TFLite"}


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says of the network itself.

    Attributes:
        digest: of the trained parameters.
        people: it was trained on.
        parameters, macs: how large it is.
        settings: of the training run.
    """

    digest: str
    people: int
    parameters: int
    macs: int
    settings: dict[str, Any]


def write_card(card: Card, history: list[tuple[float, float]], figures: dict[str, dict[str, float]]) -> list[Path]:
    """Write card and curve; returns their paths. Raises ModelError where the measured error rates are malformed."""
    text, curve = CARDS / f"{NAME}.md", CARDS / f"{NAME}.png"
    draw(history, curve)
    written = Template(_TEXT.read_text()).substitute(
        digest=card.digest[:16],
        people=f"{card.people:,}",
        images=f"{card.people * FRAMES:,}",
        parameters=f"{card.parameters / 1e6:.2f}",
        macs=f"{card.macs / 1e6:.0f}",
        frames=FRAMES,
        epochs=len(history),
        first=TRAIN_PEOPLE.start,
        tune_first=TUNE_PEOPLE.start,
        settings=", ".join(f"{key} {value:g}" for key, value in sorted(card.settings.items())),
        last_loss=f"{history[-1][0]:.3f}",
        last_rate=f"{100 * history[-1][1]:.2f}",
        files="\n".join(_row(_FILES[key], row) for key, row in figures.items()),
        errors=_errors(CARDS / f"{NAME}.json"),
    )
    text.write_text(written)
    return [text, curve]


def _row(name: str, row: dict[str, float]) -> str:
    return f"| {name} | {row['bytes'] / 1e3:.0f} | {row['median']:.4f} | {row['worst']:.4f} | {100 * row['tar']:.2f} |"


def _errors(path: Path) -> str:
    if not path.exists():
        return "None measured yet for these weights."
    try:
        rows = [(str(what), str(value)) for what, value in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path}: not rows of [what, value]: {error}") from error
    return "\n".join(["| measured | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def draw(history: list[tuple[float, float]], path: Path) -> None:
    """Loss and equal error rate by epoch."""
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker  # after the choice of a backend that needs no screen

    loss, rate = np.array(history).T
    epochs = np.arange(1, len(history) + 1)
    figure, left = pyplot.subplots(figsize=(6, 3.2))
    left.plot(epochs, loss, color="tab:blue", marker=".")
    left.set_xlabel("epoch")
    left.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    left.set_ylabel("loss", color="tab:blue")
    right = left.twinx()
    right.plot(epochs, 100 * rate, color="tab:red", marker=".")
    right.set_ylabel("EER of tuning people, %", color="tab:red")
    right.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
