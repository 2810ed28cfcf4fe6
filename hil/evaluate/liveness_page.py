"""The page of liveness evidence: what was measured, in the words of `liveness.md`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from hil.evaluate.judge import Judged
from hil.evaluate.liveness_film import FULL, SHORT
from hil.evaluate.liveness_left_out import LeftOut
from hil.evaluate.liveness_trials import GIVEN_UP_AFTER, JUDGING, basis_of
from hil.evaluate.markdown import table
from hil.evaluate.presentation_manifest import BONA_FIDE
from hil.evaluate.presentation_page import between, claimed, counts, headline, percent
from hil.evaluate.presentation_rates import LEAST_CELL, ErrorRate, bpcer
from hil.evaluate.presentation_tally import Row, tally
from hil.evaluate.protocol import HELD, NARROWED, RELIT, STREAMED, People, Protocol
from hil.evaluate.sources import digest, digests
from hil.machine import machine

FROZEN = ("firmware/liveness/*.toml", "firmware/liveness/cues/*.toml")
PAIRS, MOST_BPCER, MOST_MS, PEOPLE = 299, 0.01, 15.0, 500
"""Asked for: pairs of each species without an acceptance, BPCER of the gates, CPU a frame, people."""


@dataclass(frozen=True, slots=True)
class Group:
    """A set of people, and what became of them."""

    people: People
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Found:
    """Everything on the page.

    Attributes:
        protocol: that was followed.
        long: the headline and every attack, under the long code.
        short: the same, under the short code.
        groups: every other set of people.
        left_out: by species.
        cost_ms: CPU of gates, code and cues, one a frame.
        changed: sources changed since the first frame was filmed.
    """

    protocol: Protocol
    long: list[Row]
    short: list[Row]
    groups: list[Group]
    left_out: list[LeftOut]
    cost_ms: list[float]
    changed: list[str]


def page(found: Found) -> str:
    """The Markdown text."""
    long, short = tally(found.long, None), tally(found.short, None)
    protocol = found.protocol
    return (
        (files("hil.evaluate") / "liveness.md")
        .read_text()
        .format(
            first_seed=protocol.adults[0],
            last_seed=max(*protocol.adults, *protocol.minors),
            people=protocol.people,
            group=protocol.group,
            pairs=protocol.pairs,
            solid=protocol.solid,
            long_bits=basis_of(FULL).policy.code_bits,
            short_bits=basis_of(SHORT).policy.code_bits,
            held=_ranges(HELD),
            narrowed=_ranges(NARROWED),
            frames=protocol.headline.shots[0].frames,
            streamed=STREAMED,
            given_up=GIVEN_UP_AFTER,
            least=LEAST_CELL,
            required=_required(found, long, short),
            headline=headline({"headline": short["headline"]}),
            species=_species(long, short),
            stopped=_stopped(found.short),
            relit=_relit(long, short),
            people_table=_people(found, long, short),
            refused_by=counts(long["bona_fide"]["refused_by"]) or "nothing",
            silent=counts(_silent(found.long)) or "none",
            sets=_sets(found.groups),
            within=_within(long["groups"]),
            left_out=_left_out(found.left_out),
            ablation=_ablation(short["ablation"]),
            time=_time(found, long, short),
            made=_made(found),
        )
    )


def _required(found: Found, long: dict[str, Any], short: dict[str, Any]) -> str:
    protocol, bits = found.protocol, basis_of(FULL).policy.code_bits
    rows = [("people, bona fide", f">= {PEOPLE}", str(protocol.people), protocol.people >= PEOPLE)]
    for name, its in ((f"gates and code of {bits} bits", found.long), ("gates and the short code", found.short)):
        rate = _gates(its)
        wanted = f"<= {100 * MOST_BPCER:g}"
        rows.append((f"BPCER of {name} %", wanted, _of(rate), rate is not None and rate.value <= MOST_BPCER))
    for attack in (*protocol.flat, *protocol.streams):
        by_long, by_short = (told["species"][attack.name] for told in (long, short))
        silent = f", {by_short['non_response']} without a response" if by_short["non_response"] else ""
        measured = (
            f"{by_long['accepted']} and {by_short['accepted']} of {by_short['presented']} pairs, "
            f"{attack.identities} identities{silent}"
        )
        met = by_long["accepted"] == by_short["accepted"] == 0 and by_short["presented"] >= PAIRS
        rows.append((f"{attack.name}: accepted, long and short code", f"0 of >= {PAIRS} pairs", measured, met))
    middle, most = _percentiles(found.cost_ms)
    rows.append(
        ("gates, code and cues, CPU ms a frame, median (95 %)", f"<= {MOST_MS:g}", f"{middle:.1f} ({most:.1f})",
         middle <= MOST_MS)
    )  # fmt: skip
    return table(("", "required", "measured", ""), [(*row[:3], "met" if row[3] else "**missed**") for row in rows])


def _species(long: dict[str, Any], short: dict[str, Any]) -> str:
    def worst(name: str) -> tuple[float, float]:
        its = short["species"][name]
        return (-1.0 if its["apcer"] is None else its["apcer"]), its["claim"] or 0.0

    rows = []
    for name in sorted(short["species"], key=worst, reverse=True):
        its, by_long = short["species"][name], long["species"][name]
        rows.append(
            (
                name, str(its["presented"]), str(its["identities"]), str(its["non_response"]), f"**{its['accepted']}**",
                percent(its["apcer"]), between(its["interval"]), between(its["bootstrap"]), claimed(its["claim"]),
                str(by_long["accepted"]),
            )
        )  # fmt: skip
    heads = (
        "species", "pairs", "identities with a response", "non-response", "accepted", "APCER %", "95 %",
        "people anew", "claim %", "accepted, long code",
    )  # fmt: skip
    return table(heads, rows)


def _stopped(rows: Sequence[Row]) -> str:
    by_species: dict[str, Counter[str]] = {}
    for one, judged in rows:
        if one.label != BONA_FIDE:
            by_species.setdefault(one.species, Counter())[_stopper(judged)] += 1
    told = [(name, counts(dict(its.most_common()))) for name, its in by_species.items()]
    return table(("species", "stopped first by"), told)


def _stopper(judged: Judged) -> str:
    """The first gate that failed, the cues, or why there was nothing to judge."""
    if judged.decision == "accepted":
        return "nothing"
    if judged.decision == "non_response":
        return f"no response ({judged.reason})"
    return judged.gate or {"not_alive": "cues"}.get(judged.reason, judged.reason)


def _relit(long: dict[str, Any], short: dict[str, Any]) -> str:
    rows = []
    for name, its in short["species"].items():
        if name.startswith(RELIT):
            by_long = long["species"][name]
            rows.append(
                (
                    name, str(its["pairs"]), str(its["accepted"]), percent(its["apcer"]), between(its["interval"]),
                    str(by_long["accepted"]), percent(by_long["apcer"]), between(by_long["interval"]),
                )
            )  # fmt: skip
    heads = ("accepted", "APCER %", "95 %")
    return table(("", "pairs", *heads, *(f"{head}, long code" for head in heads)), rows)


def _people(found: Found, long: dict[str, Any], short: dict[str, Any]) -> str:
    rows = []
    for name, bits, told, its in (
        (FULL, basis_of(FULL).policy.code_bits, long, found.long),
        (SHORT, basis_of(SHORT).policy.code_bits, short, found.short),
    ):
        all_of_it, gates = told["bona_fide"], _gates(its)
        rows.append(
            (
                f"`{name}`, {bits} bits", str(all_of_it["presented"]), str(all_of_it["non_response"]),
                str(all_of_it["rejected"]), percent(all_of_it["bpcer"]), between(all_of_it["interval"]),
                between(all_of_it["bootstrap"]), _of(gates),
            )
        )  # fmt: skip
    heads = ("", "presented", "non-response", "refused", "BPCER %", "95 %", "people anew", "of it gates and code %")
    return table(heads, rows)


def _sets(groups: Sequence[Group]) -> str:
    rows = []
    for group in groups:
        its, gates = tally(group.rows, None)["bona_fide"], _gates(group.rows)
        rated = its["people"] >= LEAST_CELL
        rows.append(
            (
                f"{group.people.name}: {group.people.about}", str(its["presented"]), str(its["non_response"]),
                str(its["rejected"]), percent(its["bpcer"]) if rated else "-",
                between(its["interval"]) if rated else "-", _of(gates) if rated else "-", counts(its["refused_by"]),
            )
        )  # fmt: skip
    heads = ("", "people", "non-response", "refused", "BPCER %", "95 %", "of it gates and code %", "refused by")
    return table(heads, rows)


def _within(groups: dict[str, dict[str, dict[str, Any]]]) -> str:
    rows = []
    for name, cells in groups.items():
        for value, its in cells.items():
            told = (its["no_rate"], "-", "-") if "no_rate" in its else (
                str(its["rejected"]), percent(its["bpcer"]), between(its["interval"])
            )  # fmt: skip
            rows.append((name, value, str(its["people"]), *told))
    return table(("", "", "people with a response", "refused", "BPCER %", "95 %"), rows)


def _left_out(found: Sequence[LeftOut]) -> str:
    heads = (
        "species", "pairs with a response", "past the gates", "accepted", "accepted, cues not fitted on it",
        "people refused", "people refused, cues not fitted on it",
    )  # fmt: skip
    return table(
        heads,
        [
            (
                one.species, str(one.pairs), str(one.passed), str(one.accepted), f"**{one.accepted_without}**",
                f"{one.refused} of {one.people}", f"{one.refused_without} of {one.people}",
            )
            for one in found
        ],
    )  # fmt: skip


def _ablation(found: dict[str, Any]) -> str:
    if not found:
        return "This version weighs no cue."
    names = list(found)
    moved = [name for name in found["nothing"]["species"] if any(found[left]["species"][name] for left in names)]
    rows = [("people refused", *(percent(found[left]["bpcer"]) for left in names))]
    rows += [(f"{name} accepted", *(percent(found[left]["species"][name]) for left in names)) for name in moved]
    return table(("%, left out:", *names), rows)


def _time(found: Found, long: dict[str, Any], short: dict[str, Any]) -> str:
    lines = []
    for name, told in ((FULL, long), (SHORT, short)):
        its = told["time_to_decision"]
        if its["presentations"]:
            lines.append(
                f"- `{name}`: median {its['p50_s']:.2f} s, 95 % {its['p95_s']:.2f} s from the first FrameSet with the "
                f"face in the volume to the verdict, at 15 FrameSets a second; {its['presentations']} accepted people"
            )
    middle, most = _percentiles(found.cost_ms)
    lines.append(f"- gates, code and cues: {middle:.1f} ms CPU a frame, 95 % {most:.1f}; {len(found.cost_ms)} frames")
    return "\n".join(lines)


def _made(found: Found) -> str:
    its = machine()
    changed = ", ".join(f"`{name}`" for name in found.changed) or "none"
    every = [judged for _, judged in (*found.short, *(row for group in found.groups for row in group.rows))]
    judging = digest(JUDGING)[:16]
    return "\n".join(
        [
            *(f"- {basis_of(name).told} (limits, policies and cues together)" for name in (FULL, SHORT)),
            *(f"- `{path}`: SHA-256 `{sha256}`" for path, sha256 in digests(FROZEN).items()),
            f"- code that judges: `{judging}`; sources changed since the first frame was filmed: {changed}",
            f"- {len(every):,} presentations, {sum(judged.frames for judged in every):,} frames looked at",
            f"- machine: {its['processor']}, {its['cores']} shared cores, Python {its['python']}",
        ]
    )


def _gates(rows: Sequence[Row]) -> ErrorRate | None:
    """Of people with a response: whether there was no frame in which every gate held, whatever the cues say."""
    return bpcer(
        (one.subject, judged.score is None)
        for one, judged in rows
        if one.label == BONA_FIDE and judged.decision != "non_response"
    )


def _silent(rows: Sequence[Row]) -> dict[str, int]:
    return Counter(
        judged.reason for one, judged in rows if one.label == BONA_FIDE and judged.decision == "non_response"
    )


def _of(rate: ErrorRate | None) -> str:
    return "-" if rate is None else f"{percent(rate.value)} ({between(rate.interval)})"


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    middle, most = np.percentile(values, [50, 95]) if values else (np.nan, np.nan)
    return float(middle), float(most)


def _ranges(ranges: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items())
