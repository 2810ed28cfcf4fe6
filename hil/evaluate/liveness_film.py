"""`python -m hil.evaluate.liveness_film`: films what the liveness evidence will judge. Nothing is judged here.

Rules kept here:
- It may be stopped and started at any time: what is kept is not filmed again.
- Some 15 GB at most; what a decision needs beyond is filmed when it is judged.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from firmware.liveness.policy import PolicyName, load_policy
from hil.evaluate import sources
from hil.evaluate.judge import frames_wanted
from hil.evaluate.protocol import WHOLE, Protocol
from hil.evaluate.shots import SOURCES, Shot, about, frames_kept, frames_of, shelf
from hil.rig.scenario import BONA_FIDE

FULL: Final[PolicyName] = "payment"
SHORT: Final[PolicyName] = "door"
SPARE = 2  # frames: not every one is worth two bits
REPORTED_EVERY = 100


def film(wanted: Iterable[tuple[Shot, int]], root: Path) -> None:
    """Film the first frames of each shot, as many as are wanted of it. Raises PeopleError, ArtefactError."""
    for number, (shot, frames) in enumerate(wanted):
        if frames_kept(shot, root) < frames:
            for _ in islice(frames_of(shot, root), frames):
                pass
        if shot.species == BONA_FIDE:
            about(shot, root)
        if number % REPORTED_EVERY == 0:
            sys.stderr.write(f"{number} presentations\n")


def ahead(protocol: Protocol) -> Iterator[tuple[Shot, int]]:
    """What `protocol` has filmed before anything is judged."""
    long, short = (frames_wanted(load_policy(name)[0]) + SPARE for name in (FULL, SHORT))
    return protocol.ahead(long, short)


def main() -> None:
    """Film everything ahead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder to keep the frames in")
    root = parser.parse_args().root
    sources.note(shelf(root), SOURCES)
    film(ahead(WHOLE), root)


if __name__ == "__main__":
    main()
