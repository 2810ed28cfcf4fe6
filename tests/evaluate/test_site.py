"""A site's own calibration: from two reports on one list of pairs, or a clear refusal."""

import csv
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from firmware.vision.calibration import load_calibration
from firmware.vision.embed import MODALITIES
from hil.evaluate.errors import EvaluateError
from hil.evaluate.fit import to_toml
from hil.evaluate.site import NETWORKS, calibrate
from models.manifest import CPU, find


def reports(folder: Path, people: int = 260, **changed: object) -> dict[str, Path]:
    """A list of pairs, two looks at each of `people`, and a report of each modality. `changed` goes into both."""
    files = [f"p{who:03d}/{look}.png" for who in range(people) for look in range(2)]
    pairs = [(a, b, int(a[:4] == b[:4])) for a, b in itertools.combinations(files, 2)]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "same"), *pairs])
    rng = np.random.default_rng(3)
    found = {}
    for modality in MODALITIES:
        found[modality] = folder / modality
        found[modality].mkdir()
        subject = {
            "modality": modality, "sha256": hashlib.sha256((folder / "pairs.csv").read_bytes()).hexdigest(),
            "simulated": False, "network_sha256": find(NETWORKS[modality]).files[CPU].sha256,
        }  # fmt: skip
        (found[modality] / "report.json").write_text(json.dumps({"subject": subject | changed}))
        scores = rng.normal(0.1, 0.1, len(pairs)) + 0.5 * np.array([same for *_, same in pairs])
        with (found[modality] / "scores.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("a", "b", "same", "group", "probe", "score", "failure"))
            rows.writerows(
                (*pair, "", "" if number == 7 else 0, "" if number == 7 else f"{score:.6f}", "no_face" * (number == 7))
                for number, (pair, score) in enumerate(zip(pairs, scores, strict=True))
            )
    return found  # type: ignore[return-value]


def test_two_reports_make_a_calibration_that_a_terminal_takes(tmp_path: Path) -> None:
    found, left = calibrate(tmp_path / "pairs.csv", reports(tmp_path), "staff, spring")  # type: ignore[arg-type]
    (tmp_path / "site.toml").write_text(to_toml(found, "a test"))
    loaded = load_calibration("real", tmp_path / "site.toml")
    assert loaded == found
    assert loaded.kind == "site"
    assert left == 1
    assert "staff, spring" in loaded.threshold(1e-4).about
    assert not [one for one in found.thresholds if one.rate == 1e-5], "260 people do not support it"


def test_too_few_people_are_told_how_many_it_takes(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match="246 people"):
        calibrate(tmp_path / "pairs.csv", reports(tmp_path, people=30), "staff")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"simulated": True}, "rendered faces"),
        ({"sha256": "0" * 64}, "another list of pairs"),
        ({"network_sha256": "0" * 64}, "network that is not this version's"),
        ({"modality": "depth"}, "is of depth, not of ir"),
        ({"modality": None}, "is of None"),
    ],
)
def test_reports_that_prove_nothing_here_are_refused(tmp_path: Path, changed: dict[str, object], why: str) -> None:
    with pytest.raises(EvaluateError, match=why):
        calibrate(tmp_path / "pairs.csv", reports(tmp_path, people=4, **changed), "staff")  # type: ignore[arg-type]


def test_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    made = reports(tmp_path, people=4)
    (made["ir"] / "report.json").write_text("[]")
    with pytest.raises(EvaluateError, match="not a report"):
        calibrate(tmp_path / "pairs.csv", made, "staff")  # type: ignore[arg-type]


@pytest.mark.parametrize("score", ["nan", "inf", "-1e9", "7", "x"])
def test_a_score_that_is_no_cosine_is_refused(tmp_path: Path, score: str) -> None:
    made = reports(tmp_path, people=4)
    path = made["depth"] / "scores.csv"
    first, _, rest = path.read_text().partition("\n")
    row, _, others = rest.partition("\n")
    fields = row.split(",")
    path.write_text("\n".join([first, ",".join([*fields[:-2], score, fields[-1]]), others]))
    with pytest.raises(EvaluateError, match="not a report"):
        calibrate(tmp_path / "pairs.csv", made, "staff")  # type: ignore[arg-type]
