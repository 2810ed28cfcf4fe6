"""From decisions to what a report says: rates by species, of bona fide people and of their groups.

Rules kept here:
- What is counted, and what a rate is of, stands beside it in words (`DEFINITIONS`).
- The headline is the worst species; there is no figure over several, and none over attacks and people together.
- Leaving a cue out leaves every gate in: the same presentations, decided without that cue.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hil.evaluate.judge import Judged
from hil.evaluate.planning import supported
from hil.evaluate.presentation_manifest import BONA_FIDE, Presentation
from hil.evaluate.presentation_rates import LEAST_CELL, ErrorRate, apcer, bpcer

DEFINITIONS = {
    "apcer": (
        "Of one species: pairs accepted over pairs. A pair is one identity and one instrument, however often it was "
        "presented; it was accepted if any of its presentations was. Presentations without a response are in "
        "neither number (ISO/IEC 30107-3 counts them apart)."
    ),
    "bpcer": "Bona fide presentations refused over bona fide presentations that got a response.",
    "non_response": (
        "Nothing to decide on: no session or not one emitter code in the recording, a recording that is damaged or "
        "ends before a decision, or no usable face in any frame. Neither an attack rejected nor a person accepted."
    ),
    "interval": "Clopper-Pearson, 95 %: of an APCER over pairs, of a BPCER over people.",
    "bootstrap": (
        "95 %, from drawing people anew; where nobody or everybody erred, the exact interval of so many people."
    ),
    "claim": "The true rate of such presentations is no larger, 19 times in 20 (one-sided): no error in n claims 3/n.",
    "accepted": (
        "A frame in which every gate held and the cues weighed enough, before three findings of one attack, before the "
        "end of the recording and within the time that a terminal looks. A terminal may ask for more than one frame."
    ),
}
WITHOUT_ALL = "every cue"
Row = tuple[Presentation, Judged]


def tally(rows: Sequence[Row], fps: float | None) -> dict[str, Any]:
    """Everything that is counted, as plain values. `fps`: FrameSets a second; None takes the recordings' own times."""
    attacks = [row for row in rows if row[0].label != BONA_FIDE]
    living = [row for row in rows if row[0].label == BONA_FIDE]
    by_species: dict[str, list[Row]] = {}
    for row in attacks:
        by_species.setdefault(row[0].species, []).append(row)
    species = {name: _species(by_species[name]) for name in sorted(by_species)}
    silent = Counter(judged.reason for _, judged in rows if judged.decision == "non_response")
    return {
        "headline": _headline(species),
        "species": species,
        "bona_fide": _bona_fide(living),
        "groups": _groups(living),
        "non_response": silent.total(),
        "non_response_by_reason": dict(silent.most_common()),
        "ablation": _ablation(by_species, living),
        "time_to_decision": _time(living, fps),
        "cpu_ms_per_frame": _cpu([judged for _, judged in rows if judged.frames]),
    }


def scores(rows: Sequence[Row]) -> tuple[list[float | None], dict[str, list[float | None]]]:
    """Fused scores of bona fide presentations, and of the pairs of each species, the best of each; no non-responses."""
    living = [judged.score for one, judged in _answered(rows) if one.label == BONA_FIDE]
    pairs: dict[str, dict[tuple[str, str], float | None]] = {}
    for one, judged in _answered(rows):
        if one.label != BONA_FIDE:
            best = pairs.setdefault(one.species, {})
            known = [score for score in (best.get(one.pair), judged.score) if score is not None]
            best[one.pair] = max(known, default=None)
    return living, {name: list(best.values()) for name, best in sorted(pairs.items())}


def _answered(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row[1].decision != "non_response"]


def _species(rows: Sequence[Row]) -> dict[str, Any]:
    answered = _answered(rows)
    rate = _apcer(answered, _accepted)
    return {
        "presented": len(rows),
        "non_response": len(rows) - len(answered),
        "accepted": sum(map(_accepted, (judged for _, judged in answered))),
        "apcer": None if rate is None else rate.value,
        **_bounds(rate),
        "pairs": 0 if rate is None else rate.trials,
        "pairs_accepted": 0 if rate is None else rate.errors,
        "identities": len({one.subject for one, _ in answered}),
        "instruments": len({one.instrument for one, _ in answered}),
        "supports": None if rate is None else supported(rate.claim),
        "levels": dict(sorted(Counter(one.level or "unstated" for one, _ in rows).items())),
        "refused_by": _reasons(answered),
    }


