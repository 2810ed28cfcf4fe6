"""`python -m models.train.calibrate_scores virtual|real`: measure what cosines mean and write the calibration.

`virtual`: rendered people, both modalities of the same frames, compared as the terminal compares them.
`real`: infrared from measured scores of real portraits (`--data`, a proxy), depth from ICT people that no network was
trained on (`--faces`, made where they are not there yet), put together at random, person by person, over and over,
which steadies the estimate but is credited once: joint rates assume independence. Frames are kept under `build/`, so
a new depth network needs no rendering.
"""

import argparse
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from firmware.vision.calibration import Calibration, Reading
from firmware.vision.calibration.evidence import Kind
from firmware.vision.detect import Detector
from firmware.vision.embed import MODALITIES, DepthEmbedder, Embedded, Embedder, Modality
from firmware.vision.match import cosines
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, load_network
from firmware.vision.templates import VIEWS, make_templates
from hil.evaluate.fit import Trials, fit_calibration, fit_reading, of_one, to_toml
from hil.evaluate.frames import restored
from models.train.depth_faces import HOLE, TUNE_PEOPLE, faces_of
from models.train.rendered import ENROLMENT, MEAN_PEOPLE, SCORED_PEOPLE
from models.train.virtual_faces import PROBES, frames_of

OUT = Path("firmware/vision/calibration")
POSES = ("front", "left", "right", "up", "down")
"""What `rendered.ENROLMENT` shows, in its order. Which side is left or right changes nothing here."""
PAIRINGS = 20
UNREAD = Reading(
    about="-", kind="synthetic", people=2, comparisons=1, genuine=1, slope=1, offset=0, limit=1e-4, floor=0
)  # no mean: plain cosines
IR_EVIDENCE = (
    "Float SFace on visible-light web photographs: each of 994 aligned greyscale crops of 402 real people against the "
    "two or three of everybody else, the best counts. A proxy: no infrared, not this terminal's camera or its int8 "
    "network; overlap with the network's training set is unknown. To be replaced by a site calibration."
)
DEPTH_EVIDENCE = (
    "The int8 depth network on canonical faces of {people} ICT people it was not trained on, before simulated sensors "
    "at 0.3-0.8 m: {probes} frames of each, half of them with strong expressions, against {enrolled} of everybody. "
    "Synthetic."
)
BOTH_EVIDENCE = (
    "Assuming independence, visible-light proxy: real people's infrared proxy and synthetic people's depth, put "
    "together person by person at random, {pairings} times; evidence is counted as of one."
)
VIRTUAL_EVIDENCE = (
    "Rendered people through the terminal's own detector, aligner, canonical face and int8 networks: templates of "
    "{scored} made-up people (five guided poses) against {probes} probes of each at 0.38-0.85 m; the mean of {mean} "
    "other people is subtracted. Usable in {found} of {asked} frames, the others take no part. Synthetic: it says "
    "nothing of real people."
)


def calibrate_virtual() -> Calibration:
    """Fit on rendered people."""
    detector, ir = Detector(load_network(DETECTOR)), Embedder(load_network(EMBEDDER))
    depth = DepthEmbedder(load_network(DEPTH_EMBEDDER))

    def person(seed: int) -> list[Embedded]:
        frames = frames_of(seed, detector, ir)
        return [
            Embedded(None if np.isnan(one).any() else one, _embedded(depth, relief))
            for one, relief in zip(frames.ir, frames.depth, strict=True)
        ]

    others = [person(seed) for seed in track(MEAN_PEOPLE, description="mean of other people")]
    scored = [person(seed) for seed in track(SCORED_PEOPLE, description="scored people")]
    complete = [frames for frames in scored if all(one.seen == MODALITIES for one in frames[: len(ENROLMENT)])]
    templates = np.stack([make_templates(dict(zip(POSES, frames, strict=False))) for frames in complete])
    probes = [
        (who, one) for who, frames in enumerate(complete) for one in frames[len(ENROLMENT) :] if one.seen == MODALITIES
    ]
    whose = np.array([who for who, _ in probes], np.int32)
    about = VIRTUAL_EVIDENCE.format(
        scored=len(complete), probes=PROBES, mean=len(MEAN_PEOPLE), asked=sum(map(len, scored)),
        found=sum(one.seen == MODALITIES for frames in scored for one in frames),
    )  # fmt: skip
    readings: dict[Modality, Reading] = {}
    alone: list[Trials] = []
    for i, modality in enumerate(MODALITIES):
        mean = np.mean([_there(one, modality) for frames in others for one in frames if one.seen == MODALITIES], axis=0)
        plain = msgspec.structs.replace(UNREAD, mean=tuple(round(float(number), 5) for number in mean))
        scores = np.stack([cosines(_there(one, modality), templates[:, i], plain) for _, one in probes])
        alone.append(_table(modality, scores, whose, about))
        readings[modality] = fit_reading(alone[-1], plain.mean)
    both = _together(alone, about)
    return fit_calibration("virtual", readings, alone, both)


