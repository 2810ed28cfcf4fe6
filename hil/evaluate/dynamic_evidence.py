"""`make evidence-dynamic`: what motion and the challenge stop, whom they turn away, how long it takes. Simulated.

Rules kept here:
- One command, from nothing to the page; frames and decisions are kept and gone on with.
- Nothing here chooses a limit: they are read from what is shipped, and their digests stand on the page.
- The order is the protocol's. Whoever stops it early gets the page of what was decided until then, and it says so.
"""

import argparse
import os
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from drivers.npu.interface import NetworkError
from hil.artefacts.instrument import ArtefactError
from hil.evaluate import dynamic_figure, sources
from hil.evaluate.dynamic_page import Found, page
from hil.evaluate.dynamic_protocol import ALL, FEW, Moving
from hil.evaluate.dynamic_trials import Ledger
from hil.evaluate.shots import SOURCES, about, shelf
from hil.people import PeopleError
from models.manifest import ModelError


def measure(protocol: Moving, root: Path, pool: Executor, console: Console, until: float) -> Found:
    """Film and judge everything, or what can be begun before `until` on the monotonic clock.

    Raises:
        PeopleError, ArtefactError, NetworkError, ModelError: something cannot be made or judged.
    """
    sources.note(shelf(root), SOURCES)
    ledger = Ledger(root)
    parts = [part for part in protocol.in_order if part]
    for part in parts:
        if time.monotonic() >= until:
            break
        console.print(f"judging {len(part)} presentations: {part[0].row}, {part[0].policy}", highlight=False)
        ledger.decide(part, pool)
    everything = [one for part in parts for one in part]
    return Found(
        protocol=protocol,
        results=ledger.known(everything),
        wanted=len(everything),
        skin={one.shot.person: about(one.shot, root).skin for one in protocol.people},
        changed=sources.changed(shelf(root), SOURCES),
    )


def _pool(small: bool) -> Executor:
    """What films and judges: every core, or for a small set this process alone."""
    return ThreadPoolExecutor(1) if small else ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))


def main() -> int:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(prog="python -m hil.evaluate.dynamic_evidence", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/dynamic-evidence.md"))
    parser.add_argument("--work", type=Path, default=Path("build/dynamic"), help="what is kept between runs, 25 GB")
    parser.add_argument(
        "--hours", type=float, default=1e3, help="begin nothing new after so long, and write what there is"
    )
    parser.add_argument("--sample", action="store_true", help="a few other people: shows that it runs")
    asked = parser.parse_args()
    console = Console()
    protocol, until = FEW if asked.sample else ALL, time.monotonic() + 3600 * asked.hours
    try:
        with _pool(asked.sample) as pool:
            found = measure(protocol, asked.work, pool, console, until)
    except (PeopleError, ArtefactError, NetworkError, ModelError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    asked.out.write_text(page(found))
    dynamic_figure.draw(asked.out.with_suffix(".png"), found.results)
    console.print(f"written: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
