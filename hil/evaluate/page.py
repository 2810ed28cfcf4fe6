"""The page of evidence: what was measured, in the words of `evidence.md`."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from hil.evaluate.chimera import ASSUMING, Decided, Point
from hil.evaluate.markdown import table
from hil.evaluate.presentations import HEADLINE, SETS, STRONG_PROBES
from hil.evaluate.rates import RULE_OF_30, Rate, Rates, needed
from hil.machine import machine

FARS = (1e-3, 1e-4)
REAL_MOVE_MM = 2.54  # how far strong expressions move real faces, mean: rigidly aligned scans, see docs/people.md


@dataclass(frozen=True, slots=True)
class Row:
    """Rates by column (`depth`, `ir`, `both`) under one condition, of one table."""

    name: str
    rates: dict[str, Rates]
    table: str = ""


@dataclass(frozen=True, slots=True)
class Int8:
    """The headline's depth rates of the float parent and of the int8 network that runs."""

    parent: Rates
    runs: Rates


@dataclass(frozen=True, slots=True)
class Fused:
    """Chimeric rates; `people` real and made up."""

    both: list[Point]
    ir: list[Point]
    decided: list[Decided]
    people: tuple[int, int]
    pictures: int
    pairings: int


@dataclass(frozen=True, slots=True)
class Acquired:
    """What had to be left out of one set, by reason.

    `refused` people and `gates` probes were left in: a geometry gate would refuse them.
    """

    name: str
    people: int
    not_enrolled: dict[str, int]
    refused: dict[str, int]
    probes: int
    not_acquired: dict[str, int]
    gates: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Everything on the page.

    `rows`: the headline first; `acquired_share`: of the headline's probes that
    had a usable face; `changed`: sources changed since the frames were taken.
    """

    rows: list[Row]
    int8: Int8 | None
    fused: Fused
    acquired: list[Acquired]
    networks: dict[str, tuple[str, str]]
    calibration: dict[str, str]
    moved_mm: NDArray[np.float64]
    enrolled_adults: int
    acquired_share: float
    changed: list[str]


TABLES = ("distance", "pose", "expression", "sensor", "who")


def page(found: Page) -> str:
    """The Markdown text."""
    low, high = np.percentile(found.moved_mm, [5, 95])
    fused = found.fused
    once = fused.pictures * (fused.people[0] - 1)
    return (
        (files("hil.evaluate") / "evidence.md")
        .read_text()
        .format(
            first_seed=HEADLINE.seeds[0],
            last_seed=HEADLINE.seeds[-1],
            strong_probes=STRONG_PROBES,
            moved=f"{found.moved_mm.mean():.2f}",
            moved_low=f"{low:.1f}",
            moved_high=f"{high:.1f}",
            real_move=REAL_MOVE_MM,
            rule=RULE_OF_30,
            needs_3=f"{needed(1e-3):,}",
            needs_4=f"{needed(1e-4):,}",
            needs_5=f"{needed(1e-5):,}",
            required=_required(found),
            headline_name=found.rows[0].name,
            headline=_headline(found),
            with_failures=_with_failures(found),
            assuming=ASSUMING,
            pictures=fused.pictures,
            real_people=fused.people[0],
            made_people=fused.people[1],
            pairings=fused.pairings,
            once=f"{once:,}",
            once_5=f"{once * 1e-5:.1f}",
            fused=_fused(found),
            decided=_decided(fused),
            acquired=_acquired(found.acquired),
            made=_made(found),
            **{key: _table(found, key) for key in TABLES},
        )
    )


def _required(found: Page) -> str:
    depth = found.rows[0].rates["depth"]
    at = _at(depth, 1e-3)
    fused = next((point.rate for point in found.fused.both if point.far == 1e-5), None)
    rows = [
        ("adults enrolled", ">= 500", str(found.enrolled_adults), found.enrolled_adults >= 500),
        ("impostor pairs", ">= 200,000", f"{depth.impostor:,}", depth.impostor >= 200_000),
        ("depth: EER %", "<= 3", _percent(depth.eer), depth.eer.value <= 0.03),
        ("depth: TAR % at FAR 1e-3", ">= 90", _percent(at), at is not None and at.value >= 0.9),
        (f"depth and IR, chimeric: TAR % at FAR 1e-5 ({ASSUMING})", ">= 98.5", _percent(fused),
         bool(fused and fused.value >= 0.985)),
    ]  # fmt: skip
    if found.int8 is not None:
        parent, runs = (_at(one, 1e-3) for one in (found.int8.parent, found.int8.runs))
        if parent is not None and runs is not None:
            cost = 100 * (parent.value - runs.value)
            rows.append(("int8 costs, points of depth TAR at FAR 1e-3", "<= 0.3", f"{cost:.2f}", cost <= 0.3))
    lines = [f"| {name} | {wanted} | {value} | {'met' if met else '**missed**'} |" for name, wanted, value, met in rows]
    return "\n".join(["| | required | measured | |", "|---|---|---|---|", *lines])


def _headline(found: Page) -> str:
    rates = found.rows[0].rates
    rows = {"depth": rates["depth"], "IR, rendered": rates["ir"], "both, rendered": rates["both"]}
    if found.int8 is not None:
        rows["depth, float parent"] = found.int8.parent
    return table(
        ("", "people", "genuine", "impostor", "EER %", "AUC", "TAR % at FAR 1e-3", "at 1e-4"),
        [
            (name, *_counts(one), _percent(one.eer), f"{one.auc.value:.5f}", *(_percent(_at(one, far)) for far in FARS))
            for name, one in rows.items()
        ],
    )


def _with_failures(found: Page) -> str:
    at = _at(found.rows[0].rates["depth"], 1e-3)
    return "-" if at is None else f"{100 * at.value * found.acquired_share:.2f}"


def _table(found: Page, key: str) -> str:
    rows = []
    for row in found.rows:
        if row.table == key:
            both = [(_percent(one.eer), _percent(_at(one, 1e-3))) for one in (row.rates["depth"], row.rates["ir"])]
            rows.append((row.name, *_counts(row.rates["depth"]), *both[0], *both[1]))
    heads = ("depth EER %", "depth TAR % at 1e-3", "IR EER %", "IR TAR % at 1e-3")
    return table(("", "people", "genuine", "impostor", *heads), rows)


def _fused(found: Page) -> str:
    both, depth = found.fused.both, found.rows[0].rates["depth"]
    return table(
        ("TAR % at FAR", *(f"{point.far:g}" for point in both)),
        [
            ("IR alone (proxy)", *(_percent(point.rate) for point in found.fused.ir)),
            ("depth alone (simulated)", *(_percent(_at(depth, point.far)) for point in both)),
            ("both", *(_percent(point.rate) for point in both)),
        ],
    )


def _decided(fused: Fused) -> str:
    return table(
        ("threshold named", "least sum", "false accepts", "true accepts"),
        [
            (
                f"{one.rate:g}",
                f"{one.threshold:.2f}",
                f"{one.false} of {one.impostors:,} ({one.false / one.impostors:.2e})",
                f"{one.accepted:,} of {one.genuine:,} ({100 * one.accepted / one.genuine:.2f} %)",
            )
            for one in fused.decided
        ],
    )


def _acquired(acquired: list[Acquired]) -> str:
    sensors = {people.name: people.sensor for people in SETS}
    return table(
        ("set", "sensor", "people", "not enrolled", "a gate refuses", "probes", "no usable face", "a gate refuses"),
        [
            (
                one.name,
                sensors[one.name],
                str(one.people),
                _reasons(one.not_enrolled, one.people),
                _reasons(one.refused, one.people),
                str(one.probes),
                _reasons(one.not_acquired, one.probes),
                _reasons(one.gates, one.probes - sum(one.not_acquired.values())),
            )
            for one in acquired
        ],
    )


def _made(found: Page) -> str:
    lines = [f"- {name}: {about}, SHA-256 `{digest[:16]}...`" for name, (about, digest) in found.networks.items()]
    lines += [f"- calibration `{name}`: `{digest[:16]}...`" for name, digest in found.calibration.items()]
    its = machine()
    changed = ", ".join(f"`{name}`" for name in found.changed) or "none"
    return "\n".join(
        [
            *lines,
            f"- machine: {its['processor']}, {its['cores']} shared cores, Python {its['python']}",
            f"- sources changed since the frames were taken: {changed}",
        ]
    )


def _counts(one: Rates) -> tuple[str, str, str]:
    return str(one.people), f"{one.genuine:,}", f"{one.impostor:,}"


def _percent(rate: Rate | None) -> str:
    return "-" if rate is None else f"**{100 * rate.value:.2f}** ({100 * rate.low:.2f}-{100 * rate.high:.2f})"


def _reasons(counts: dict[str, int], of: int) -> str:
    total = sum(counts.values())
    if not total:
        return "0"
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    return f"{total} ({100 * total / of:.1f} %): {told}"


def _at(rates: Rates, far: float) -> Rate | None:
    found = rates.at(far)
    return None if found is None else found.rate
