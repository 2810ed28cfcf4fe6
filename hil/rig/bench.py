"""`tessera bench`: what each step costs. CPU time, not wall time: the machines are shared and noisy.

Every stage runs on frames of the virtual camera, in this process, on one thread; start-up time and memory are
those of a whole terminal started for the purpose. The figures are this machine's, and the output says which.
"""

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from drivers.camera import FrameSet
from drivers.secure_element.software import create
from firmware.liveness.albedo import albedo_gate, exposure_gate
from firmware.liveness.code import SYMBOLS, CodeReader
from firmware.liveness.coherence import Coherence
from firmware.liveness.coverings import covering
from firmware.liveness.cues import measure
from firmware.liveness.cues.network import NETWORK
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import Gate
from firmware.liveness.gates import geometry_gates
from firmware.liveness.look import Look, load_basis
from firmware.liveness.motion import Motion
from firmware.liveness.patch import patch
from firmware.payment import cose
from firmware.payment.messages import Receipt
from firmware.payment.trust import key_id, load_public_key
from firmware.vision.align import align
from firmware.vision.calibration import load_calibration
from firmware.vision.canonical import canonical
from firmware.vision.detect import Detector
from firmware.vision.embed import DepthEmbedder, Embedder, FaceEmbedder
from firmware.vision.eyes import EyeReader
from firmware.vision.face import Face
from firmware.vision.fusion import Judge
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, IRIS, MESH, load_network
from firmware.vision.policy import load_policy
from firmware.vision.templates import make_templates
from hil.evaluate.recorded_code import RecordedCode
from hil.rig import (
    bench_code,
    bench_drift,
    bench_emitter,
    bench_faults,
    bench_gallery,
    bench_ring,
    bench_search,
    bench_structured_light,
)
from hil.rig.customer import enrol
from hil.rig.ended import end_in_good_order
from hil.rig.site import PROCESSES, Site
from hil.sensor.stage import Person, Stage, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions
from models.manifest import find

BENCH_SEED = 95_000
FRESH = Gate("fresh", 0.0, "", True, "")
# Budgets on one x86 core, milliseconds of CPU time, frames per second, seconds, megabytes.
BUDGETS = {
    "tracking_ms": 20.0, "decision_ms": 110.0, "liveness_ms": 15.0, "canonical_ms": 8.0, "depth_network_ms": 10.0,
    "liveness_networks_ms": 10.0,
    "camera_fps": 15.0, "core_ready_s": 3.0, "core_memory_mb": 350.0,
}  # fmt: skip


class Part(str, Enum):
    """What can be measured by itself; these parts are not in the whole run."""

    STRUCTURED_LIGHT = "structured-light"
    SEARCH = "search"
    RING = "ring"
    FAULTS = "faults"
    EMITTER = "emitter"
    DRIFT = "drift"
    CODE = "code"
    GALLERY = "gallery"


class Cost(msgspec.Struct, frozen=True):
    """CPU milliseconds of one stage over `runs` runs."""

    median_ms: float
    p95_ms: float
    runs: int


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    runs: Annotated[int, typer.Option(min=10, max=1000, help="Runs of each stage.")] = 60,
    only: Annotated[Part | None, typer.Option("--only", help="Measure this part instead.")] = None,
) -> None:
    """Measure CPU time per stage, the virtual camera's rate, start-up time and memory; compare with the budgets."""
    end_in_good_order()
    console = Console(stderr=as_json)
    if only is not None:
        _part(only, console, as_json)
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("rendering", total=None)
        frames, fps = _film(runs)
        progress.update(task, description="stages")
        stages = _stages(frames, runs)
        progress.update(task, description="a whole terminal")
        processes = _processes()
    measured = {
        "tracking_ms": stages["detect"].median_ms,
        "decision_ms": stages["decision"].median_ms,
        "liveness_ms": stages["gates and cues together"].median_ms,
        "liveness_networks_ms": stages["networks of liveness"].median_ms,
        "canonical_ms": stages["canonical"].median_ms,
        "depth_network_ms": stages["embed depth"].median_ms,
        "camera_fps": fps,
        "core_ready_s": processes["core"]["ready_s"],
        "core_memory_mb": processes["core"]["memory_mb"],
    }
    report = {
        "machine": _machine(),
        "stages": stages,
        "virtual_camera_fps_on_one_core": round(fps, 1),
        "processes": processes,
        "budgets": {
            name: {"budget": budget, "measured": round(measured[name], 2), "met": _met(name, measured[name])}
            for name, budget in BUDGETS.items()
        },
    }
    if as_json:
        _echo(report)
    else:
        _print(console, report)


