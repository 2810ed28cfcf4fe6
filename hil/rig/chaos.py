"""The chaos run: payments while everything is killed, cut and shifted, judged by what witnesses wrote down. Simulated.

Rules kept here:
- It runs in rounds. Each has a seed and a town of its own, ends by itself, and is judged; what it came to is appended
  to one file. A run that was interrupted goes on with the rounds that are not in it.
- Of a round with a violation every ledger is kept; of the others the counts.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hil.rig.chaos_round import Plan, Round, Tell, play


def run(plans: list[Plan], kept: Path, scratch: Path, tell: Tell) -> Iterator[Round]:
    """Play the rounds that are not in the file `kept` yet; yield every round, old or new, as it is there.

    `scratch`: a folder for the towns; that of a round without violations is removed. `tell`: how far it is.
    """
    known = {played.seed: played for played in read(kept)}
    for plan in plans:
        if plan.seed not in known:
            folder = scratch / f"round-{plan.seed}"
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
            known[plan.seed] = play(plan, folder, tell)
            with kept.open("ab") as file:
                file.write(msgspec.json.encode(known[plan.seed]) + b"\n")
            if not known[plan.seed].violations:
                shutil.rmtree(folder)
        yield known[plan.seed]


def read(kept: Path) -> list[Round]:
    """The rounds of a file; none where there is no file."""
    if not kept.exists():
        return []
    return [msgspec.json.decode(line, type=Round) for line in kept.read_bytes().splitlines()]
