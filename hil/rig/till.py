"""A terminal on a recorded verdict, all its processes: `python -m hil.rig.till --config FILE`. Simulated.

The supervisor and the link process are the terminal's own; `core` is `hil.rig.verdicts`, and in the place of the camera
process stands `hil.rig.verdict_camera`.
"""

import argparse
from pathlib import Path

from firmware.runtime import logs
from firmware.runtime.config import load_config
from firmware.runtime.process import ProcessSpec
from firmware.runtime.supervisor import supervise

PROCESSES = (
    ProcessSpec("core", "hil.rig.verdicts", ring="read"),
    ProcessSpec("camera", "hil.rig.verdict_camera", ring="write"),
    ProcessSpec("link", "firmware.link", ring="none"),
)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m hil.rig.till")
    parser.add_argument("--config", type=Path, required=True)
    path: Path = parser.parse_args().config
    logs.set_up("supervisor")
    settings, _ = load_config(path)
    supervise(path.resolve(), Path(settings.run_dir), PROCESSES)


if __name__ == "__main__":
    main()
