"""The machine that something was measured on: a figure without it says nothing."""

import os
import platform
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """Processor, cores and Python."""
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
