"""`tessera evaluate presentation` and `plan`: how well artefacts are refused and people are not, on your recordings."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from drivers.npu.interface import NetworkError
from firmware.liveness.look import load_basis
from firmware.liveness.policy import POLICIES, PolicyName
from firmware.vision.detect import Detector
from firmware.vision.networks import DETECTOR, load_network
from hil.evaluate import planning, presentation_page, presentation_report
from hil.evaluate.errors import EvaluateError
from hil.evaluate.presentation_manifest import read_manifest
from hil.evaluate.presentation_page import claimed
from hil.evaluate.presentation_run import Terms, told_of
from hil.evaluate.progress import progress
from hil.evaluate.verification import forget
from models.manifest import CPU, ModelError, load_manifest

NOTES = "notes"


def presentation(
    manifest: Annotated[Path, typer.Option(help="CSV: path,label,species,subject,instrument,level, perhaps groups.")],
    profile: Annotated[str, typer.Option(help=f"Liveness policy: {', '.join(POLICIES)}.")],
    out: Annotated[Path, typer.Option("--report", help="New or unfinished folder for decisions, report and drawing.")],
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=1000, help="FrameSets a second that the camera gives, decode included, as measured."),
    ] = None,
) -> None:
    """Judge recordings of people and artefacts; report APCER by species, BPCER, and what they may claim."""
    console = Console(stderr=True)
    try:
        policy = _policy(profile)
        listed = read_manifest(manifest)
        if (out / presentation_report.REPORT).exists():
            raise EvaluateError(f"{out}: there is a report already")
        terms = _terms(policy)
        with progress(console, "presentations", len(listed)) as step:
            told = told_of(listed, terms, out / NOTES, step)
        head = presentation_report.Head(
            manifest=manifest.name,
            sha256=hashlib.sha256(manifest.read_bytes()).hexdigest(),
            profile=policy,
            policy=terms.basis.policy,
            basis=terms.basis.digest.hex(),
            detector=terms.detector_sha256,
            version=version("tessera"),
        )
        made = presentation_report.write(out, head, listed, told, fps)
        forget(out / NOTES)
    except (EvaluateError, ModelError, NetworkError) as error:
        raise typer.BadParameter(str(error)) from error
    except OSError as error:
        raise typer.BadParameter(f"{out}: cannot be written: {error.strerror}") from error
    presentation_page.show(made, console)
    console.print(f"written: {out}")


def plan(
    apcer: Annotated[list[float] | None, typer.Option(help="Rate to claim, 0 to 1. May be repeated.")] = None,
    errors: Annotated[int, typer.Option(min=0, max=1000, help="Errors that may happen.")] = 0,
    manifest: Annotated[Path | None, typer.Option(help="What this list can claim at best.")] = None,
) -> None:
    """Print how many presentations a claim takes: of distinct identity x instrument pairs, or of distinct people."""
    console = Console()
    try:
        wanted = planning.plan(apcer or planning.TARGETS, errors)
        best = {} if manifest is None else planning.at_best(read_manifest(manifest))
    except (EvaluateError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    table = Table("claim %", f"trials with {errors} errors")
    for rate, trials in wanted.items():
        table.add_row(f"{100 * rate:g}", str(trials))
    console.print(table)
    if best:
        table = Table("in this list", "trials", "claims at best %")
        for name, (trials, rate) in best.items():
            table.add_row(name, str(trials), claimed(rate))
        console.print(table)


def _policy(word: str) -> PolicyName:
    for name in POLICIES:
        if word == name:
            return name
    raise EvaluateError(f"profile is {word!r}, must be one of {', '.join(POLICIES)}")


def _terms(policy: PolicyName) -> Terms:
    return Terms(load_basis(policy), Detector(load_network(DETECTOR)), load_manifest()[DETECTOR].files[CPU].sha256)
