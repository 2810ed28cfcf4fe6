"""`tessera models export liveness`: from a checkpoint to everything the repository keeps of it.

As `export_depth` does it for its network: nothing is written unless both int8 files agree with float on faces of
tuning people, and are small enough.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from firmware.liveness.cues.network import NETWORK as NAME
from firmware.liveness.cues.network import View, alive
from models.answers import compare, save_answers
from models.manifest import ModelError
from models.train import exported
from models.train.liveness import equal_error, load
from models.train.liveness_batches import Batches
from models.train.liveness_card import FileRow, write_card
from models.train.liveness_faces import KINDS, TRAIN_PEOPLE, TUNE_PEOPLE, Stored, scales
from models.train.liveness_network import LivenessNetwork
from models.train.liveness_rates import rows
from models.train.manifest_lines import rewrite

CALIBRATION_PEOPLE, CALIBRATION_FACES = 120, 16  # of each kind
TOGETHER = 2  # faces whose ranges are averaged; the widest of such averages counts
CHECKED, SAME = 50, 1e-3


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint: network in evaluation mode, digest of its parameters, (loss, EER) of each epoch, and its plan."""

    network: LivenessNetwork
    digest: str
    history: list[tuple[float, float]]
    plan: dict[str, Any]


def read_checkpoint(path: Path) -> Trained:
    """Raises ModelError where there is none, or of another network."""
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        network = LivenessNetwork()
        network.load_state_dict(kept["network"])
        return Trained(network.eval(), exported.digest_of(kept["network"]), list(kept["history"]), dict(kept["plan"]))
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{path}: no checkpoint of this network: {error}; run `tessera models train {NAME}`"
        ) from error


def export(checkpoint: Path, faces_dir: Path, console: Console) -> None:
    """Export; about a minute. Raises ModelError, and then nothing was written."""
    torch.set_num_threads(1)
    trained, batches = read_checkpoint(checkpoint), Batches(0)
    console.print(f"{checkpoint}: {len(trained.history)} epochs, {trained.digest[:16]}")
    seen = load(TRAIN_PEOPLE[:CALIBRATION_PEOPLE], faces_dir)
    tune = load(TUNE_PEOPLE[: trained.plan["tune_people"]], faces_dir)
    unseen = np.ascontiguousarray(batches.plain(tune).numpy())
    _as_firmware_does(unseen, tune)
    calibration = [
        np.ascontiguousarray(batches.plain(seen, few).numpy())
        for kind in range(len(KINDS))
        for few in np.array_split(np.flatnonzero(seen.kind == kind)[:CALIBRATION_FACES], CALIBRATION_FACES // TOGETHER)
        if len(few)
    ]
    with console.status("float ONNX, int8 ONNX, int8 TFLite"):
        made = exported.converted(trained.network, calibration, NAME, checkpoint.with_name("tflite.log"))
    opened = exported.opened(made)
    scores = {key: exported.run(network, unseen) for key, network in opened.items()}
    values = {key: np.array([alive(row) for row in own]) for key, own in scores.items()}
    files, wanting = {}, []
    for key, model in made.items():
        found = compare(scores[key], scores["parent"])
        off = float(np.quantile(np.abs(values[key] - values["parent"]), 0.95))
        files[key] = FileRow(len(model), found.median, found.worst, off, equal_error(values[key], tune))
        console.print(f"{key}: {files[key]}", highlight=False)
        if len(model) > exported.MOST_BYTES or not found.holds("int8"):
            wanting.append(f"{key}: too large, or too far from float ({found})")
    if wanting:
        raise ModelError(f"{'; '.join(wanting)}; nothing written")
    sections = exported.write(NAME, made, trained.digest)
    count, faces = int(sections[NAME]["macs"]), _count(TRAIN_PEOPLE[: trained.plan["people"]], faces_dir)
    sections[NAME] |= {
        "training": (
            f"{faces} faces of {trained.plan['people']} made-up people of ICT-FaceKit and of simulated instruments "
            f"made of them, {len(trained.history)} epochs; no real person, no real instrument"
        ),
        "agreement": "; ".join(
            f"int8 {key} to float on {len(unseen)} faces of tuning people: cosine {files[key].median:.4f} median, "
            f"{files[key].worst:.4f} worst"
            for key in ("onnx", "tflite")
        ),
    }
    rewrite(sections)
    kept = exported.answers(opened["parent"], _answered(unseen, tune), f"{exported.ANSWERED} rendered tuning faces")
    console.print(f"{save_answers(NAME, kept)}: {len(kept.inputs)} answers")
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    for path in write_card(
        digest=trained.digest,
        plan=trained.plan,
        faces=faces,
        parameters=parameters,
        macs=count,
        history=trained.history,
        files=files,
        rates=rows(values["onnx"], tune),
    ):
        console.print(f"{path}: written")


def _as_firmware_does(fed: NDArray[np.float32], faces: Stored) -> None:
    """Raises ModelError where what training feeds is not what the firmware will."""
    one, step_mm, share = (np.float32(scale) for scale in scales())
    for place, row in enumerate(fed[:CHECKED]):
        light, shape, relief, known = (plane[place] for plane in (faces.light, faces.shape, faces.relief, faces.known))
        told = View(light * one, shape * one, relief * step_mm, known * share).channels()[0]
        if float(np.abs(told - row).max()) > SAME:
            raise ModelError("training and firmware make different channels of the same face; nothing written")


def _count(people: range, faces_dir: Path) -> int:
    return len(load(people, faces_dir).kind)


def _answered(unseen: NDArray[np.float32], faces: Stored) -> NDArray[np.float32]:
    """Faces of every kind, as many of each as there is room for."""
    order = np.argsort(
        [int((faces.kind[:place] == kind).sum()) for place, kind in enumerate(faces.kind)], kind="stable"
    )
    return unseen[np.sort(order[: exported.ANSWERED])]
