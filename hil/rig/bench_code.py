"""`tessera bench --only code`: how well a living face's answer to the emitter code is read.

Streams of simulated people, each frame lit by a draw and read by the terminal's own detector, patch and reader, by
distance, sunlight, exposure, motion and flickering lamps. That a stream which knows nothing of the draw answers b bits
is not measured, it is a theorem: at most once in 2^b tries (Ville's inequality; `firmware/liveness/code.py`).

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
from firmware.liveness.code import LEVELS, CodeReader, Try, brightness
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
PEOPLE, FRAMES, FPS = 2, 33, 15.0
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
    lamps: float | None = None
    gap_us: int | None = None

    def preset(self) -> Preset:
        """Its sensor, light and all."""
        made = preset(self.sensor, 640)
        at_half_a_metre = made.flood_w / CONE_SR / 0.5**2
        ambient = msgspec.structs.replace(made.ambient, sun=self.sun * at_half_a_metre / made.ambient.sun_w_m2)
        if self.lamps is not None:
            ambient = msgspec.structs.replace(ambient, indoor_w_m2=self.lamps)
        exposure_us, gap_us = self.exposure_us or made.exposure_us, self.gap_us or made.exposure_gap_us
        return msgspec.structs.replace(made, ambient=ambient, exposure_us=exposure_us, exposure_gap_us=gap_us)


class Row(msgspec.Struct, frozen=True):
    """What became of the symbols of a cell.

    Attributes:
        symbols: read, each against the frames before it.
        misread: of them, nearer to another level than to the one drawn.
        upper: one-sided 95 % Clopper-Pearson bound of the share misread.
        wrong: plainly another draw's, as the terminal has it.
        unknown: frames without an answer: no face, or light or shape that could not be measured.
        bits: of a symbol, mean.
    """

    table: str
    name: str
    symbols: int
    misread: int
    upper: float
    wrong: int
    unknown: int
    bits: float


class Chance(msgspec.Struct, frozen=True):
    """That a stream which does not know the draw answers `bits`.

    Attributes:
        bits: needed.
        bound: of one try, whatever is shown.
        session: of a session, which the third plainly wrong frame ends.
        measured: sessions of `SESSIONS` in which a stream of another draw did.
    """

    bits: int
    bound: float
    session: float
    measured: int


class Report(msgspec.Struct, frozen=True):
    """Rows by cell, and chances by bits; `people` in each cell."""

    people: int
    rows: list[Row]
    chances: list[Chance]


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
            Cell("conditions", f"{sensor}, 0.9 m, turning and walking", sensor, 900.0, moving=True),
            Cell("conditions", f"{sensor}, 0.9 m, lamps 0.3 W/m2", sensor, 900.0, lamps=0.3),
            Cell("conditions", f"{sensor}, 0.9 m, the same, 100 a second", sensor, 900.0, lamps=0.3, gap_us=10_000),
        ]
    return made


def measure(
    people: int = PEOPLE, over: Callable[[Sequence[Cell]], Iterable[Cell]] = iter, every: Sequence[Cell] | None = None
) -> Report:
    """Film and read every cell, as `over` goes through them."""
    detector = Detector(load_network(DETECTOR))
    actors = [make_actor("ict", FIRST_SEED + number) for number in range(people)]
    rows = [_row(cell, actors, detector) for cell in over(cells() if every is None else every)]
    chances = [Chance(bits, 2.0**-bits, REFUSE_AFTER * 2.0**-bits, guessed(bits)) for bits in (12, 24)]
    return Report(people, rows, chances)


def guessed(bits: int) -> int:
    """In how many of `SESSIONS` sessions of 8 s a stream lit by another draw answers `bits`."""
    rng = np.random.default_rng(FIRST_SEED)
    passed = 0
    for _ in range(SESSIONS):
        one, strikes = Try(), 0
        for mine, theirs in rng.choice(LEVELS, (round(SESSION_S * FPS), 2)):
            if not one.add(float(theirs), float(mine)):
                one, strikes = Try(), strikes + 1
            if one.bits >= bits or strikes == REFUSE_AFTER:
                passed += one.bits >= bits
                break
    return passed


def show(console: Console, report: Report) -> None:
    """Print the tables."""
    console.print(f"simulated, {report.people} people a cell, {FRAMES} frames each")
    for name in dict.fromkeys(row.table for row in report.rows):
        rows = [row for row in report.rows if row.table == name]
        table = Table(name, "symbols", "misread", "at most (95 %)", "plainly wrong", "no answer", "bits a symbol")
        for row in (*rows, _all(name, rows)):
            counts = f"{row.symbols}", f"{row.misread}", f"{100 * row.upper:.2g} %", f"{row.wrong}", f"{row.unknown}"
            table.add_row(row.name, *counts, f"{row.bits:.2f}")
        console.print(table)
    table = Table("bits", "one try, at most", "a session, at most", f"seen in {SESSIONS} sessions of another draw")
    for one in report.chances:
        table.add_row(str(one.bits), f"{one.bound:.1e}", f"{one.session:.1e}", str(one.measured))
    console.print(table)


def _all(name: str, rows: Sequence[Row]) -> Row:
    symbols, misread = sum(row.symbols for row in rows), sum(row.misread for row in rows)
    bits = sum(row.bits * row.symbols for row in rows) / max(symbols, 1)
    wrong, unknown = sum(row.wrong for row in rows), sum(row.unknown for row in rows)
    return Row(name, "all", symbols, misread, upper_bound(misread, symbols), wrong, unknown, round(bits, 2))


def _row(cell: Cell, actors: Sequence[Actor], detector: Detector) -> Row:
    symbols = misread = wrong = unknown = 0
    bits = 0.0
    for number, actor in enumerate(actors):
        seed = FIRST_SEED + number
        levels = code_of(seed, FRAMES)
        one, before = Try(), deque[tuple[float, float]](maxlen=REMEMBERED)
        for frames in _film(cell, actor, seed, levels):
            face = detector.find(frames)
            seen = patch(frames, face) if not isinstance(face, NoFace) else None
            light, level = brightness(seen) if seen is not None else math.nan, levels[frames.sequence]
            if not light > 0:
                unknown, one = unknown + 1, Try()
                before.clear()
                continue
            if before:
                shown = light * sum(level for _, level in before) / sum(light for light, _ in before)
                symbols += 1
                misread += min(LEVELS, key=lambda other: abs(other - shown)) != level
                bits += one.weigh(light, level)
            before.append((light, level))
            if not one.add(light, level):
                wrong, one = wrong + 1, Try()
                before.clear()
    upper = upper_bound(misread, symbols)
    return Row(cell.table, cell.name, symbols, misread, upper, wrong, unknown, round(bits / max(symbols, 1), 2))


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
