"""`make evidence-recognition`: the error rates that the docs print, from people nobody trained on.

Rules kept here:
- One command, from nothing to the page; what is slow (rendering, embedding) is kept and gone on with.
- The page is written by this file and by nobody; a row says how many people and pairs stand behind it.
- What the pairs cannot show is a dash. What is simulated, and what is a proxy, is called so in the heading.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from drivers.npu.interface import NetworkError
from firmware.vision.calibration import Calibration, CalibrationError, Reading, load_calibration
from firmware.vision.embed import MODALITIES, Modality
from hil.evaluate import chimera
from hil.evaluate.cohort import F32, Cohort, gather, outline, vectors
from hil.evaluate.errors import EvaluateError
from hil.evaluate.frames import changed_sources
from hil.evaluate.networks import Reader, float_parent, reader
from hil.evaluate.page import FARS, Acquired, Fused, Int8, Page, Row, page
from hil.evaluate.presentations import HEADLINE, ICT, SETS, PeopleSet
from hil.evaluate.rates import Rates, Trials, rates
from hil.evaluate.report import draw, plain
from hil.people import PeopleError
from hil.people.sliders import GROWN_AGE
from models.manifest import ModelError

ROUNDS = 200
FUSED_FARS = (1e-3, 1e-4, 1e-5)
SHIPPED = (1e-4, 1e-5)
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A cohort with (e, q) scores of its enrolled people and its probes, by name of the column."""

    cohort: Cohort
    scores: dict[str, F32]

    def trials(self, column: str, people: Mask, chosen: Mask) -> Trials:
        """Those `people` among themselves, those probes."""
        return self.cohort.trials(self.scores[column], people, chosen)

    def row(self, name: str, people: Mask, chosen: Mask, columns: tuple[str, ...] = MODALITIES) -> Row:
        """Rates by column."""
        found: dict[str, Rates] = {
            column: rates(self.trials(column, people, chosen), ROUNDS, FARS) for column in columns
        }
        return Row(name, found)


def measure(root: Path, data: Path, console: Console) -> tuple[Page, dict[str, Trials]]:
    """Everything on the page, and the headline's trials for the drawing.

    Raises:
        EvaluateError, ModelError, NetworkError, CalibrationError, PeopleError: something it needs is not there.
    """
    readers: dict[Modality, Reader] = {modality: reader(modality) for modality in MODALITIES}
    virtual, real = load_calibration("virtual"), load_calibration("real")
    # depth is read as it is of real people, by a calibration that never saw a MakeHuman person
    readings: dict[Modality, Reading] = {"ir": virtual.ir, "depth": real.depth}
    with _bars(console) as bars:
        sets = {people.name: _scored(people, readers, readings, root, bars) for people in SETS}
        parent = float_parent("depth")
        floats = None if parent is None else _embedded(HEADLINE, {"depth": parent}, root, bars)
        headline = sets[HEADLINE.name]
        adults, strong = _adults(headline.cohort), headline.cohort.kind == "strong"
        rows = list(_rows(sets, bars))
    proxy = chimera.read_proxy(data)
    seen = {column: headline.trials(column, adults, strong) for column in headline.scores}
    found = Page(
        rows=rows,
        int8=None if floats is None else _int8(floats, adults, strong, rows[0]),
        fused=_fused(headline, adults, strong, proxy, real),
        acquired=[_acquired(one.cohort) for one in sets.values()],
        networks={modality: (one.about, one.digest) for modality, one in readers.items()},
        calibration={"virtual": virtual.digest.hex(), "real": real.digest.hex()},
        moved_mm=headline.cohort.moved_mm[strong & adults[headline.cohort.owner]],
        acquired_share=_acquired_share(headline.cohort, adults, root),
        enrolled_adults=int((adults & headline.cohort.enrolled).sum()),
        changed=sorted({name for people in SETS for name in changed_sources(people, root)}),
    )
    return found, seen


