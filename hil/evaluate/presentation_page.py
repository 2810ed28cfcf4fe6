"""The report of an evaluation of presentations in words: a page to read, and what the console shows.

Rules kept here:
- What is simulated is called so wherever a number stands.
- A policy that asks for motion is told apart: a recording cannot be asked anything, so only its static part is judged.
- What may be claimed is rounded up, never down.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hil.evaluate.markdown import table
from hil.evaluate.presentation_tally import DEFINITIONS

DRAWING = "det.png"
STATIC = (
    "This policy asks for motion, and a recording cannot be asked for any. What is counted here is the static "
    "decision, by gates and cues alone: without motion, attention and PIN. A terminal accepts fewer."
)


def page(manifest: str, report: Mapping[str, Any]) -> str:
    """The page to read."""
    parts = [f"# Presentation attack detection: {manifest}, {report['profile']} {marked(report)}".rstrip()]
    if report["simulated"]:
        parts.append("**Simulated recordings: no rate here is one of real people, instruments or light.**")
    if report["policy"]["dynamic"]:
        parts.append(f"**{STATIC}**")
    parts += [f"**Doubt:** {doubt}" for doubt in report["doubts"]]
    parts += ["## Worst species", headline(report), "## Attacks, by species", _attacks(report)]
    parts += ["## Bona fide", _people(report), *_groups(report)]
    reasons = [(reason, str(count)) for reason, count in report["non_response_by_reason"].items()]
    parts += ["## Non-responses", table(("why", "presentations"), reasons) if reasons else "None."]
    parts += [f"## DET\n\n![DET by species]({DRAWING})"]
    if report["ablation"]:
        parts += ["## Without one cue, gates always on", _ablation(report)]
    parts += ["## Time to decision", _time(report), "## What a claim takes", _claims(report)]
    parts += ["## Words", "\n".join(f"- `{name}`: {words}" for name, words in DEFINITIONS.items())]
    parts += ["## Made with", _made(report)]
    return "\n\n".join(parts) + "\n"


def marked(report: Mapping[str, Any]) -> str:
    """What stands behind every title."""
    words = [word for word, so in (("SIMULATED", report["simulated"]), ("STATIC", report["policy"]["dynamic"])) if so]
    return f"({', '.join(words)})" if words else ""


def headline(report: Mapping[str, Any]) -> str:
    """The worst species in one paragraph."""
    worst = report["headline"]
    if worst is None:
        return "No attack got a response: there is no APCER."
    words = (
        f"**{worst['species']}: APCER {percent(worst['apcer'])} %** ({worst['pairs_accepted']} of {worst['pairs']} "
        f"pairs, {worst['identities']} identities; 95 %: {between(worst['interval'])}, people drawn anew "
        f"{between(worst['bootstrap'])}). No species here can be claimed below "
        f"{claimed(worst['every_species_claims'])} %."
    )
    if worst["without_a_response"]:
        words += f" Without any response, and so without a rate: {', '.join(worst['without_a_response'])}."
    return words


def _attacks(report: Mapping[str, Any]) -> str:
    heads = (
        "species", "presented", "no response", "pairs", "identities", "accepted", "APCER %", "95 %", "people anew",
        "claim %", "refused by",
    )  # fmt: skip
    return table(
        heads,
        [
            (
                name, str(its["presented"]), str(its["non_response"]), str(its["pairs"]), str(its["identities"]),
                str(its["pairs_accepted"]), percent(its["apcer"]), between(its["interval"]), between(its["bootstrap"]),
                claimed(its["claim"]), counts(its["refused_by"]),
            )
            for name, its in report["species"].items()
        ],
    )  # fmt: skip


def _people(report: Mapping[str, Any]) -> str:
    its = report["bona_fide"]
    heads = ("presented", "no response", "people", "rejected", "BPCER %", "95 %", "people anew", "refused by")
    return table(
        heads,
        [
            (
                str(its["presented"]), str(its["non_response"]), str(its["people"]), str(its["rejected"]),
                percent(its["bpcer"]), between(its["interval"]), between(its["bootstrap"]), counts(its["refused_by"]),
            )
        ],
    )  # fmt: skip


def _groups(report: Mapping[str, Any]) -> list[str]:
    cells = []
    for name, values in report["groups"].items():
        for value, its in values.items():
            told = its.get("no_rate") or f"{percent(its['bpcer'])} ({between(its['interval'])})"
            cells.append((f"{name} {value}", str(its["presented"]), str(its["people"]), told))
    return [table(("group", "presented", "people", "BPCER %"), cells)] if cells else []


def _ablation(report: Mapping[str, Any]) -> str:
    left_out = report["ablation"]
    people = ("BPCER", *(percent(its["bpcer"]) for its in left_out.values()))
    attacks = [
        (f"APCER {name}", *(percent(its["species"][name]) for its in left_out.values())) for name in report["species"]
    ]
    return table(("%", *(f"without {name}" for name in left_out)), [people, *attacks])


def _time(report: Mapping[str, Any]) -> str:
    its, cpu = report["time_to_decision"], report["cpu_ms_per_frame"]
    words = f"No bona fide presentation was accepted ({its['how']})."
    if its["presentations"]:
        words = (
            f"p50 {its['p50_s']:.2f} s, p95 {its['p95_s']:.2f} s, of {its['presentations']} presentations "
            f"({its['how']})."
        )
    if cpu is not None:
        words += f" Judging a frame: {cpu['p50']:.1f} ms CPU (p95 {cpu['p95']:.1f}), detection included."
    return words


def _claims(report: Mapping[str, Any]) -> str:
    rows = []
    for rate, trials in report["claims_need"].items():
        held = [name for name, its in report["species"].items() if its["claim"] is not None]
        met = [name for name in held if report["species"][name]["claim"] <= float(rate)]
        rows.append((f"{100 * float(rate):g}", str(trials), ", ".join(met) or "none"))
    return table(("rate %", "pairs without an error", "species here that hold it"), rows)


def _made(report: Mapping[str, Any]) -> str:
    its = report["machine"]
    lines = [f"- {name}: SHA-256 `{digest}`" for name, digest in report["digests"].items()]
    lines.append(f"- policy `{report['profile']}`: {json.dumps(report['policy'])}")
    lines.append(f"- tessera {report['version']}; {its['processor']}, {its['cores']} cores, Python {its['python']}")
    return "\n".join(lines)


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the rates."""
    if report["simulated"]:
        console.print("SIMULATED recordings", style="bold")
    if report["policy"]["dynamic"]:
        console.print(STATIC, style="bold")
    for doubt in report["doubts"]:
        console.print(f"doubt: {doubt}", markup=False)
    console.print(headline(report).replace("**", ""), markup=False, highlight=False)
    shown = Table("species")
    for heading in ("pairs", "accepted", "silent", "APCER %", "95 %", "claim %"):
        shown.add_column(heading, no_wrap=True)
    for name, its in report["species"].items():
        shown.add_row(
            name, str(its["pairs"]), str(its["pairs_accepted"]), str(its["non_response"]), percent(its["apcer"]),
            between(its["interval"]), claimed(its["claim"]),
        )  # fmt: skip
    console.print(shown)
    its = report["bona_fide"]
    console.print(
        f"bona fide: BPCER {percent(its['bpcer'])} % ({between(its['interval'])}), {its['rejected']} refused of "
        f"{its['presented'] - its['non_response']} with a response, {its['people']} people",
        highlight=False,
    )
    silent = counts(report["non_response_by_reason"]) or "none"
    console.print(f"non-responses: {silent}", markup=False)
    console.print(_time(report), markup=False, highlight=False)


def percent(rate: float | None) -> str:
    """`0.34`; a dash where there is no rate."""
    return "-" if rate is None else f"{100 * rate:.2f}"


def claimed(rate: float | None) -> str:
    """As `percent`, rounded up."""
    return "-" if rate is None else f"{math.ceil(1e4 * rate - 1e-9) / 100:.2f}"


def between(interval: Sequence[float] | None) -> str:
    """`0.00-1.22`, per cent."""
    return "-" if interval is None else f"{100 * interval[0]:.2f}-{100 * interval[1]:.2f}"


def counts(reasons: Mapping[str, int]) -> str:
    """`flat 12, wrong_size 3`."""
    return ", ".join(f"{reason} {count}" for reason, count in reasons.items())
