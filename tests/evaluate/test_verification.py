"""From files to a report, of each kind of file, small."""

import csv
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hil.evaluate import meshes, verification
from hil.evaluate.commands import evaluate
from hil.evaluate.errors import EvaluateError
from hil.evaluate.frames import _shoot
from hil.evaluate.presentations import HEADLINE, looks
from hil.people.actor import NEUTRAL, Expression
from hil.people.generators import make_actor

SEEDS = (5_900_001, 5_900_002, 5_900_003)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """Two frames each of three rendered people, as infrared crops of three sizes and as depth; a scan of two."""
    home = tmp_path_factory.mktemp("files")
    for kind in ("ir", "depth", "mesh"):
        (home / kind).mkdir()
    for seed in SEEDS:
        actor = make_actor("makehuman", seed)
        for number, look in enumerate(looks(HEADLINE, seed)[15:17]):
            frame = _shoot(actor, look, "structured-light", seed * 100 + number)
            rows, columns = np.nonzero(frame.depth_mm < 900)
            face = frame.ir[rows.min() : rows.max(), columns.min() : columns.max()]
            name = f"p{seed}_{number}.png"
            cv2.imwrite(str(home / "ir" / name), cv2.resize(face, (92, 112)) if number else face)
            cv2.imwrite(str(home / "depth" / name), np.nan_to_num(np.rint(frame.depth_mm)).astype(np.uint16))
        if seed != SEEDS[2]:
            for number, how in enumerate((NEUTRAL, Expression(smile=0.8))[: 2 if seed == SEEDS[0] else 1]):
                head = actor.head(how)
                upright = head.vertices_mm * np.array([1, -1, -1]) / 1000
                np.savez(home / "mesh" / f"p{seed}_{number}.npz", vertices_m=upright, faces=head.faces)
    lens = frame.intrinsics
    (home / "lens.toml").write_text(
        "".join(f"{name} = {getattr(lens, name)}\n" for name in ("width", "height", "fx", "fy", "cx", "cy"))
    )
    for kind in ("ir", "depth", "mesh"):
        names = sorted(path.name for path in (home / kind).iterdir())
        with (home / f"{kind}.csv").open("w", newline="") as file:
            rows_out = csv.writer(file)
            rows_out.writerow(("a", "b", "same", "group"))
            for one, other in itertools.combinations(names, 2):
                rows_out.writerow((one, other, int(one[:8] == other[:8]), "first" if one[7] == "1" else "rest"))
    return home


def run(files: Path, kind: str, out: Path, *more: str) -> dict[str, object]:
    """Run the command and return its report."""
    arguments = ["verification", "--pairs", str(files / f"{kind}.csv"), "--images", str(files / kind)]
    arguments += ["--modality", "ir" if kind == "ir" else "depth", "--report", str(out), *more]
    result = CliRunner().invoke(evaluate, arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads((out / "report.json").read_text())
    return found


def scores(out: Path) -> list[dict[str, str]]:
    with (out / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_infrared_pictures_of_any_size(files: Path, tmp_path: Path) -> None:
    report = run(files, "ir", tmp_path)
    rows = scores(tmp_path)
    assert len(rows) == 15
    genuine = [float(row["score"]) for row in rows if row["same"] == "1"]
    impostor = [float(row["score"]) for row in rows if row["same"] == "0"]
    assert min(genuine) > max(impostor)
    assert report["genuine"] == 3
    assert report["tar"] == []
    assert {one["far"] for one in report["not_shown"]} == {1e-1, 1e-2, 1e-3, 1e-4, 1e-5}  # type: ignore[attr-defined]
    assert set(report["groups"]) == {"first", "rest"}  # type: ignore[call-overload]
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert not (tmp_path / "notes").exists()


def test_depth_pictures_without_any_infrared(files: Path, tmp_path: Path) -> None:
    report = run(files, "depth", tmp_path, "--intrinsics", str(files / "lens.toml"))
    assert report["failures_to_enrol"]["failed"] == 0  # type: ignore[index]
    assert len([row for row in scores(tmp_path) if row["score"]]) == 15


def test_meshes_are_enrolled_and_looked_at_from_a_grid(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meshes, "GRID_DEG", ((-18.0, 18.0), (0.0,)))
    monkeypatch.setattr(meshes, "PROBE_MM", (450.0,))
    report = run(files, "mesh", tmp_path)
    assert report["subject"]["simulated"] is True  # type: ignore[index]
    rows = scores(tmp_path)
    assert len(rows) == 3 * 2  # pairs, poses
    assert {row["probe"] for row in rows} == {"0", "1"}


def test_a_file_without_a_face_is_a_failure_to_enrol_and_in_no_rate(files: Path, tmp_path: Path) -> None:
    blank = files / "ir" / "nobody_1.png"
    cv2.imwrite(str(blank), np.full((120, 120), 90, np.uint8))
    text = (files / "ir.csv").read_text() + f"nobody_1.png,p{SEEDS[0]}_0.png,0,rest\n"
    (files / "more.csv").write_text(text)
    arguments = ["verification", "--pairs", str(files / "more.csv"), "--images", str(files / "ir"), "--modality", "ir"]
    result = CliRunner().invoke(evaluate, [*arguments, "--report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["failures_to_enrol"]["names"] == ["nobody_1.png"]
    assert (report["pairs"], report["pairs_without_a_score"], report["impostor"]) == (16, 1, 12)
    assert scores(tmp_path)[-1]["failure"] == "no_face"


def test_a_run_that_was_cut_short_goes_on(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = verification.Looker.look

    def counted(self: verification.Looker, path: Path) -> verification.Told:
        looked.append(path.name)
        if len(looked) == 4:
            raise EvaluateError("the plug was pulled")
        return look(self, path)

    monkeypatch.setattr(verification.Looker, "look", counted)
    arguments = ["verification", "--pairs", str(files / "ir.csv"), "--images", str(files / "ir"), "--modality", "ir"]
    cut = CliRunner().invoke(evaluate, [*arguments, "--report", str(tmp_path)])
    assert "the plug was pulled" in cut.output
    assert not (tmp_path / "report.json").exists()
    run(files, "ir", tmp_path)
    assert sorted(set(looked)) == sorted(path.name for path in (files / "ir").iterdir() if path.name[0] == "p")
    assert len(looked) == 7  # the fourth twice, nobody else


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--modality", "colour"], "must be ir or depth"),
        (["--modality", "depth"], "--intrinsics"),
        (["--modality", "depth", "--network", "none.onnx"], "none.onnx"),
    ],
)
def test_what_cannot_be_evaluated_is_said(files: Path, tmp_path: Path, more: list[str], said: str) -> None:
    arguments = ["verification", "--pairs", str(files / "depth.csv"), "--images", str(files / "depth"), *more]
    result = CliRunner().invoke(evaluate, [*arguments, "--report", str(tmp_path)])
    assert result.exit_code == typer.BadParameter("").exit_code
    assert said in " ".join(result.output.replace("│", " ").split())


def test_a_report_is_not_written_over(files: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    arguments = ["verification", "--pairs", str(files / "ir.csv"), "--images", str(files / "ir"), "--modality", "ir"]
    result = CliRunner().invoke(evaluate, [*arguments, "--report", str(tmp_path)])
    assert "there is a report already" in " ".join(result.output.replace("│", " ").split())
