"""A supervisor over stand-ins: `supervising CONFIG RUN_DIR name[:ring[:silence_s]]...`, with short limits."""

import sys
from pathlib import Path

from firmware.runtime import logs
from firmware.runtime.process import Limits, ProcessSpec, SupervisorError
from firmware.runtime.supervisor import supervise

config, run_dir, *names = sys.argv[1:]
table = []
for name in names:
    name, ring, silence_s = (*name.split(":"), "", "")[:3]
    assert ring in ("", "read", "write")
    table.append(ProcessSpec(name, f"tests.runtime.standins.{name}", ring or "none", float(silence_s or 0) or None))  # type: ignore[arg-type]
logs.set_up("supervisor")
try:
    supervise(Path(config), Path(run_dir), table, Limits(silence_s=1.0, stop_s=1.0, backoff_first_s=0.05))
except SupervisorError as error:
    sys.exit(str(error))
