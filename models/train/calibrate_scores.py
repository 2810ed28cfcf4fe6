"""`python -m models.train.calibrate_scores virtual|real`: measure what a cosine means and write the calibration.

`real` reads measured scores of real grey portraits from the test data (`--data`), `virtual` renders people. Both
print their counts and intervals before they write.
"""

import argparse
import math
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from firmware.vision.calibration import Calibration, decode_calibration
from models.train.rendered import MEAN_PEOPLE, SCORED_PEOPLE
from models.train.statistics import Scores, bootstrap_rates, fit_llr, threshold_for, upper_bound
from models.train.virtual_scores import PROBES, measure

OUT = Path("firmware/vision/calibration")
RATE = 1e-4
"""NIST SP 800-63B-4 asks for no more than 1 in 10,000."""
BOOTSTRAP_ROUNDS = 1000
REAL_EVIDENCE = (
    "Float SFace on visible-light web photographs: all pairs of 994 aligned greyscale crops of 402 real people, single "
    "image against single image. A proxy: no infrared, not this terminal's camera, its int8 network or its templates; "
    "overlap with the network's training set is unknown. To be replaced by a site calibration in near infrared."
)

VIRTUAL_EVIDENCE = (
    "Int8 SFace on rendered infrared through the terminal's own detector and aligner: templates of {scored} made-up "
    "people (five guided poses) against {probes} probes of each at 0.38-0.85 m; the mean of {mean} other people is "
    "subtracted. A usable face in {found} of {asked} frames, the others take no part. Simulated: it tells virtual "
    "people apart and says nothing of real ones."
)


def summarise(
    base: dict[str, object], genuine: Scores, impostor: Scores, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Calibration:
    """Fit threshold and likelihood ratio; `first` and `second` are the people of each impostor pair."""
    threshold = threshold_for(impostor, RATE)
    errors = int((impostor >= threshold).sum())
    fit = fit_llr(genuine, impostor)
    by_people = bootstrap_rates(impostor, first, second, threshold, BOOTSTRAP_ROUNDS, seed=0)
    upper = max(upper_bound(errors, len(impostor)), float(np.percentile(by_people, 95)))
    fields = {
        "threshold": threshold,
        "trials": len(impostor),
        "errors": errors,
        "fmr": _digits(errors / len(impostor)),
        "fmr_upper": _digits(upper),
        "genuine_trials": len(genuine),
        "genuine_errors": int((genuine < threshold).sum()),
        "slope": _digits(fit.slope),
        "offset": _digits(fit.offset),
        "llr_limit": _digits(math.log(1 / upper)),
    }
    return decode_calibration(to_toml({**base, **fields}).encode(), "the calibration just measured")


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def to_toml(fields: dict[str, object]) -> str:
    """Write flat TOML: strings, numbers and one list of numbers."""
    lines = ["# Written by models.train.calibrate_scores; measured, not chosen."]
    for key, value in fields.items():
        if isinstance(value, list):
            rows = [", ".join(f"{number:.5f}" for number in value[i : i + 8]) for i in range(0, len(value), 8)]
            lines.append(f"{key} = [\n" + "".join(f"    {row},\n" for row in rows) + "]")
        else:
            lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value!r}")
    return "\n".join(lines) + "\n"


def report(calibration: Calibration, genuine: Scores, impostor: Scores, console: Console) -> None:
    """Print what was measured."""
    table = Table(title=f"{calibration.population} ({calibration.kind})")
    for heading in ("", "trials", "min", "mean", "max", "errors", "rate"):
        table.add_column(heading, justify="right")
    for name, scores, errors in (
        ("genuine", genuine, calibration.genuine_errors),
        ("impostor", impostor, calibration.errors),
    ):
        low, middle, high = (f"{value:.3f}" for value in (scores.min(), scores.mean(), scores.max()))
        table.add_row(name, str(len(scores)), low, middle, high, str(errors), f"{errors / len(scores):.2e}")
    console.print(table)
    console.print(
        f"threshold {calibration.threshold}: FMR {calibration.fmr:.2e}, at most {calibration.fmr_upper:.2e} "
        f"(95 %, {calibration.errors} errors in {calibration.trials} comparisons); false non-match at most "
        f"{upper_bound(calibration.genuine_errors, calibration.genuine_trials):.2e}"
    )


def calibrate_real(data: Path) -> tuple[Calibration, Scores, Scores]:
    """Fit on the scores of real portraits under `data`."""
    with np.load(data / "scores" / "sface_grey_portraits.npz", allow_pickle=False) as stored:
        scores = stored["score"].astype(np.float64)
        first, second = stored["person_a"].astype(np.int64), stored["person_b"].astype(np.int64)
    same = first == second
    base: dict[str, object] = {"population": "real", "kind": "proxy", "evidence": REAL_EVIDENCE}
    calibration = summarise(base, scores[same], scores[~same], first[~same], second[~same])
    return calibration, scores[same], scores[~same]


def calibrate_virtual(console: Console) -> tuple[Calibration, Scores, Scores]:
    """Fit on rendered people."""
    measured = measure()
    console.print(f"a usable face in {measured.found} of {measured.asked} rendered frames")
    evidence = VIRTUAL_EVIDENCE.format(
        scored=len(SCORED_PEOPLE), mean=len(MEAN_PEOPLE), probes=PROBES, found=measured.found, asked=measured.asked
    )
    base: dict[str, object] = {"population": "virtual", "kind": "simulated", "evidence": evidence}
    base["mean"] = [round(float(number), 5) for number in measured.mean]
    fitted = summarise(base, measured.genuine, measured.impostor, measured.first, measured.second)
    return fitted, measured.genuine, measured.impostor


def main() -> int:
    """Measure one population and write its calibration."""
    parser = argparse.ArgumentParser(prog="python -m models.train.calibrate_scores")
    parser.add_argument("population", choices=("virtual", "real"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TESSERA_DATA", "../shared/data")))
    arguments = parser.parse_args()
    console = Console()
    if arguments.population == "real":
        calibration, genuine, impostor = calibrate_real(arguments.data)
    else:
        calibration, genuine, impostor = calibrate_virtual(console)
    report(calibration, genuine, impostor, console)
    path = OUT / f"{calibration.population}.toml"
    fields = {name: getattr(calibration, name) for name in calibration.__struct_fields__ if name != "mean"}
    path.write_text(to_toml({**fields, **({"mean": calibration.mean} if calibration.mean else {})}))
    console.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
