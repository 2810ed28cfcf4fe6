"""`make evidence-liveness`: what the gates, the emitter code and the cues stop, and whom they turn away. Simulated.

Rules kept here:
- One command, from nothing to the page; what is slow (filming, judging) is kept and gone on with.
- Nothing here chooses a limit: they are read from what is shipped, and their digests stand on the page.
- The page is written by `liveness_page` and by nobody.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.console import Console

from drivers.npu.interface import NetworkError
from firmware.liveness.look import Basis, Look
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.artefacts.instrument import ArtefactError
from hil.evaluate import det, liveness_examples, sources
from hil.evaluate.judge import Judged, frames_wanted, static
from hil.evaluate.liveness_film import FULL, SHORT, ahead, film
from hil.evaluate.liveness_left_out import left_out
from hil.evaluate.liveness_page import Found, Group, page
from hil.evaluate.liveness_trials import Trial, attacks, basis_of, bona_fide, by_shorter_code, decided
from hil.evaluate.presentation_tally import Row, scores
from hil.evaluate.protocol import CELLS_MM, SAMPLE, WHOLE, Protocol
from hil.evaluate.shots import SOURCES, About, Shot, about, emitted, frames_of, shelf
from hil.people import PeopleError
from models.manifest import ModelError

BEARD = 0.12
"""The chin so much darker than the cheeks, as a share: a beard, or as dark as one."""
THIRDS = ("darkest", "middle", "lightest")
TIMED = 5  # people whose frames are timed
STALE_S = 1.0


def measure(protocol: Protocol, root: Path, pool: Executor, console: Console) -> Found:
    """Film and judge everything.

    Raises:
        PeopleError, ArtefactError, NetworkError, ModelError: something cannot be made or judged.
    """
    sources.note(shelf(root), SOURCES)
    film(ahead(protocol), root)
    known = {shot.person: about(shot, root) for shot in protocol.headline.shots}
    long: list[Row] = []
    short: list[Row] = []
    for trials in (bona_fide(protocol.headline, _grouping(known)), *map(attacks, protocol.attacks)):
        judged = list(decided(_told(trials, console), FULL, root, pool))
        long += _rows(trials, judged)
        short += _rows(trials, _by_short_code(trials, judged, root, pool))
    groups = []
    for people in protocol.groups:
        trials = _told(bona_fide(people), console)
        groups.append(Group(people, _rows(trials, decided(trials, SHORT, root, pool))))
    policy = static(basis_of(SHORT)).policy
    return Found(
        protocol=protocol,
        long=long,
        short=short,
        groups=groups,
        left_out=left_out(short, policy),
        cost_ms=_cost_ms(protocol.headline.shots[:TIMED], root, static(basis_of(FULL))),
        changed=sources.changed(shelf(root), SOURCES),
    )


def _told(trials: list[Trial], console: Console) -> list[Trial]:
    console.print(f"judging {len(trials)} presentations: {trials[0].row.name}", highlight=False)
    return trials


def _rows(trials: Sequence[Trial], judged: Iterable[Judged]) -> list[Row]:
    return [(trial.row, its) for trial, its in zip(trials, judged, strict=True)]


def _by_short_code(trials: Sequence[Trial], judged: Sequence[Judged], root: Path, pool: Executor) -> list[Judged]:
    """The same under the shorter code; only those are judged again for whom that may differ."""
    same = [by_shorter_code(its, SHORT) for its in judged]
    open_ = [trial for trial, known in zip(trials, same, strict=True) if known is None]
    again = iter(list(decided(open_, SHORT, root, pool)))
    return [next(again) if known is None else known for known in same]


def _grouping(known: Mapping[int, About]) -> Callable[[Shot], Mapping[str, str]]:
    """The groups of the headline's people, by distance, skin and beard."""
    edges = np.quantile([about.skin for about in known.values()], [1 / 3, 2 / 3])

    def groups(shot: Shot) -> Mapping[str, str]:
        z_mm, its = dict(shot.parameters)["distance_mm"], known[shot.person]
        near, far = next(cell for cell in CELLS_MM if z_mm <= cell[1])
        return {
            "distance": f"{near / 1000:.2f}-{far / 1000:.2f} m",
            "skin": THIRDS[int(np.searchsorted(edges, its.skin))],
            "beard": "beard, or as dark" if its.beard >= BEARD else "none",
            "speech": "speaking" if shot.talking else "silent",
        }

    return groups


def _cost_ms(shots: Iterable[Shot], root: Path, basis: Basis) -> list[float]:
    """CPU milliseconds of gates, code and cues on each frame with a face."""
    detector, spent = Detector(load_network(DETECTOR)), []
    for shot in shots:
        look = Look(basis, emitted(shot), STALE_S)
        for frames in islice(frames_of(shot, root), frames_wanted(basis.policy)):
            face = detector.find(frames)
            if isinstance(face, Face):
                began = time.process_time()
                look.weigh(frames, face, look.fresh(frames, frames.timestamp_ns))
                spent.append(1000 * (time.process_time() - began))
    return spent


def _pool(small: bool) -> Executor:
    """What judges: every core, or for a small set this process alone."""
    return ThreadPoolExecutor(1) if small else ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))


def main() -> int:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(prog="python -m hil.evaluate.liveness_evidence", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/liveness-evidence.md"))
    parser.add_argument("--work", type=Path, default=Path("build/liveness"), help="what is kept between runs, 15 GB")
    parser.add_argument("--sample", action="store_true", help="a few other people: shows that it runs")
    asked = parser.parse_args()
    console = Console()
    protocol = SAMPLE if asked.sample else WHOLE
    try:
        with _pool(asked.sample) as pool:
            found = measure(protocol, asked.work, pool, console)
    except (PeopleError, ArtefactError, NetworkError, ModelError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    asked.out.write_text(page(found))
    least = basis_of(SHORT).policy.llr_min
    det.draw(asked.out.with_suffix(".png"), *scores(found.short), least=least, note="SIMULATED, code of 12 bits")
    liveness_examples.draw(protocol, asked.work, asked.out.with_name(f"{asked.out.stem}-examples.png"))
    console.print(f"written: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