def _bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _scored(
    people: PeopleSet, readers: dict[Modality, Reader], readings: dict[Modality, Reading], root: Path, bars: Progress
) -> Scored:
    task = bars.add_task(f"{people.name}: frames", total=people.count)
    for seed in people.seeds:
        outline(people, seed, root)
        bars.advance(task)
    cohort = _embedded(people, readers, root, bars)
    scores: dict[str, F32] = {modality: cohort.cosines(modality, readings[modality]) for modality in MODALITIES}
    ratios = [_ratio(scores[modality], readings[modality]) for modality in MODALITIES]
    return Scored(cohort, {**scores, "both": np.asarray(ratios[0] + ratios[1], np.float32)})


def _embedded(people: PeopleSet, readers: dict[Modality, Reader], root: Path, bars: Progress) -> Cohort:
    found: dict[Modality, list[F32]] = {}
    for modality, one in readers.items():
        task = bars.add_task(f"{people.name}: {one.about}", total=people.count)
        found[modality] = vectors(people, modality, one, root, partial(bars.update, task))
    return gather(people, found, root)


def _ratio(cosine: F32, reading: Reading) -> F32:
    return np.asarray(np.clip(reading.slope * cosine + reading.offset, -reading.limit, reading.limit), np.float32)


def _adults(cohort: Cohort) -> Mask:
    return np.asarray(cohort.age >= GROWN_AGE)


def _rows(sets: dict[str, Scored], bars: Progress) -> "list[Row]":
    """Every row of the first tables, the headline first."""
    main = sets[HEADLINE.name]
    cohort = main.cohort
    adults, strong = _adults(cohort), cohort.kind == "strong"
    z, yaw, pitch = cohort.pose[:, 2:5].T
    wanted: list[tuple[str, str, Scored, Mask, Mask]] = [
        ("headline", "adults, strong expressions, 0.3-0.7 m, yaw within 20", main, adults, strong)
    ]
    for low, high in ((300.0, 400.0), (400.0, 500.0), (500.0, 600.0), (600.0, 700.0)):
        wanted.append(("distance", f"{low / 1000:.1f}-{high / 1000:.1f} m", main, adults, strong & _in(z, low, high)))
    far = sets["makehuman-far"]
    wanted.append(("distance", "0.7-1.0 m", far, _adults(far.cohort), far.cohort.kind == "strong"))
    for low, high in ((0.0, 7.0), (7.0, 14.0), (14.0, 20.01)):
        chosen = strong & _in(np.abs(yaw), low, high)
        wanted.append(("pose", f"yaw {low:.0f}-{high:.0f} degrees either way", main, adults, chosen))
    for low, high in ((0.0, 6.0), (6.0, 12.01)):
        chosen = strong & _in(np.abs(pitch), low, high)
        wanted.append(("pose", f"pitch {low:.0f}-{high:.0f} degrees either way", main, adults, chosen))
    wanted.append(("expression", "at rest", main, adults, cohort.kind == "neutral"))
    for low, high, name in ((0.0, 1.0, "under 1 mm"), (1.0, 2.5, "1-2.5 mm"), (2.5, 99.0, "over 2.5 mm")):
        chosen = strong & _in(cohort.moved_mm, low, high)
        wanted.append(("expression", f"strong, moves the face {name} on average", main, adults, chosen))
    first = np.isin(cohort.seeds, ICT.seeds)
    wanted.append(("sensor", "structured-light, the first of the headline's people", main, adults & first, strong))
    for name, text in (
        ("makehuman-held-out", "held-out: another maker's module, the same people"),
        ("makehuman-d4xx", "d4xx: stereo depth with our flood, the same people"),
        ("makehuman-ideal", "ideal: nothing scatters, no distortion, the same people"),
        ("makehuman-glasses", "structured-light, enrolled without glasses, probes with them, the same people"),
    ):
        one = sets[name]
        wanted.append(("sensor", text, one, _adults(one.cohort), one.cohort.kind == "strong"))
    ict = sets[ICT.name]
    wanted.append(("who", "ICT people, adults (the generator that was trained on)", ict, _adults(ict.cohort),
                   ict.cohort.kind == "strong"))  # fmt: skip
    wanted.append(("who", "minors, 4 to 18, among themselves", main, ~adults, strong))
    wanted.append(("who", "everybody as drawn, minors and adults", main, np.ones(len(adults), bool), strong))
    wanted.append(("who", "women among themselves", main, adults & (cohort.male < 0.5), strong))
    wanted.append(("who", "men among themselves", main, adults & (cohort.male >= 0.5), strong))
    for low, high in ((18.0, 40.0), (40.0, 65.0), (65.0, 86.0)):
        wanted.append(
            (
                "who",
                f"{low:.0f} to {high:.0f} years among themselves",
                main,
                adults & _in(cohort.age, low, high),
                strong,
            )
        )
    task = bars.add_task("rates", total=len(wanted))
    rows = []
    for table, name, scored, people, chosen in wanted:
        columns = (*MODALITIES, "both") if table in ("headline", "sensor") or "minors" in name else MODALITIES
        row = scored.row(name, people, chosen, columns)
        rows.append(Row(name, row.rates, table))
        bars.advance(task)
    return rows


