"""Faults of a structured-light module and of the board that lights it, in a whole terminal. Simulated.

Rows as in `camera_faults`. A flat target stands there: it is lit, measured and judged as a face is, and soon rendered.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from drivers.camera import Cause, Emitter
from drivers.emitter.patterns import by_exposure
from hil.emitter.demo import demo_calibration
from hil.emitter.faults import Faults
from hil.emitter.light import Light, write_light
from hil.emitter.pty_board import PtyBoard
from hil.rig.camera_faults import CUSTOMER, PAYER, Fault
from hil.rig.customer import enrol
from hil.rig.site import Site
from hil.sensor.bench import Bench, Target, write_bench

# as large as a head and shoulders: more would take longer to decode
WELL = Bench(target=Target(distance_mm=500.0, width_mm=300.0))
# What becomes of the module or of its board, and what core must call it; None: nobody beats for `HELD_S`.
MISHAPS: dict[str, tuple[Cause, Bench | Faults | None]] = {
    "rows off by 1 px": ("row_drift", msgspec.structs.replace(WELL, rows_off_px=1.0)),
    "rows off by 2 px": ("row_drift", msgspec.structs.replace(WELL, rows_off_px=2.0)),
    "dots at 20 % power": ("weak_dots", Faults(dots_scale=0.2)),
    "emitter stuck on": ("emitter_stuck_on", Faults(stuck="on")),
    "emitter stuck on, seen by the camera alone": ("emitter_stuck_on", Faults(stuck="on", blind=True)),
    "emitter stuck off": ("emitter_stuck_off", Faults(stuck="off")),
    "emitter stuck off, seen by the camera alone": ("emitter_stuck_off", Faults(stuck="off", blind=True)),
    "over-current": ("emitter_current", Faults(over_current=True)),
    "serial line cut": ("emitter_line", Faults(cut=True)),
    "heartbeat lost": ("emitter_heartbeat", None),
}
# longer than a heartbeat may take, shorter than the camera process waits for a core that does not read
HELD_S = 0.4


@contextmanager
def lit_site(folder: Path) -> Iterator[tuple[Site, Path, PtyBoard]]:
    """A terminal behind the structured-light driver, lit by a board that core owns; the module's bench file, the board.

    Raises:
        SiteError: something did not start.
    """
    folder.mkdir()
    bench, light = folder / "bench.json", folder / "light.json"
    write_bench(bench, Bench())
    write_light(light, Light(armed=True, levels=by_exposure([Emitter(flood=1.0, dots=1.0)], "dark-flood-dots")))
    calibration = demo_calibration(folder)
    options: dict[str, str | int | float] = {"bench": str(bench), "light": str(light)}
    with (
        Site.make(folder / "site", source="virtual-exposures", camera=options) as site,
        PtyBoard(folder / "tty", calibration.public_key, light=light) as board,
    ):
        site.light("core", board.port, calibration)
        yield site, bench, board


@contextmanager
def lit_module(folder: Path) -> Iterator[tuple[Site, dict[str, Fault]]]:
    """Such a terminal, `PAYER` enrolled, the target in its place; its faults. Raises SiteError, TerminalError."""
    with lit_site(folder) as (site, bench, board):
        # who enrols answers the emitter code, so the board is there first
        enrol(site, CUSTOMER, PAYER)
        write_bench(bench, WELL)
        yield site, module_faults(bench, board)


def module_faults(bench: Path, board: PtyBoard) -> dict[str, Fault]:
    """`MISHAPS` of the module with this bench file, lit by this board."""

    def happens(mishap: Bench | Faults | None) -> Callable[[Site], None]:
        if isinstance(mishap, Bench):
            return lambda _: write_bench(bench, mishap)
        return _hold_core_up if mishap is None else lambda _: board.inject(mishap)

    def mend(_: Site) -> None:
        write_bench(bench, WELL)
        board.inject(Faults())

    return {name: Fault(cause, happens(mishap), mend) for name, (cause, mishap) in MISHAPS.items()}


def _hold_core_up(site: Site) -> None:
    core = site.pid("core")
    os.kill(core, signal.SIGSTOP)
    select.select([], [], [], HELD_S)
    os.kill(core, signal.SIGCONT)