def _part(only: Part, console: Console, as_json: bool) -> None:
    """Measure one part, which has a module of its own: `measure` gives its rows, `show` prints them."""
    of = {
        Part.STRUCTURED_LIGHT: bench_structured_light, Part.RING: bench_ring, Part.FAULTS: bench_faults,
        Part.EMITTER: bench_emitter, Part.DRIFT: bench_drift, Part.SEARCH: bench_search,
        Part.CODE: bench_code, Part.GALLERY: bench_gallery,
    }[only]  # fmt: skip
    with console.status(f"measuring {only.value}"):
        rows = of.measure()
    if as_json:
        _echo({"machine": _machine(), "simulated": True, only.value.replace("-", "_"): rows})
    else:
        _print_machine(console, _machine())
        of.show(console, rows)


def _echo(report: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())


def _met(name: str, value: float) -> bool:
    return value >= BUDGETS[name] if name == "camera_fps" else value <= BUDGETS[name]


def _film(runs: int) -> tuple[list[FrameSet], float]:
    """Frames of one virtual person, and how many a core could render per second of CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stage.json"
        write_stage(path, Stage(subject=Person(BENCH_SEED)))
        camera = VirtualCamera(VirtualCameraOptions(stage=str(path), fps=60.0))
        camera.start()
        camera.read(60.0)  # makes the person, compiles the renderer
        frames, cpu_s = [], 0.0
        for _ in range(min(runs, 60)):
            before = time.process_time()
            frames.append(camera.read(60.0))
            cpu_s += time.process_time() - before
        camera.close()
    return frames, len(frames) / cpu_s


def _cost(run: Callable[[int], Any], runs: int) -> Cost:
    run(0)
    spent = []
    for i in range(runs):
        before = time.process_time_ns()
        run(i)
        spent.append((time.process_time_ns() - before) / 1e6)
    return Cost(round(statistics.median(spent), 3), round(float(np.percentile(spent, 95)), 3), runs)


def _input(name: str) -> list[int]:
    return [int(size) for size in find(name).input_shape]


def _stages(frames: list[FrameSet], runs: int) -> dict[str, Cost]:
    detector, ir = Detector(load_network(DETECTOR)), Embedder(load_network(EMBEDDER))
    depth = DepthEmbedder(load_network(DEPTH_EMBEDDER))
    faces, basis, (policy, _) = FaceEmbedder(ir, depth), load_basis("payment"), load_policy("payment")
    judge = Judge(load_calibration("virtual"), policy, policy.claimed)
    found = [(shot, face) for shot in frames if isinstance(face := detector.find(shot), Face)]
    if not found:
        raise RuntimeError("no face was found in the bench's own frames")
    crop = align(found[0][0].ir, found[0][1].points_px)
    shape = canonical(found[0][0].depth_mm, found[0][0].intrinsics, found[0][1].points_mm)
    if shape is None:
        raise RuntimeError("the depth of the bench's own frames could not be aligned")
    embedded = faces.embed(*found[0])
    enrolled = make_templates(dict.fromkeys(("front", "left", "right", "up", "down"), embedded))
    message = os.urandom(700)  # the size of an authorization
    with tempfile.TemporaryDirectory() as folder:
        element = create(Path(folder) / "element", b"bench")
    public = load_public_key(element.public_key)
    kid = key_id(public)
    envelope = cose.sign(message, element.sign, kid, Receipt.TYP)

    def at(i: int) -> tuple[FrameSet, Face]:
        """The frames over and over, numbered and dated on: as one long look."""
        shot, face = found[i % len(found)]
        return replace(shot, sequence=i, timestamp_ns=found[0][0].timestamp_ns + i * 66_666_667), face

    lit = RecordedCode((1.0,) * (runs + SYMBOLS))
    dynamic = {name: Dynamic(basis.limits, basis.policy, os.urandom) for name in ("look", "decide")}
    looks = {name: Look(basis, lit, 0.5, one) for name, one in dynamic.items()}
    looks["weigh"] = Look(replace(basis, eyes=None), lit, 0.5)
    motion, eyes = Motion(basis.limits), EyeReader(load_network(MESH), load_network(IRIS))
    networks = [(load_network(name), np.zeros(_input(name), np.float32)) for name in (MESH, IRIS, IRIS, NETWORK)]
    coherence, code = Coherence(basis.limits), CodeReader(lit, basis.policy.code_bits)
    regions = [patch(shot, face) for shot, face in found]

    def region(i: int) -> Any:
        return regions[i % len(regions)]

    def light(i: int) -> None:
        exposure_gate(region(i), basis.limits)
        albedo_gate(region(i), at(i)[0], 1.0, basis.limits)

    def weigh(look: Look, shot: FrameSet, face: Face) -> None:
        look.fresh(shot, shot.timestamp_ns)
        look.weigh(shot, face, FRESH)  # its pixels come again and again here

    def decide(i: int) -> None:
        shot, _ = at(i)
        face = detector.find(shot)
        if isinstance(face, Face):
            weigh(looks["decide"], shot, face)
            judge.compare(faces.embed(shot, face), enrolled)

    return {
        "detect": _cost(lambda i: detector.find(at(i)[0]), runs),
        "align": _cost(lambda i: align(at(i)[0].ir, at(i)[1].points_px), runs),
        "embed ir": _cost(lambda _: ir.embed(crop), runs),
        "canonical": _cost(lambda i: canonical(at(i)[0].depth_mm, at(i)[0].intrinsics, at(i)[1].points_mm), runs),
        "embed depth": _cost(lambda _: depth.embed(shape), runs),
        "face region": _cost(lambda i: patch(*at(i)), runs),
        "geometry gates": _cost(lambda i: geometry_gates(*at(i), basis.limits), runs),
        "exposure and albedo": _cost(light, runs),
        "coherence": _cost(lambda i: coherence.check(*at(i), region(i)), runs),
        "emitter code": _cost(lambda i: code.read(at(i)[0], region(i)), runs),
        "cues": _cost(lambda i: measure(*at(i), region(i), 1.0, basis.network), runs),
        "coverings": _cost(lambda i: covering(*at(i), region(i), basis.limits), runs),
        "gates and cues together": _cost(lambda i: weigh(looks["weigh"], *at(i)), runs),
        "motion": _cost(lambda i: motion.follow(*at(i)), runs),
        "eyes": _cost(lambda i: eyes.read(*at(i)), runs),
        "networks of liveness": _cost(lambda _: [network.run(zeros) for network, zeros in networks], runs),
        "all of liveness": _cost(lambda i: weigh(looks["look"], *at(i)), runs),
        "match": _cost(lambda _: judge.compare(embedded, enrolled), runs),
        "sign": _cost(lambda _: cose.sign(message, element.sign, kid, Receipt.TYP), runs),
        "verify": _cost(lambda _: cose.verify(envelope, lambda _: public, Receipt.TYP), runs),
        "decision": _cost(decide, runs),
    }


def _processes() -> dict[str, dict[str, float]]:
    """Start a whole terminal; seconds until each process was ready, and its resident memory after a look."""
    with tempfile.TemporaryDirectory() as folder, Site.make(Path(folder)) as site:
        enrol(site, Person(BENCH_SEED), "bench")
        return {
            name: {
                "ready_s": round(site.ready_s[name], 2),
                "memory_mb": round(psutil.Process(site.pid(name)).memory_info().rss / 1e6, 1),
            }
            for name in PROCESSES
        }


def _machine() -> dict[str, Any]:
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _print_machine(console: Console, machine: dict[str, Any]) -> None:
    console.print(f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; simulated frames")


def _print(console: Console, report: dict[str, Any]) -> None:
    _print_machine(console, report["machine"])
    table = Table("stage", "CPU ms, median", "p95", "runs")
    for name, cost in report["stages"].items():
        table.add_row(name, f"{cost.median_ms:.2f}", f"{cost.p95_ms:.2f}", str(cost.runs))
    console.print(table)
    table = Table("process", "ready after s", "resident MB")
    for name, values in report["processes"].items():
        table.add_row(name, f"{values['ready_s']:.2f}", f"{values['memory_mb']:.0f}")
    console.print(table)
    table = Table("budget", "limit", "measured", "")
    for name, row in report["budgets"].items():
        table.add_row(name, f"{row['budget']:g}", f"{row['measured']:g}", "met" if row["met"] else "[red]missed[/red]")
    console.print(table)
