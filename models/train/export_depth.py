"""`tessera models export depth-identity`: from a checkpoint to everything the repository keeps of it.

Writes the float, the int8 ONNX and the int8 TFLite file, their lines in the manifest, the answers that `tessera models
check` asks for, the loss curve and the model card. Nothing is written unless both int8 files agree with float on
faces of people that neither training nor calibration saw, and are small enough.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from models.answers import Answers, compare, save_answers
from models.manifest import ModelError
from models.train import exported
from models.train.depth_batches import Batches
from models.train.depth_card import Card, write_card
from models.train.depth_faces import TRAIN_PEOPLE, TUNE_PEOPLE, faces_of
from models.train.depth_identity import Plan
from models.train.depth_network import DepthNetwork
from models.train.manifest_lines import rewrite

NAME = "depth_identity"
CALIBRATION_PEOPLE, CALIBRATION_FRAMES = 100, (3, 17)
TUNING_PEOPLE, TUNING_FRAMES = 100, 8


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint.

    Attributes:
        network: in evaluation mode.
        digest: SHA-256 of the parameters, in the order of their names.
        people: trained on.
        history: (loss, equal error rate of tuning people) of each epoch.
        settings: what decided the run; what an older checkpoint does not tell is the plan's default.
    """

    network: DepthNetwork
    digest: str
    people: int
    history: list[tuple[float, float]]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one file does on faces of tuning people.

    Attributes:
        bytes: of the file.
        median, worst: cosine to the float parent.
        tar: true accept rate at a false accept rate of 1e-3, frame against frame, on these people.
    """

    bytes: int
    median: float
    worst: float
    tar: float

    def __str__(self) -> str:
        return (
            f"{self.bytes / 1e3:.0f} kB; cosine to float {self.median:.4f} median, {self.worst:.4f} worst; "
            f"TAR at FAR 1e-3 {100 * self.tar:.2f} %"
        )


def read_checkpoint(path: Path) -> Trained:
    """Raises ModelError where there is none, or of another network."""
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        network = DepthNetwork()
        network.load_state_dict(kept["network"])
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path}: no checkpoint of this network: {error}; run `tessera models train {CLI_NAME}`"
        ) from error
    group = kept["optimiser"]["param_groups"][0]
    told = {"rate": group["max_lr"], "decay": group["weight_decay"]}
    plan = asdict(Plan()) | told | kept.get("plan", {})
    settings = {key: plan[key] for key in ("batch", "decay", "margin", "rate", "scale", "seed")}
    return Trained(
        network.eval(),
        exported.digest_of(kept["network"]),
        len(kept["margin"]["centres"]),
        list(kept["history"]),
        settings,
    )


CLI_NAME = NAME.replace("_", "-")


def export(checkpoint: Path, faces_dir: Path, console: Console) -> None:
    """Export; about two minutes. Raises ModelError, and then nothing was written."""
    torch.set_num_threads(1)
    trained = read_checkpoint(checkpoint)
    console.print(f"{checkpoint}: {trained.people} people, {len(trained.history)} epochs, {trained.digest[:16]}")
    with console.status("faces of training and of tuning people"):
        calibration = _faces(TRAIN_PEOPLE[:CALIBRATION_PEOPLE], CALIBRATION_FRAMES, faces_dir)
        unseen = _faces(TUNE_PEOPLE[:TUNING_PEOPLE], tuple(range(TUNING_FRAMES)), faces_dir)
    with console.status("float ONNX, int8 ONNX, int8 TFLite: a minute"):
        made = exported.converted(trained.network, [calibration], NAME, checkpoint.with_name("tflite.log"))
    opened = exported.opened(made)
    with console.status("agreement on tuning people"):
        answers = {key: exported.run(network, unseen) for key, network in opened.items()}
    measured = {}
    for key, model_bytes in made.items():
        found = compare(answers[key], answers["parent"])
        measured[key] = Measured(len(model_bytes), found.median, found.worst, tar_at(answers[key], TUNING_FRAMES, 1e-3))
        console.print(f"{key}: {measured[key]}", highlight=False)
        if len(model_bytes) > exported.MOST_BYTES or not found.holds("int8"):
            raise ModelError(f"{key}: too large, or too far from float ({found}); nothing written")
    one_each = unseen[: exported.ANSWERED * TUNING_FRAMES : TUNING_FRAMES]
    kept = exported.answers(opened["parent"], one_each, f"{exported.ANSWERED} rendered tuning people")
    _write(trained, made, measured, kept, console)


def _faces(people: range, frames: tuple[int, ...], faces_dir: Path) -> NDArray[np.float32]:
    batches = Batches(0, torch.device("cpu"))
    stored = np.concatenate([faces_of(seed, faces_dir)[list(frames)] for seed in people])
    return np.ascontiguousarray(batches.plain(stored).numpy())


def tar_at(embeddings: NDArray[np.float32], frames: int, rate: float) -> float:
    """True accept rate at a false accept rate: all pairs of (people * frames, M) embeddings, person after person."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    who = np.repeat(np.arange(len(unit) // frames), frames)
    upper = np.triu(np.ones((len(unit), len(unit)), bool), 1)
    same = who[:, None] == who[None, :]
    cosine = unit @ unit.T
    impostor = np.sort(cosine[upper & ~same])
    threshold = impostor[math.ceil(len(impostor) * (1 - rate)) - 1]
    return float((cosine[upper & same] > threshold).mean())


def _write(
    trained: Trained, made: dict[str, bytes], measured: dict[str, Measured], answers: Answers, console: Console
) -> None:
    sections = exported.write(NAME, made, trained.digest)
    sections[NAME] |= {
        "training": (
            f"{trained.people} made-up people of ICT-FaceKit, {len(trained.history)} epochs; rendered before simulated "
            "depth sensors with strong expressions, glasses, hats and hair; no real person"
        ),
        "agreement": "; ".join(
            f"int8 {key} to float on {TUNING_PEOPLE * TUNING_FRAMES} faces of {TUNING_PEOPLE} tuning people: "
            f"cosine {measured[key].median:.4f} median, {measured[key].worst:.4f} worst"
            for key in ("onnx", "tflite")
        ),
    }
    rewrite(sections)
    console.print(f"{save_answers(NAME, answers)}: {len(answers.inputs)} answers")
    figures = {key: asdict(value) for key, value in measured.items()}
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    card = Card(trained.digest, trained.people, parameters, int(sections[NAME]["macs"]), trained.settings)
    for path in write_card(card, trained.history, figures):
        console.print(f"{path}: written")
