"""`tessera evaluate`: how well people are told apart, and artefacts from people, on anybody's own data."""

import hashlib
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from drivers.npu.interface import NetworkError
from firmware.vision.calibration import decode_calibration
from firmware.vision.embed import MODALITIES, Modality
from firmware.vision.networks import DETECTOR, load_network
from hil.evaluate import linkability, report, site
from hil.evaluate.errors import EvaluateError
from hil.evaluate.fit import to_toml
from hil.evaluate.lens import read_intrinsics
from hil.evaluate.networks import reader
from hil.evaluate.pairs import MESHES, Pair, read_pairs
from hil.evaluate.presentation_commands import plan, presentation
from hil.evaluate.progress import progress
from hil.evaluate.verification import Looker, forget, score
from models.manifest import ModelError

evaluate = typer.Typer(help="Error rates of recognition and of liveness, on your own data.", no_args_is_help=True)
evaluate.command()(presentation)
evaluate.command()(plan)
NOTES = "notes"


@evaluate.command()
def verification(
    pairs: Annotated[Path, typer.Option(help="CSV: a,b,same and perhaps group, person_a, person_b.")],
    images: Annotated[Path, typer.Option(help="Folder that a and b are looked for in.")],
    modality: Annotated[str, typer.Option(help="ir (pictures) or depth (16-bit PNG in mm, .npz or .obj meshes).")],
    out: Annotated[Path, typer.Option("--report", help="New or unfinished folder for scores, report and curves.")],
    intrinsics: Annotated[
        Path | None, typer.Option(help="TOML of the depth camera: width, height, fx, fy, cx, cy.")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="ONNX file of a candidate, instead of the manifest's.")] = None,
) -> None:
    """Score pairs of faces and report the error rates, with what they may claim."""
    console = Console(stderr=True)
    try:
        kind = _modality(modality)
        listed = read_pairs(pairs)
        if (out / "report.json").exists():
            raise EvaluateError(f"{out}: there is a report already")
        lens = None if intrinsics is None else read_intrinsics(intrinsics)
        told = reader(kind, network, threads=os.cpu_count() or 1)
        looker = Looker(images, kind, told, load_network(DETECTOR), lens)
        with progress(console, "faces") as step:
            scored = score(listed, images, looker, out / NOTES, step)
        head = report.Head(
            pairs=pairs.name,
            sha256=hashlib.sha256(pairs.read_bytes()).hexdigest(),
            images=images.name,
            modality=kind,
            network=told.about,
            network_sha256=told.digest,
            simulated=_of_meshes(listed),
        )
        made = report.write(out, head, listed, scored)
        forget(out / NOTES)
    except (EvaluateError, ModelError, NetworkError) as error:
        raise typer.BadParameter(str(error)) from error
    report.show(made, console)
    console.print(f"written: {out}")


@evaluate.command()
def calibration(
    pairs: Annotated[Path, typer.Option(help="The list of pairs that both reports were made of.")],
    ir: Annotated[Path, typer.Option(help="Report of `verification` on their infrared pictures.")],
    depth: Annotated[Path, typer.Option(help="Report of `verification` on their depth images, named alike.")],
    about: Annotated[str, typer.Option(help="Who they are and when they were seen; stands in the file.")],
    out: Annotated[Path, typer.Option(help="New file, for `site_calibration` in a terminal's configuration.")],
) -> None:
    """Measure this site's own score calibration: it replaces the shipped proxy."""
    console = Console(stderr=True)
    try:
        if out.exists():
            raise EvaluateError(f"{out}: is there already")
        found, left = site.calibrate(pairs, {"ir": ir, "depth": depth}, about)
    except (EvaluateError, ModelError) as error:
        raise typer.BadParameter(str(error)) from error
    text = to_toml(found, "tessera evaluate calibration")
    decode_calibration(text.encode(), str(out))  # what a terminal would refuse is not written
    out.write_text(text)
    for one in found.thresholds:
        console.print(
            f"{' + '.join(one.modalities)}: false matches {one.rate:g} (bound {one.bound:.2e}, {one.errors} in "
            f"{one.comparisons}, {one.people} people), missed {one.misses} of {one.genuine}",
            highlight=False,
        )
    console.print(f"written: {out}; {left} pairs had no score and took no part")


@evaluate.command("linkability")
def linkability_(
    people: Annotated[int, typer.Option(min=50, max=10_000, help="Drawn people in each gallery.")] = linkability.PEOPLE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Attack the secret rotations of two galleries of the same people, and print what they do not hide."""
    measured = linkability.measure(people)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(measured)).decode())
    else:
        linkability.show(Console(), measured)


def _modality(word: str) -> Modality:
    for modality in MODALITIES:
        if word == modality:
            return modality
    raise EvaluateError(f"modality is {word!r}, must be ir or depth")


def _of_meshes(listed: list[Pair]) -> bool:
    return any(Path(name).suffix in MESHES for pair in listed for name in (pair.a, pair.b))