def calibrate_real(data: Path, faces: Path) -> Calibration:
    """Fit on scores of real portraits under `data` and on the depth of people nobody was trained on."""
    ir_scores, ir_whose = _portraits(data)
    depth_scores, depth_whose = _shapes(faces)
    ir = _table("ir", ir_scores, ir_whose, IR_EVIDENCE, "proxy")
    enrolled = len(VIEWS)
    about = DEPTH_EVIDENCE.format(
        people=depth_scores.shape[1], probes=len(depth_whose) // depth_scores.shape[1], enrolled=enrolled
    )
    depth = _table("depth", depth_scores, depth_whose, about)
    readings: dict[Modality, Reading] = {"ir": fit_reading(ir), "depth": fit_reading(depth)}
    return fit_calibration("real", readings, (ir, depth), _paired(ir_scores, ir_whose, depth_scores, depth_whose))


def _portraits(data: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(images, people) best score of each image with the other images of each person, and whose image it is."""
    with np.load(data / "scores" / "sface_grey_portraits.npz", allow_pickle=False) as stored:
        scores = stored["score"].astype(np.float32)
        first, second = stored["person_a"].astype(np.int32), stored["person_b"].astype(np.int32)
    images = round((1 + (1 + 8 * len(scores)) ** 0.5) / 2)
    a, b = np.triu_indices(images, 1)  # the order in which pairs are stored
    whose = np.zeros(images, np.int32)
    whose[a], whose[b] = first, second
    if (whose[a] != first).any():
        raise ValueError("the pairs are not in the order of images")
    square = np.full((images, images), -1, np.float32)  # an image is not compared with itself
    square[a, b] = square[b, a] = scores
    best = np.stack([square[:, whose == person].max(axis=1) for person in range(whose.max() + 1)], axis=1)
    return best, whose


def _shapes(root: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """As `_portraits`, of depth frames with the first few of each person."""
    network = DepthEmbedder(load_network(DEPTH_EMBEDDER))
    seeds = track(TUNE_PEOPLE, description="depth of people it was not trained on")
    embedded = np.stack(
        [np.stack([network.embed(restored(relief)) for relief in faces_of(seed, root)]) for seed in seeds]
    )
    enrolled, probes = embedded[:, : len(VIEWS)], embedded[:, len(VIEWS) :]
    flat = probes.reshape(-1, probes.shape[2])
    best = np.stack([(flat @ person.T).max(axis=1) for person in enrolled], axis=1)
    return best.astype(np.float32), np.repeat(np.arange(len(embedded), dtype=np.int32), probes.shape[1])


def _paired(
    ir: NDArray[np.float32], ir_whose: NDArray[np.int32], depth: NDArray[np.float32], depth_whose: NDArray[np.int32]
) -> Trials:
    """Real people's infrared with synthetic people's depth: a person keeps one shape throughout a pairing."""
    rng = np.random.default_rng(5)
    people = min(ir.shape[1], depth.shape[1])
    first_frame = np.searchsorted(depth_whose, np.arange(depth.shape[1] + 1))
    blocks = []
    for _ in range(PAIRINGS):
        faces, shapes = (rng.permutation(count)[:people].astype(np.int32) for count in (ir.shape[1], depth.shape[1]))
        place = np.full(ir.shape[1], -1)
        place[faces] = np.arange(people)
        images = np.flatnonzero(place[ir_whose] >= 0)
        wearers = shapes[place[ir_whose[images]]]  # whose shape each image is seen with
        frames = rng.integers(first_frame[wearers], first_frame[wearers + 1])
        blocks.append(
            (
                ir[images][:, faces].ravel(), depth[frames][:, shapes].ravel(),
                np.repeat(ir_whose[images], people), np.repeat(wearers, people),
                np.tile(faces, len(images)), np.tile(shapes, len(images)),
            )
        )  # fmt: skip
    ir_cosines, depth_cosines, face, shape, faces, shapes = map(np.concatenate, zip(*blocks, strict=True))
    return Trials(
        {"ir": ir_cosines, "depth": depth_cosines}, {"ir": face, "depth": shape}, {"ir": faces, "depth": shapes},
        face == faces, BOTH_EVIDENCE.format(pairings=PAIRINGS), {"ir": "proxy", "depth": "synthetic"}, people, PAIRINGS,
    )  # fmt: skip


def _table(
    modality: Modality, scores: NDArray[np.float32], whose: NDArray[np.int32], about: str, kind: Kind = "synthetic"
) -> Trials:
    """Trials of (probes, people) scores, of which probe i is of person `whose[i]`."""
    count, people = scores.shape
    enrolled = np.tile(np.arange(people, dtype=np.int32), count)
    return of_one(modality, scores.ravel(), np.repeat(whose, people), enrolled, about, kind)


def _together(alone: list[Trials], about: str) -> Trials:
    """One trial of both modalities for each pair of trials: the same frames of the same people."""
    ir, depth = alone
    return Trials(
        ir.cosines | depth.cosines, ir.probes | depth.probes, ir.enrolled | depth.enrolled, ir.same, about,
        {"ir": "synthetic", "depth": "synthetic"}, ir.people,
    )  # fmt: skip


def _embedded(network: DepthEmbedder, relief: NDArray[np.int16]) -> NDArray[np.float32] | None:
    return None if (relief == HOLE).all() else network.embed(restored(relief))


def _there(one: Embedded, modality: Modality) -> NDArray[np.float32]:
    vector = one.of(modality)
    if vector is None:
        raise ValueError(f"no {modality}")
    return vector


def report(calibration: Calibration, console: Console) -> None:
    """Print every threshold with its evidence."""
    for modality in MODALITIES:
        reading = calibration.of(modality)
        console.print(
            f"{modality} ({reading.kind}): ratio {reading.slope} * cosine + {reading.offset}, within {reading.limit}, "
            f"floor {reading.floor}"
        )
    table = Table(title=f"{calibration.population} people")
    for heading in ("modalities", "rate", "ratio", "kind", "people", "comparisons", "errors", "bound", "missed"):
        table.add_column(heading, justify="right")
    for one in calibration.thresholds:
        table.add_row(
            " + ".join(one.modalities), f"{one.rate:g}", f"{one.llr:.2f}", one.kind,
            f"{one.people}" + (f" x {one.pairings}" if one.pairings > 1 else ""), str(one.comparisons), str(one.errors),
            f"{one.bound:.2e}", f"{one.misses} of {one.genuine} ({one.misses / one.genuine:.2%})",
        )  # fmt: skip
    console.print(table)


def main() -> int:
    """Measure one population and write its calibration."""
    parser = argparse.ArgumentParser(prog="python -m models.train.calibrate_scores")
    parser.add_argument("population", choices=("virtual", "real"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TESSERA_DATA", "../shared/data")))
    parser.add_argument("--faces", type=Path, default=Path("build/depth-identity/faces"), help="made by training, too")
    asked = parser.parse_args()
    fitted = calibrate_virtual() if asked.population == "virtual" else calibrate_real(asked.data, asked.faces)
    report(fitted, Console(width=120))
    path = OUT / f"{fitted.population}.toml"
    path.write_text(to_toml(fitted, "models.train.calibrate_scores"))
    sys.stdout.write(f"written: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
