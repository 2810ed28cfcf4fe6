"""The page of evidence of motion: what was measured, in the words of `dynamic.md`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from firmware.liveness.challenge import ANSWERS, LOWER_FACE
from firmware.runtime.config import load_profile
from hil.evaluate import sources
from hil.evaluate.dynamic_protocol import (
    FPS,
    LONG_FPS,
    MANNERS,
    MOVING_JAMES,
    PAUSE_S,
    PEOPLE,
    RIGID,
    SOFT,
    STILL_JAMES,
    TURNED_FPS,
    Moving,
    named,
)
from hil.evaluate.dynamic_tally import Living, alone, answered, living, pairs, percentiles, stopped
from hil.evaluate.dynamic_trials import JUDGING, Result, basis_of
from hil.evaluate.markdown import table
from hil.evaluate.presentation_page import between, claimed, counts, percent
from hil.evaluate.presentation_rates import LEAST_CELL, ErrorRate
from hil.evaluate.protocol import CELLS_MM
from hil.machine import machine
from hil.people.habits import habits

FROZEN = ("firmware/liveness/*.toml", "firmware/liveness/cues/*.toml", "models/manifest.toml", "hil/people/living.toml")
PAIRS, ADULTS, MOST_BPCER, DOOR_S, FIRST_S = 299, 500, 0.03, 0.8, 4.0
"""Asked for: pairs of each rigid species without an acceptance, people, BPCER, median s at a door and at first try."""
THIRDS = ("darkest", "middle", "lightest")
NEAR_AND_FAR_MM = ((320.0, 550.0), (550.0, 800.0))


@dataclass(frozen=True, slots=True)
class Found:
    """Everything on the page.

    Attributes:
        protocol: that was followed.
        results: what was decided, in any order.
        wanted: presentations that the protocol has.
        skin: reflectance of people, by seed.
        changed: sources changed since the first frame was filmed.
    """

    protocol: Moving
    results: list[Result]
    wanted: int
    skin: Mapping[int, float]
    changed: list[str]

    def of(self, *rows: str, policy: str = "payment") -> list[Result]:
        """Results of these rows under that policy."""
        return [result for result in self.results if result[0].row in rows and result[0].policy == policy]

    def species(self, name: str, policy: str = "payment") -> list[Result]:
        """Of one species, held or turned."""
        return self.of(*(named(name, manner) for manner in MANNERS), policy=policy)


def page(found: Found) -> str:
    """The Markdown text."""
    paid, door = living(found.of(PEOPLE)), living(found.of(PEOPLE, policy="door"))
    adults, turn = found.protocol.base.adults, habits().turn
    return (
        (files("hil.evaluate") / "dynamic.md")
        .read_text()
        .format(
            people=len(found.of(PEOPLE)),
            first_seed=adults[0],
            last_seed=max((one.shot.person for one, _ in found.of(PEOPLE)), default=adults[0]),
            turn=f"{turn.yaw_deg.mean:g} +- {turn.yaw_deg.sd:g} degrees of yaw, {turn.pitch_deg.mean:g} +- "
            f"{turn.pitch_deg.sd:g} of pitch",
            pause=f"{PAUSE_S[0]:g} to {PAUSE_S[1]:g}",
            fps=FPS,
            turned_fps=TURNED_FPS,
            long_fps=LONG_FPS,
            look_s=load_profile("payment").look_s,
            least=LEAST_CELL,
            watched=found.protocol.watched,
            answers=ANSWERS,
            complete=_complete(found),
            required=_required(found, paid, door),
            rigid=_species(found, RIGID),
            stopped=_stopped(found),
            alone=_alone(found),
            soft=_species(found, SOFT),
            james=_james(found),
            people_table=_people({"payment": paid, "door": door}),
            people_words=_words(paid),
            prompts=_prompts(found),
            groups=_groups(found),
            door=_door(found),
            made=_made(found),
        )
    )


def _complete(found: Found) -> str:
    done = len(found.results)
    if done == found.wanted:
        return f"All {done:,} presentations of the protocol were judged."
    return (
        f"**{done:,} of the protocol's {found.wanted:,} presentations were judged**: people, then rounds over what "
        "is presented.\nThe time ended it, and no result; each number stands beside what it is of."
    )


def _required(found: Found, paid: Living, door: Living) -> str:
    rows = [("people, bona fide, in `payment`", f">= {ADULTS}", str(paid.shown), paid.shown >= ADULTS)]
    for name in RIGID:
        its = pairs(found.species(name))
        shown = 0 if its.rate is None else its.rate.trials
        accepted = 0 if its.rate is None else its.rate.errors
        silent = f", {its.silent} presentations without a response" if its.silent else ""
        told = f"{accepted} of {shown} pairs, {its.presentations} presentations{silent}"
        rows.append((f"{name}: accepted in `payment`", f"0 of >= {PAIRS} pairs", told, not accepted and shown >= PAIRS))
    still, moving = (found.of(row) for row in (STILL_JAMES, MOVING_JAMES))
    rows.append(
        (
            "james, the scan at rest",
            "refused",
            f"{_taken(still)} of {len(still)} accepted",
            bool(still) and not _taken(still),
        )
    )
    told = f"{_taken(moving)} of {len(moving)} accepted"
    rows.append(("james, deformation transferred", "accepted", told, _taken(moving) == len(moving) > 0))
    rate = paid.rate
    rows.append(
        ("BPCER in `payment`, refusals among them %", f"<= {100 * MOST_BPCER:g}", _of(rate),
         rate is not None and rate.value <= MOST_BPCER)
    )  # fmt: skip
    for name, most, seconds in (
        ("`door`, median s", DOOR_S, door.seconds),
        ("`payment` with one prompt at first try, median s", FIRST_S, paid.seconds_first),
    ):
        middle, _ = percentiles(seconds)
        rows.append((name, f"<= {most:g}", f"{middle:.2f} ({len(seconds)} people)", middle <= most))
    return table(("", "required", "measured", ""), [(*row[:3], "met" if row[3] else "**missed**") for row in rows])


def _taken(results: Sequence[Result]) -> int:
    return sum(tried.seen.decision == "accepted" for _, tried in results)


def _species(found: Found, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        its = pairs(found.species(name))
        held, turned = (len(found.of(named(name, manner))) for manner in MANNERS)
        rate, without = its.rate, its.without
        if rate is None:
            rows.append((name, "0", f"{held} and {turned}", str(its.silent), "0", "-", "-", "-", "-"))
            continue
        rows.append(
            (
                name, str(rate.trials), f"{held} and {turned}", str(its.silent), f"**{rate.errors}**",
                percent(rate.value), between(rate.interval), claimed(rate.claim),
                "-" if without is None else str(without.errors),
            )
        )  # fmt: skip
    heads = (
        "species", "pairs with a response", "held and turned", "non-response", "accepted", "APCER %", "95 %", "claim %",
        "accepted without motion",
    )  # fmt: skip
    return table(heads, rows)


def _stopped(found: Found) -> str:
    rows = []
    for name in (*RIGID, *SOFT):
        for manner in MANNERS:
            by = stopped(found.of(named(name, manner)))
            rows.append((named(name, manner), counts(dict(by.most_common())) or "-"))
    return table(("", "refused first by"), rows)


def _alone(found: Found) -> str:
    rows = []
    for name in RIGID:
        for manner in MANNERS:
            its = alone(found.of(named(name, manner)))
            told = (_spread(one) for one in (its.unasked, its.passive, its.answering))
            rows.append((named(name, manner), str(its.watched), str(its.measured), f"**{its.passed}**", *told))
    heads = (
        "", "watched", "past the gates", "let pass by motion alone", "before a prompt: median / most",
        "unasked scale: median / most", "after a prompt: median / most",
    )  # fmt: skip
    return table(heads, rows)


def _spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.2f} / {max(values):.2f}" if values else "-"


def _james(found: Found) -> str:
    rows = []
    for row in (STILL_JAMES, MOVING_JAMES):
        its = found.of(row)
        by = counts(dict(stopped(its).most_common()))
        rows.append((row, str(len(its)), f"**{_taken(its)}**", by.replace("nothing", "accepted") or "-"))
    return table(("", "takes", "accepted", "refused first by"), rows)


def _people(told: Mapping[str, Living]) -> str:
    rows = []
    for name, its in told.items():
        middle, most = percentiles(its.seconds)
        rows.append(
            (
                f"`{name}`", str(its.shown), str(its.silent), "-" if its.rate is None else str(its.rate.errors),
                _of(its.rate), _of(its.complying), f"{middle:.2f}", f"{most:.2f}",
            )
        )  # fmt: skip
    heads = (
        "", "people", "non-response", "refused", "BPCER % (95 %)", "of those who comply % (95 %)", "median s",
        "95th percentile s",
    )  # fmt: skip
    return table(heads, rows)


def _words(paid: Living) -> str:
    def share(count: int) -> str:
        return f"{count} of {paid.accepted} ({100 * count / paid.accepted:.1f} %)" if paid.accepted else "-"

    middle, most = percentiles(paid.seconds_first)
    nothing = paid.gave_nothing
    return "\n".join(
        [
            f"- accepted in `payment` without any prompt: {share(paid.unasked)}; needing a challenge: "
            f"{share(paid.first_try + paid.second_try)}; needing a second try: {share(paid.second_try)}",
            f"- accepted at the first prompt: median {middle:.2f} s, 95th percentile {most:.2f} s, from the first "
            "FrameSet with the face in the volume to the verdict",
            f"- refusals to comply, apart: {nothing.total()} people did nothing about any prompt they were shown "
            f"({counts(dict(nothing.most_common())) or 'none'})",
            f"- refused in `payment` by: {counts(dict(paid.refused_by.most_common())) or 'nothing'}",
        ]
    )


def _prompts(found: Found) -> str:
    rows = []
    for kind in LOWER_FACE:
        for near, far in NEAR_AND_FAR_MM:
            its = answered(
                [one for one in found.of(PEOPLE) if near <= dict(one[0].shot.parameters)["distance_mm"] < far], kind
            )
            share = f"{100 * its.answered / its.obeyed:.0f}" if its.obeyed else "-"
            where = f"{near / 1000:.2f}-{far / 1000:.2f} m"
            rows.append((f"`{kind}`", where, str(its.shown), str(its.obeyed), str(its.answered), share))
    return table(("prompt", "distance", "shown", "obeyed", "answered", "of those obeyed %"), rows)


def _groups(found: Found) -> str:
    results = found.of(PEOPLE)
    edges = np.quantile(list(found.skin.values()), [1 / 3, 2 / 3]) if found.skin else np.zeros(2)

    def distance(result: Result) -> str:
        z_mm = dict(result[0].shot.parameters)["distance_mm"]
        near, far = next(cell for cell in CELLS_MM if z_mm <= cell[1])
        return f"{near / 1000:.2f}-{far / 1000:.2f} m"

    def skin(result: Result) -> str:
        return THIRDS[int(np.searchsorted(edges, found.skin[result[0].shot.person]))]

    groupings: dict[str, Callable[[Result], str]] = {
        "distance": distance,
        "skin": skin,
        "speech": lambda result: "speaking" if result[0].shot.talking else "silent",
    }
    rows = []
    for name, grouping in groupings.items():
        cells = Counter(map(grouping, results))
        for cell in sorted(cells):
            its = living([result for result in results if grouping(result) == cell])
            enough = its.rate is not None and its.rate.people >= LEAST_CELL
            told = _of(its.rate) if enough else f"fewer than {LEAST_CELL} people"
            middle, _ = percentiles(its.seconds)
            refused = "-" if its.rate is None else str(its.rate.errors)
            rows.append((name, cell, str(its.shown), refused, told, str(its.unasked), f"{middle:.2f}"))
    heads = ("", "", "people", "refused", "BPCER % (95 %)", "accepted without a prompt", "median s")
    return table(heads, rows)


def _door(found: Found) -> str:
    rows = []
    for name in (*RIGID, *SOFT):
        results = found.species(name, policy="door")
        rate = pairs(results).rate
        told = ("-", "-", "-") if rate is None else (f"**{rate.errors}**", percent(rate.value), between(rate.interval))
        asked = sum(bool(tried.seen.asked) for _, tried in results)
        rows.append((name, str(len(results)), *told, str(asked)))
    return table(("species, held", "pairs", "accepted", "APCER %", "95 %", "asked for motion"), rows)


def _made(found: Found) -> str:
    its = machine()
    changed = ", ".join(f"`{name}`" for name in found.changed) or "none"
    spent = [1000 * tried.seen.cpu_s / tried.seen.frames for _, tried in found.results if tried.seen.frames]
    middle, most = percentiles(spent)
    return "\n".join(
        [
            *(f"- {basis_of(name).told} (limits, policies and cues together)" for name in ("payment", "door")),
            *(f"- `{path}`: SHA-256 `{sha256}`" for path, sha256 in sources.digests(FROZEN).items()),
            f"- code that judges: `{sources.digest(JUDGING)[:16]}`; sources changed since the first frame was filmed: "
            f"{changed}",
            f"- {len(found.results):,} presentations, {sum(tried.seen.frames for _, tried in found.results):,} frames "
            f"looked at; judging a frame took {middle:.1f} ms CPU, mean of a presentation, median over them (95th "
            f"percentile {most:.1f})",
            f"- machine: {its['processor']}, {its['cores']} shared cores, Python {its['python']}",
        ]
    )


def _of(rate: ErrorRate | None) -> str:
    return "-" if rate is None else f"{percent(rate.value)} ({between(rate.interval)})"
