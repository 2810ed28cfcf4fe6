"""One process of the backend on a clock that may be shifted: `python -m hil.rig.chaos_backend`. Simulated time.

All else is `hil.backend`'s own: this only hands in the clock. The file beside `--config` that says how far it is off is
`clock-shift-NUMBER`.
"""

import argparse
import logging
import os
from functools import partial
from pathlib import Path

from firmware.runtime.hardening import harden
from hil.backend.service import DATABASE_VARIABLE, Part, serve
from hil.rig.chaos_clock import SHIFT, now_of


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m hil.rig.chaos_backend")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--part", choices=("register", "worker"), required=True)
    parser.add_argument("--number", type=int, required=True)
    asked = parser.parse_args()
    harden(die_with_parent=True)
    part = Part(asked.part == "register", asked.part == "worker", asked.number)
    shift = shift_file(asked.config, asked.number)
    serve(asked.config, part, os.environ.get(DATABASE_VARIABLE), partial(now_of, shift))


def shift_file(config: Path, number: int) -> Path:
    """Where it stands how far the clock of process `number` is off."""
    return config.parent / f"{SHIFT}-{number}"


if __name__ == "__main__":
    main()