def _headline(species: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    rated = {name: its for name, its in species.items() if its["apcer"] is not None}
    if not rated:
        return None
    worst = max(rated, key=lambda name: (rated[name]["apcer"], rated[name]["claim"]))
    weakest = max(rated, key=lambda name: rated[name]["claim"])
    told = ("apcer", "interval", "bootstrap", "pairs", "pairs_accepted", "identities", "claim")
    return {
        "species": worst,
        **{key: rated[worst][key] for key in told},
        "every_species_claims": rated[weakest]["claim"],
        "without_a_response": sorted(species.keys() - rated.keys()),
    }


def _bona_fide(rows: Sequence[Row]) -> dict[str, Any]:
    answered = _answered(rows)
    rate = _bpcer(answered, _accepted)
    return {
        "presented": len(rows),
        "non_response": len(rows) - len(answered),
        "rejected": 0 if rate is None else rate.errors,
        "bpcer": None if rate is None else rate.value,
        **_bounds(rate),
        "people": 0 if rate is None else rate.people,
        "refused_by": _reasons(answered),
    }


def _groups(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """By name and value; a group of fewer than `LEAST_CELL` people has no rate."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for cell in row[0].groups.items():
            cells.setdefault(cell, []).append(row)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, value), members in sorted(cells.items()):
        rate = _bpcer(_answered(members), _accepted)
        people = 0 if rate is None else rate.people
        told: dict[str, Any] = {"presented": len(members), "people": people}
        if rate is None or people < LEAST_CELL:
            told["no_rate"] = f"fewer than {LEAST_CELL} people"
        else:
            told |= {"rejected": rate.errors, "bpcer": rate.value, **_bounds(rate)}
        found.setdefault(name, {})[value] = told
    return found


def _ablation(species: dict[str, list[Row]], living: Sequence[Row]) -> dict[str, Any]:
    cues = sorted({cue for rows in (living, *species.values()) for _, judged in rows for cue in judged.without})
    if not cues:
        return {}
    found: dict[str, Any] = {"nothing": _left_out(species, living, _accepted)}
    for cue in cues:
        found[cue] = _left_out(species, living, lambda judged, cue=cue: judged.without[cue])  # type: ignore[misc]
    found[WITHOUT_ALL] = _left_out(species, living, lambda judged: judged.score is not None)
    return found


def _left_out(
    species: dict[str, list[Row]], living: Sequence[Row], accepted: Callable[[Judged], bool]
) -> dict[str, Any]:
    rates = {name: _apcer(_answered(rows), accepted) for name, rows in sorted(species.items())}
    people = _bpcer(_answered(living), accepted)
    return {
        "species": {name: None if rate is None else rate.value for name, rate in rates.items()},
        "bpcer": None if people is None else people.value,
    }


def _time(living: Sequence[Row], fps: float | None) -> dict[str, Any]:
    taken = [
        (judged.seconds if fps is None else judged.since_face / fps) + judged.last_cpu_s
        for _, judged in living
        if _accepted(judged) and judged.seconds is not None
    ]
    how = "the recordings' own times" if fps is None else f"{fps:g} FrameSets a second, decode included"
    told: dict[str, Any] = {
        "how": f"accepted bona fide presentations: FrameSets from the first with a usable face to the verdict, both "
        f"included, at {how}; and the CPU time of judging the last on this machine",
        "presentations": len(taken),
    }
    if taken:
        told |= {"p50_s": float(np.percentile(taken, 50)), "p95_s": float(np.percentile(taken, 95))}
    return told


def _cpu(judged: Sequence[Judged]) -> dict[str, float] | None:
    spent = [1000 * one.cpu_s / one.frames for one in judged]
    return {"p50": float(np.percentile(spent, 50)), "p95": float(np.percentile(spent, 95))} if spent else None


def _accepted(judged: Judged) -> bool:
    return judged.decision == "accepted"


def _apcer(answered: Sequence[Row], accepted: Callable[[Judged], bool]) -> ErrorRate | None:
    return apcer((one.subject, one.instrument, accepted(judged)) for one, judged in answered)


def _bpcer(answered: Sequence[Row], accepted: Callable[[Judged], bool]) -> ErrorRate | None:
    return bpcer((one.subject, not accepted(judged)) for one, judged in answered)


def _bounds(rate: ErrorRate | None) -> dict[str, Any]:
    keys = ("interval", "bootstrap", "claim")
    return dict.fromkeys(keys) if rate is None else {key: asdict(rate)[key] for key in keys}


def _reasons(answered: Sequence[Row]) -> dict[str, int]:
    return dict(Counter(judged.reason for _, judged in answered if judged.decision == "refused").most_common())
