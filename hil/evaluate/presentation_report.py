"""What an evaluation of presentations writes: every decision, the rates, a page to read and a drawing.

Rules kept here:
- What decided is named by digest, and what is simulated is called so wherever a number stands.
- The report comes last: with it the evaluation is finished, and is not made again over it.
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.liveness.policy import Policy
from hil.evaluate import det, presentation_tally
from hil.evaluate.planning import TARGETS, plan
from hil.evaluate.presentation_manifest import Presentation
from hil.evaluate.presentation_page import DRAWING, marked, page
from hil.evaluate.presentation_run import Told, doubts
from hil.evaluate.presentation_tally import DEFINITIONS
from hil.machine import machine

PRESENTATIONS, REPORT, PAGE = "presentations.csv", "report.json", "report.md"
_COLUMNS = ("path", "label", "species", "subject", "instrument", "level", "groups")


@dataclass(frozen=True, slots=True)
class Head:
    """What was evaluated, by what.

    Attributes:
        manifest: name of the list.
        sha256: of the list.
        profile: name of the liveness policy.
        policy: its terms.
        basis: SHA-256 of limits, policy and cues.
        detector: SHA-256 of the detector's network.
        version: of the firmware.
    """

    manifest: str
    sha256: str
    profile: str
    policy: Policy
    basis: str
    detector: str
    version: str


def write(
    out: Path, head: Head, presentations: Sequence[Presentation], told: Sequence[Told], fps: float | None
) -> dict[str, Any]:
    """Write everything into `out`."""
    rows = [(one, its.judged) for one, its in zip(presentations, told, strict=True)]
    moves = head.policy.dynamic in ("always", "challenge")
    report: dict[str, Any] = {
        "simulated": any(its.simulated for its in told),
        "profile": head.profile,
        "policy": {
            "code_bits": head.policy.code_bits,
            "cues": list(head.policy.cues),
            "llr_min": head.policy.llr_min,
            "dynamic": moves,
        },
        "decision": "static: a terminal asks for motion besides" if moves else "the terminal's",
        "doubts": doubts(presentations, told),
        **presentation_tally.tally(rows, fps),
        "definitions": DEFINITIONS,
        "claims_need": {f"{rate:g}": trials for rate, trials in plan(TARGETS, 0).items()},
        "digests": {"manifest": head.sha256, "basis": head.basis, "detector": head.detector},
        "version": head.version,
        "machine": machine(),
    }
    _write_rows(out / PRESENTATIONS, presentations, told)
    det.draw(out / DRAWING, *presentation_tally.scores(rows), least=head.policy.llr_min, note=marked(report))
    (out / PAGE).write_text(page(head.manifest, report))
    (out / REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def _write_rows(path: Path, presentations: Sequence[Presentation], told: Sequence[Told]) -> None:
    judged = [its.judged for its in told]
    gates, cues = _names(one.gates for one in judged), _names(one.cues for one in judged)
    left_out = _names(one.without for one in judged)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            (
                *_COLUMNS, "decision", "reason", "failed_gate", "score", *(f"gate_{name}" for name in gates),
                *(f"cue_{name}" for name in cues), *(f"llr_{name}" for name in cues),
                *(f"accepted_without_{name}" for name in left_out),
                "frames", "frames_with_face", "seconds", "cpu_ms", "simulated", "camera", "sha256",
            )
        )  # fmt: skip
        for one, its in zip(presentations, told, strict=True):
            its_groups = ";".join(f"{name}={value}" for name, value in one.groups.items())
            found = its.judged
            rows.writerow(
                (
                    one.name, one.label, one.species, one.subject, one.instrument, one.level, its_groups,
                    found.decision, found.reason, found.gate, _cell(found.score),
                    *(_cell(found.gates.get(name)) for name in gates), *(_cell(found.cues.get(name)) for name in cues),
                    *(_cell(found.llrs.get(name)) for name in cues),
                    *("" if name not in found.without else int(found.without[name]) for name in left_out),
                    found.frames, found.faced, _cell(found.seconds), f"{1000 * found.cpu_s:.1f}",
                    int(its.simulated), its.camera, its.sha256,
                )
            )  # fmt: skip


def _names(found: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
