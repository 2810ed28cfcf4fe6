"""What an evaluation writes: every score, the rates with what they may claim, and a drawing of the errors.

Rules kept here:
- A false accept rate that the impostor pairs cannot show is named with what it would need, never printed.
- Failures to enrol are counted beside the rates, by reason; they are in none of them.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from hil.evaluate.det import probit_axes
from hil.evaluate.errors import EvaluateError
from hil.evaluate.pairs import Pair
from hil.evaluate.rates import F64, FARS, LEVEL, Rate, Rates, RatesError, Trials, curve, needed, rates, supported
from hil.evaluate.verification import Scored, trials

POINTS = 2000
CLAIM = (
    "Rates of these pairs, these people and these pictures. Failures to enrol are in none of them. Intervals hold 19 "
    "times in 20; they come from drawing people anew, or from the number of genuine pairs where that is wider."
)


@dataclass(frozen=True, slots=True)
class Head:
    """What was evaluated: `subject` of the report."""

    pairs: str
    sha256: str
    images: str
    modality: str
    network: str
    network_sha256: str
    simulated: bool


def write(out: Path, head: Head, pairs: list[Pair], scored: Scored) -> dict[str, Any]:
    """Write `scores.csv`, `report.json` and `curves.png` into `out`. Raises EvaluateError."""
    seen = trials(pairs, scored)
    groups = sorted({pair.group for pair in pairs} - {""})
    of_pair = np.array([pair.group for pair in pairs])[scored.pair]
    report: dict[str, Any] = {
        "subject": {name: getattr(head, name) for name in Head.__slots__},
        "claim": CLAIM,
        "failures_to_enrol": _failures(scored),
        "pairs": len(pairs),
        "pairs_without_a_score": len(pairs) - len(np.unique(scored.pair)),
        **described(seen),
    }
    if groups:
        report["groups"] = {group: _described_or_why(seen.where(of_pair == group)) for group in groups}
    _write_scores(out / "scores.csv", pairs, scored)
    (out / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    draw(out / "curves.png", {head.modality: seen}, "SIMULATED sensor" if head.simulated else "")
    return report


def described(seen: Trials) -> dict[str, Any]:
    """The rates as plain values. Raises EvaluateError."""
    try:
        found = rates(seen)
    except RatesError as error:
        raise EvaluateError(f"no rates: {error}") from error
    return plain(found)


def _described_or_why(seen: Trials) -> dict[str, Any]:
    try:
        return plain(rates(seen))
    except RatesError as error:
        return {"no_rates": str(error)}


def plain(found: Rates) -> dict[str, Any]:
    """The rates as they are written to JSON."""
    return {
        "genuine": found.genuine,
        "impostor": found.impostor,
        "people": found.people,
        "level": LEVEL,
        "eer": _rate(found.eer),
        "auc": _rate(found.auc),
        "tar": [{"far": tar.far, "threshold": tar.threshold, **_rate(tar.rate)} for tar in found.tar],
        "not_shown": [
            {"far": far, "impostor_pairs_needed": needed(far)} for far in FARS if not supported(far, found.impostor)
        ],
    }


def _rate(rate: Rate) -> dict[str, float]:
    return {"value": rate.value, "low": rate.low, "high": rate.high}


def _failures(scored: Scored) -> dict[str, Any]:
    reasons = sorted(scored.failed.values())
    return {
        "files": scored.files,
        "failed": len(reasons),
        "by_reason": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        "names": sorted(scored.failed),
    }


def _write_scores(path: Path, pairs: list[Pair], scored: Scored) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("a", "b", "same", "group", "probe", "score", "failure"))
        ends = np.searchsorted(scored.pair, np.arange(len(pairs)), side="right").tolist()
        start = 0
        for pair, end in zip(pairs, ends, strict=True):
            known = (pair.a, pair.b, int(pair.same), pair.group)
            for row in range(start, end):
                rows.writerow((*known, int(scored.probe[row]), f"{scored.score[row]:.6f}", ""))
            if start == end:
                rows.writerow((*known, "", "", scored.failed.get(pair.a) or scored.failed[pair.b]))
            start = end


def draw(path: Path, seen: dict[str, Trials], note: str) -> None:
    """Two drawings side by side: true accepts (ROC) and false rejects (DET) by false accepts."""
    matplotlib.use("Agg")
    from matplotlib import pyplot  # after the backend is chosen: no display on a terminal

    figure, (roc, det) = pyplot.subplots(1, 2, figsize=(10, 4.5), dpi=110)
    for name, some in seen.items():
        false, accepted = _thinned(*curve(some))
        least = 1 / len(some.impostor)
        roc.step(np.maximum(false, least), accepted, where="post", label=name)
        shown = (false > 0) & (accepted < 1)
        det.plot(norm.ppf(np.clip(false[shown], 1e-6, 1 - 1e-6)), norm.ppf(1 - accepted[shown]), label=name)
    roc.set(xscale="log", xlabel="false accept rate", ylabel="true accept rate", title=f"ROC {note}")
    det.set(xlabel="false accept rate", ylabel="false reject rate", title=f"DET {note}")
    probit_axes(det)
    for drawing in (roc, det):
        drawing.grid(alpha=0.3)
        drawing.legend(loc="lower right" if drawing is roc else "upper right")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _thinned(false: F64, accepted: F64) -> tuple[F64, F64]:
    """So many points as a drawing can show, evenly in the logarithm of the false accepts."""
    wanted = np.geomspace(max(false[false > 0].min(initial=1.0), 1e-9), 1, POINTS)
    without = np.searchsorted(false, 0.0, side="right") - 1  # the most that are accepted before the first false one
    places = [0, max(int(without), 0), *np.searchsorted(false, wanted).clip(0, len(false) - 1)]
    kept = np.unique(places)
    return false[kept], accepted[kept]


def show(report: dict[str, Any], console: Console) -> None:
    """Print the rates."""
    failures = report["failures_to_enrol"]
    console.print(f"failures to enrol: {failures['failed']} of {failures['files']} files {failures['by_reason'] or ''}")
    table = Table()
    for heading in ("", "people", "genuine", "impostor", "EER %", "AUC", "TAR % at FAR"):
        table.add_column(heading)
    for name, rated in {"all": report, **report.get("groups", {})}.items():
        if "no_rates" in rated:
            table.add_row(name, rated["no_rates"])
            continue
        tars = "\n".join(f"{tar['far']:g}: {percent(tar)}" for tar in rated["tar"]) or "-"
        counts = (str(rated[key]) for key in ("people", "genuine", "impostor"))
        table.add_row(name, *counts, percent(rated["eer"]), f"{rated['auc']['value']:.4f}", tars)
    console.print(table)
    for missing in report["not_shown"]:
        console.print(
            f"FAR {missing['far']:g} is not shown: it needs {missing['impostor_pairs_needed']} impostor pairs, "
            f"here are {report['impostor']}"
        )


def percent(rate: dict[str, float]) -> str:
    """`97.31 (96.20-98.11)`."""
    return f"{100 * rate['value']:.2f} ({100 * rate['low']:.2f}-{100 * rate['high']:.2f})"
