"""A score calibration of one site's own people, camera and light: what replaces the shipped proxy.

Rules kept here:
- Both modalities come from the same looks at the same people: two reports on the very same list of pairs.
- What was rendered, or read by a network that is not the terminal's, calibrates no site.
- A pair without a score in either modality takes no part; it is counted and told.
"""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration
from firmware.vision.embed import MODALITIES, Modality
from firmware.vision.networks import DEPTH_EMBEDDER, EMBEDDER
from hil.evaluate.errors import EvaluateError
from hil.evaluate.fit import Trials, fit_calibration, fit_reading
from hil.evaluate.pairs import read_pairs
from models.manifest import CPU, find

NETWORKS: dict[Modality, str] = {"ir": EMBEDDER, "depth": DEPTH_EMBEDDER}
RATE = 1e-4
ABOUT = (
    "Measured at this site, by its camera and light: {people} people, each pair of looks once, single against single; "
    "{left} of {pairs} pairs had no score and take no part. {words}"
)


def calibrate(pairs: Path, reports: dict[Modality, Path], words: str) -> tuple[Calibration, int]:
    """Fit a calibration on two verification reports.

    Args:
        pairs: the list both reports were made of.
        reports: folder of each modality's report.
        words: who the people are and when they were seen, for the record.

    Returns:
        The calibration, and how many pairs took no part.

    Raises:
        EvaluateError: reports that do not belong together, or too few people for a threshold.
    """
    listed = read_pairs(pairs)
    digest = hashlib.sha256(pairs.read_bytes()).hexdigest()
    scores = {modality: _scores(reports[modality], modality, digest) for modality in MODALITIES}
    kept = [pair for pair in listed if all((pair.a, pair.b) in scores[modality] for modality in MODALITIES)]
    names = sorted({name for pair in kept for name in (pair.person_a, pair.person_b)})
    if len(names) < 2 or not any(pair.same for pair in kept) or all(pair.same for pair in kept):
        raise EvaluateError(f"{pairs}: pairs of one person and of different people are needed, with both scores")
    number = {name: index for index, name in enumerate(names)}
    first = np.array([number[pair.person_a] for pair in kept], np.int32)
    second = np.array([number[pair.person_b] for pair in kept], np.int32)
    about = ABOUT.format(people=len(names), left=len(listed) - len(kept), pairs=len(listed), words=words.strip())
    cosines = {
        modality: np.array([scores[modality][(pair.a, pair.b)] for pair in kept], np.float32) for modality in MODALITIES
    }
    alone = {
        modality: _trials({modality: cosines[modality]}, first, second, about, len(names)) for modality in MODALITIES
    }
    readings = {modality: fit_reading(alone[modality]) for modality in MODALITIES}
    both = _trials(cosines, first, second, about, len(names))
    found = fit_calibration("real", readings, tuple(alone.values()), both)
    if not any(one.rate == RATE and one.modalities == MODALITIES for one in found.thresholds):
        raise EvaluateError(
            f"{pairs}: {len(names)} people and {int((first != second).sum())} pairs of different ones support no "
            f"false-match rate of {RATE:g}: it takes 3 in {RATE:g} pairs of different people, so some 246 people, all "
            "compared with all, and few errors"
        )
    return found, len(listed) - len(kept)


def _trials(
    cosines: dict[Modality, NDArray[np.float32]],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    about: str,
    people: int,
) -> Trials:
    return Trials(
        cosines, dict.fromkeys(cosines, first), dict.fromkeys(cosines, second), first == second, about,
        dict.fromkeys(cosines, "site"), people,
    )  # fmt: skip


def _scores(report: Path, modality: Modality, pairs_sha256: str) -> dict[tuple[str, str], float]:
    """Cosine by pair of files. Raises EvaluateError."""
    try:
        subject: dict[str, Any] = json.loads((report / "report.json").read_text())["subject"]
        asked = find(NETWORKS[modality]).files[CPU].sha256
        wrong = (
            (subject["modality"] != modality, f"is of {subject['modality']}, not of {modality}"),
            (subject["sha256"] != pairs_sha256, "was made of another list of pairs"),
            (bool(subject["simulated"]), "is of rendered faces: they calibrate no site"),
            (
                subject["network_sha256"] != asked,
                f"was made with a network that is not this version's {NETWORKS[modality]}",
            ),
        )
        for is_wrong, why in wrong:
            if is_wrong:
                raise EvaluateError(f"{report}: {why}")
        with (report / "scores.csv").open(encoding="utf-8", newline="") as file:
            found = {(row["a"], row["b"]): float(row["score"]) for row in csv.DictReader(file) if row["score"]}
        if not all(abs(score) <= 1.001 for score in found.values()):  # NaN is neither
            raise ValueError("a score is no cosine")
        return found
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise EvaluateError(f"{report}: not a report of `tessera evaluate verification`: {error}") from error