def _in(values: NDArray[np.float64], low: float, high: float) -> Mask:
    return np.asarray((values >= low) & (values < high))


def _int8(floats: Cohort, adults: Mask, strong: Mask, row: Row) -> Int8:
    of_float = rates(floats.trials(floats.cosines("depth"), adults, strong), ROUNDS, FARS)
    return Int8(of_float, row.rates["depth"])


def _fused(headline: Scored, adults: Mask, strong: Mask, proxy: chimera.Scores, real: Calibration) -> Fused:
    """Real people's infrared with the headline's depth."""
    cohort = headline.cohort
    enrolled = np.flatnonzero(cohort.enrolled)
    rows = np.flatnonzero(adults[enrolled])
    columns = np.flatnonzero(strong & (adults & cohort.enrolled)[cohort.owner])
    position = np.full(len(cohort.seeds), -1)
    position[enrolled[rows]] = np.arange(len(rows))
    cosine = headline.scores["depth"][np.ix_(rows, columns)].T.astype(np.float64)
    depth = chimera.Scores(cosine, position[cohort.owner[columns]])
    pairs = chimera.pair_up(proxy, depth, real)
    once = chimera.Chimeras(pairs.ir[:1], pairs.depth[:1], pairs.whose, pairs.given[:1])
    return Fused(
        both=chimera.tar_at(pairs, pairs.fused, FUSED_FARS),
        ir=chimera.tar_at(once, once.ir, FUSED_FARS),
        decided=[chimera.decided(pairs, real, rate) for rate in SHIPPED if _has(real, rate)],
        people=(proxy.people, depth.people),
        pictures=len(proxy.whose),
        pairings=len(pairs.given),
    )


def _has(calibration: Calibration, rate: float) -> bool:
    return any(one.rate == rate and one.modalities == MODALITIES for one in calibration.thresholds)


def _acquired_share(cohort: Cohort, adults: Mask, root: Path) -> float:
    """Of the strong probes of enrolled adults."""
    asked = [outline(HEADLINE, int(seed), root) for seed in cohort.seeds[adults & cohort.enrolled]]
    usable = np.concatenate([one.reason[one.kind == "strong"] == "" for one in asked])
    return float(usable.mean())


def _acquired(cohort: Cohort) -> Acquired:
    return Acquired(
        cohort.name,
        len(cohort.seeds),
        cohort.not_enrolled,
        cohort.refused,
        cohort.asked,
        cohort.not_acquired,
        cohort.gates,
    )


def main() -> int:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(prog="python -m hil.evaluate.evidence", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/recognition-evidence.md"))
    parser.add_argument("--work", type=Path, default=Path("build/evidence"), help="what is kept between runs")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TESSERA_DATA", "../shared/data")))
    asked = parser.parse_args()
    console = Console()
    try:
        found, seen = measure(asked.work, asked.data, console)
    except (EvaluateError, ModelError, NetworkError, CalibrationError, PeopleError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    asked.out.write_text(page(found))
    draw(asked.out.with_suffix(".png"), seen, "SIMULATED")
    raw: dict[str, Any] = {row.name: {column: plain(one) for column, one in row.rates.items()} for row in found.rows}
    (asked.work / "report.json").write_text(json.dumps(raw, indent=2) + "\n")
    console.print(f"written: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
