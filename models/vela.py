"""What Arm's NPU compiler says of a TFLite network: time, memory, and whether anything falls back to the CPU.

`ethos-u-vela` is a development tool and runs as a program; on a terminal it is not there. Times are estimates for
Arm's stock configurations (`Arm/vela.ini`), not for a given chip; what stays on the CPU carries none, so nothing may.
"""

import csv
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.manifest import BUILT_DIR, ModelError, find, read_network

RUNTIME = "tflite"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Npu:
    """An NPU: what it is called here, and vela's three names of it."""

    title: str
    accelerator: str
    system: str
    memory: str


U65 = Npu("Ethos-U65, 256 MACs, 1 GHz", "ethos-u65-256", "Ethos_U65_High_End", "Dedicated_Sram_384KB")
U65_512 = Npu("Ethos-U65, 512 MACs, 1 GHz", "ethos-u65-512", "Ethos_U65_High_End", "Dedicated_Sram_384KB")
U55 = Npu("Ethos-U55, 128 MACs, 500 MHz", "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
NPUS = (U65, U65_512, U55)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one network on one NPU. `cpu_operators` names what stays on the CPU."""

    inference_ms: float
    sram_kib: float
    macs: int
    cpu_operators: tuple[str, ...]


def estimate(name: str, npu: Npu, models_dir: Path = BUILT_DIR) -> Estimate | None:
    """Compile a network's TFLite file for an NPU; None where it has none. Raises ModelError."""
    if RUNTIME not in find(name).files:
        return None
    return compile_for(read_network(name, models_dir, RUNTIME), npu)


def compile_for(model: bytes, npu: Npu) -> Estimate:
    """Compile TFLite `model` for an NPU. Raises ModelError where vela is not there or fails."""
    beside = Path(sys.executable).with_name("vela")
    vela = str(beside) if beside.is_file() else shutil.which("vela")
    if vela is None:
        raise ModelError("vela is not installed: pip install '.[dev]'")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(model)
        command = [
            vela, str(path), "--output-dir", folder, "--config", "Arm/vela.ini",
            "--accelerator-config", npu.accelerator, "--system-config", npu.system,
            "--memory-mode", npu.memory, "--verbose-performance", "--show-cpu-operations",
        ]  # fmt: skip
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        except subprocess.CalledProcessError as error:
            raise ModelError(f"vela: {(error.stderr or error.stdout).strip()[-400:]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"vela: {error}") from error
        return read_report(Path(folder))


def read_report(folder: Path) -> Estimate:
    """Read the two tables that vela leaves in `folder`."""
    (summary,) = _rows(next(folder.glob("*summary*.csv")))
    on_cpu = {row["Original Operator"] for row in _rows(next(folder.glob("*per-layer.csv"))) if row["Target"] == "CPU"}
    return Estimate(
        inference_ms=float(summary["inference_time"]) * 1e3,
        sram_kib=float(summary["sram_memory_used"]),
        macs=int(float(summary["nn_macs"])),
        cpu_operators=tuple(sorted(on_cpu)),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
