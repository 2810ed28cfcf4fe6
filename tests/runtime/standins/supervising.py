"""A supervisor over stand-ins: `supervising CONFIG RUN_DIR name[:ring]...`, with short limits."""

import sys
from pathlib import Path

from firmware.runtime import logs
from firmware.runtime.process import Limits, ProcessSpec, SupervisorError
from firmware.runtime.supervisor import supervise

config, run_dir, *names = sys.argv[1:]
table = []
for name in names:
    name, _, ring = name.partition(":")
    assert ring in ("", "read", "write")
    table.append(ProcessSpec(name, f"tests.runtime.standins.{name}", ring or "none"))  # type: ignore[arg-type]
logs.set_up("supervisor")
try:
    supervise(Path(config), Path(run_dir), table, Limits(silence_s=1.0, stop_s=1.0, backoff_first_s=0.05))
except SupervisorError as error:
    sys.exit(str(error))
