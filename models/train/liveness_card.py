"""The liveness network's model card and loss curve, written by its export out of what was measured.

What species cost that a network never saw comes from `cards/liveness.json`, which `liveness_left_out` wrote; without
that file the card says that it was not measured.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from models.manifest import ModelError
from models.train.depth_card import CARDS, draw
from models.train.liveness_faces import TRAIN_PEOPLE, TUNE_PEOPLE
from models.train.liveness_rates import MISSED, RATES, Row, left_out_table, load_rates

NAME = "liveness"
_TEXT = Path(__file__).with_name("liveness_card.md")
_FILES = {"parent": "float ONNX", "onnx": "int8 ONNX", "tflite": "int8 TFLite"}


class FileRow(msgspec.Struct, frozen=True):
    """What one file does on faces of tuning people.

    Attributes:
        bytes: of the file.
        median, worst: cosine of its scores to the float parent's.
        off: how far its value is from the parent's, nats, 95 of 100 faces at most.
        rate: equal error rate, life against instruments.
    """

    bytes: int
    median: float
    worst: float
    off: float
    rate: float


def write_card(
    *,
    digest: str,
    plan: Mapping[str, Any],
    faces: int,
    parameters: int,
    macs: int,
    history: list[tuple[float, float]],
    files: Mapping[str, FileRow],
    rates: Mapping[str, Row],
) -> list[Path]:
    """Write card and curve; returns their paths. Raises ModelError where the kept rates are malformed."""
    text, curve = CARDS / f"{NAME}.md", CARDS / f"{NAME}.png"
    draw(history, curve)
    written = Template(_TEXT.read_text()).substitute(
        digest=digest[:16],
        people=f"{plan['people']:,}",
        tune_people=plan["tune_people"],
        faces=f"{faces:,}",
        parameters=f"{parameters / 1e6:.2f}",
        macs=f"{macs / 1e6:.0f}",
        first=TRAIN_PEOPLE.start,
        tune_first=TUNE_PEOPLE.start,
        epochs=len(history),
        settings=", ".join(f"{key} {plan[key]:g}" for key in ("batch", "decay", "rate", "smoothing", "seed")),
        last_loss=f"{history[-1][0]:.3f}",
        last_rate=f"{100 * history[-1][1]:.1f}",
        missed=f"{100 * MISSED:.0f}",
        files="\n".join(
            f"| {_FILES[key]} | {row.bytes / 1e3:.0f} | {row.median:.4f} | {row.worst:.4f} | {row.off:.2f} "
            f"| {100 * row.rate:.1f} |"
            for key, row in files.items()
        ),
        rates="\n".join(
            f"| {name.replace('_', ' ')} | {row.faces} | {row.median:.1f} | {100 * row.passed:.0f} % "
            f"| {row.ranked:.3f} |"
            for name, row in rates.items()
        ),
        left_out=_left_out(),
    )
    text.write_text(written)
    return [text, curve]


def _left_out() -> str:
    try:
        return left_out_table(load_rates())
    except FileNotFoundError:
        return "Not measured yet for these weights."
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise ModelError(f"{RATES}: not what `python -m models.train.liveness_left_out` writes: {error}") from error
