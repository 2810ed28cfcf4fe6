"""`tessera bench --only code`: how well a living face's answer to the emitter code is read.

Streams of simulated people, each frame lit by a draw and read by the terminal's own detector, patch and reader, by
distance, sunlight, exposure, motion and lamps that flicker at 100 Hz while exposures are taken 120 a second. That a
stream which knows nothing of the draw answers b bits is not measured, it is a theorem: at most once in 2^b tries
(Ville's inequality; `firmware/liveness/code.py`).

Run by itself (`python -m hil.rig.bench_code --people N`) it takes as many people as it is told. They are ICT people,
the sensors `structured-light` and `d4xx`: nothing here has seen an evaluation seed or the held-out sensor.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.camera import FrameSet
from firmware.liveness.code import LEVELS, REMEMBERED, Try, brightness
from firmware.liveness.patch import patch
from firmware.vision.detect import Detector
from firmware.vision.face import NoFace
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import Attacker
from hil.evaluate.fit import upper_bound
from hil.people.actor import Actor
from hil.people.generators import make_actor
from hil.rig.render import code_of, film, living
from hil.sensor.optics import CONE_SR
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Performance, Placed

FIRST_SEED = 2_710_000
PEOPLE, FRAMES, FPS = 2, 26, 15.0
DISTANCES_MM = (350.0, 500.0, 700.0, 900.0)
SUNS = (0.0, 1.0, 2.0, 5.0)  # times the flood's own light half a metre away
SENSORS = ("structured-light", "d4xx")
DOOR, PAYMENT = 12, 24  # bits
TURN_DEG, TURN_HZ, WALK_MM, WALK_HZ = 20.0, 0.5, 60.0, 0.4


@dataclass(frozen=True, slots=True)
class Cell:
    """What differs from an honest person indoors, 0.5 m away, sensor as its preset is."""

    table: str
    name: str
    sensor: str = SENSORS[0]
    distance_mm: float = 500.0
    sun: float = 0.0
    moving: bool = False
    exposure_us: tuple[int, int] | None = None
    lamps: tuple[float, float] | None = None

    def preset(self) -> Preset:
        """Its sensor, light and all."""
        made = preset(self.sensor, 640)
        at_half_a_metre = made.flood_w / CONE_SR / 0.5**2
        ambient = msgspec.structs.replace(made.ambient, sun=self.sun * at_half_a_metre / made.ambient.sun_w_m2)
        if self.lamps is not None:
            ambient = msgspec.structs.replace(ambient, indoor_w_m2=self.lamps[0], flicker=self.lamps[1])
        return msgspec.structs.replace(made, ambient=ambient, exposure_us=self.exposure_us or made.exposure_us)


class Row(msgspec.Struct, frozen=True):
    """What became of the symbols of a cell. `..._most`: one-sided 95 % Clopper-Pearson bound of a share.

    Attributes:
        symbols: read, each against the frames before it.
        misread: of them, nearer to another level than to the one drawn: what a reader symbol by symbol would take.
        wrong: of them, `code_wrong` to the terminal.
        unknown: frames without an answer: no face, or light or shape that could not be measured.
        least_bits: that a symbol was worth.
        door: frames until 12 bits were answered, one for each person who did.
        payment: the same of 24 bits.
    """

    table: str
    name: str
    symbols: int
    misread: int
    misread_most: float
    wrong: int
    wrong_most: float
    unknown: int
    least_bits: float
    door: tuple[int, ...]
    payment: tuple[int, ...]


class Report(msgspec.Struct, frozen=True):
    """Rows by cell; `people` in each."""

    people: int
    rows: list[Row]


def cells() -> list[Cell]:
    """Every cell of the tables."""
    made = [
        Cell(sensor, f"{distance / 1000:g} m, sun {sun:g}", sensor, distance, sun)
        for sensor in SENSORS
        for distance in DISTANCES_MM
        for sun in SUNS
    ]
    for sensor in SENSORS:
        made += [
            Cell("conditions", f"{sensor}, 0.5 m, at most 0.4 ms", sensor, exposure_us=(100, 400)),
            Cell("conditions", f"{sensor}, 0.9 m, at most 0.4 ms", sensor, 900.0, exposure_us=(100, 400)),
            Cell("conditions", f"{sensor}, 0.9 m, at most 8 ms", sensor, 900.0, exposure_us=(100, 8000)),
            Cell("conditions", f"{sensor}, 0.5 m, turning and walking", sensor, moving=True),
            Cell("conditions", f"{sensor}, 0.5 m, the same, sun 2", sensor, sun=2.0, moving=True),
            Cell("conditions", f"{sensor}, 0.9 m, the same", sensor, 900.0, moving=True),
            Cell("conditions", f"{sensor}, 0.9 m, lamps 0.1 W/m2, all flicker", sensor, 900.0, lamps=(0.1, 1.0)),
            Cell("conditions", f"{sensor}, 0.9 m, lamps 0.3 W/m2, flicker 0.3", sensor, 900.0, lamps=(0.3, 0.3)),
            Cell("conditions", f"{sensor}, 0.5 m, lamps 0.3 W/m2, all flicker", sensor, lamps=(0.3, 1.0)),
        ]
    return made


def measure(
    people: int = PEOPLE, over: Callable[[Sequence[Cell]], Iterable[Cell]] = iter, every: Sequence[Cell] | None = None
) -> Report:
    """Film and read every cell, as `over` goes through them."""
    detector = Detector(load_network(DETECTOR))
    actors = [make_actor("ict", FIRST_SEED + number) for number in range(people)]
    return Report(people, [_row(cell, actors, detector) for cell in over(cells() if every is None else every)])


def show(console: Console, report: Report) -> None:
    """Print a table of each kind of cell, and all of it together in its last row."""
    console.print(f"simulated, {report.people} people a cell, {FRAMES} frames each; at most: 95 %, one-sided")
    for name in dict.fromkeys(row.table for row in report.rows):
        rows = [row for row in report.rows if row.table == name]
        heads = (
            "symbols",
            "misread",
            "at most",
            "code_wrong",
            "at most",
            "no answer",
            "least bits",
            "12 bits",
            "24 bits",
        )
        table = Table(name, *heads)
        for row in (*rows, _all(name, rows)):
            table.add_row(
                row.name, f"{row.symbols}", f"{row.misread}", f"{100 * row.misread_most:.2g} %", f"{row.wrong}",
                f"{100 * row.wrong_most:.2g} %", f"{row.unknown}", f"{row.least_bits:.1f}", _median(row.door),
                _median(row.payment),
            )  # fmt: skip
        console.print(table)
    console.print("12 bits, 24 bits: frames until they were answered, median of those who did")
    console.print(
        "A stream that knows nothing of the draw answers 12 bits at most once in 4,096 tries, 24 bits once in 16.8 "
        "million: a theorem, not a measurement."
    )


def _median(frames: Sequence[int]) -> str:
    return f"{statistics.median(frames):g}" if frames else "-"


def _all(name: str, rows: Sequence[Row]) -> Row:
    symbols, misread, wrong = (
        sum(counts) for counts in zip(*((r.symbols, r.misread, r.wrong) for r in rows), strict=True)
    )
    return Row(
        name, "all", symbols, misread, upper_bound(misread, symbols), wrong, upper_bound(wrong, symbols),
        sum(row.unknown for row in rows), min(row.least_bits for row in rows),
        tuple(frames for row in rows for frames in row.door),
        tuple(frames for row in rows for frames in row.payment),
    )  # fmt: skip


def _row(cell: Cell, actors: Sequence[Actor], detector: Detector) -> Row:
    symbols = misread = wrong = unknown = 0
    least = math.inf
    until: dict[int, list[int]] = {DOOR: [], PAYMENT: []}
    for number, actor in enumerate(actors):
        seed = FIRST_SEED + number
        levels = code_of(seed, FRAMES)
        one, best = Try(), 0.0
        before: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        for frames in _film(cell, actor, seed, levels):
            face = detector.find(frames)
            seen = patch(frames, face) if not isinstance(face, NoFace) else None
            light, level = brightness(seen) if seen is not None else math.nan, levels[frames.sequence]
            if not light > 0:
                unknown, one = unknown + 1, Try()
                before.clear()
                continue
            if before:
                shown = light * sum(drawn for _, drawn in before) / sum(was for was, _ in before)
                symbols += 1
                misread += min(LEVELS, key=lambda other, shown=shown: abs(other - shown)) != level  # type: ignore[misc]
                least = min(least, one.weigh(light, level))
            before.append((light, level))
            if not one.add(light, level):
                wrong, one = wrong + 1, Try()
                before.clear()
            for bits, needed in until.items():
                if best < bits <= one.bits:
                    needed.append(frames.sequence + 1)
            best = max(best, one.bits)
    most = upper_bound(misread, symbols), upper_bound(wrong, symbols)
    door, payment = tuple(until[DOOR]), tuple(until[PAYMENT])
    return Row(
        cell.table, cell.name, symbols, misread, most[0], wrong, most[1], unknown, round(least, 2), door, payment
    )


def _film(cell: Cell, actor: Actor, seed: int, levels: Sequence[float]) -> Iterator[FrameSet]:
    shown = living(actor, Attacker(seed), distance_mm=cell.distance_mm).performance
    return film(_moving(shown) if cell.moving else shown, cell.preset(), seed, levels, FPS)


def _moving(shown: Performance) -> Performance:
    """Whoever is shown turns from side to side and comes and goes."""

    def at(time_s: float) -> tuple[Placed, ...]:
        turned = TURN_DEG * math.sin(2 * math.pi * TURN_HZ * time_s)
        gone = WALK_MM * math.sin(2 * math.pi * WALK_HZ * time_s)
        return tuple(
            replace(one, pose=replace(one.pose, yaw_deg=one.pose.yaw_deg + turned, z_mm=one.pose.z_mm + gone))
            for one in shown(time_s)
        )

    return at


def main(people: Annotated[int, typer.Option(min=1, help="How many, in each cell.")] = PEOPLE) -> None:
    """Print how often symbols are misread and how soon the code is answered. Simulated."""
    console = Console()
    show(console, measure(people, lambda every: track(every, "reading", console=console, transient=True)))


if __name__ == "__main__":
    typer.run(main)
