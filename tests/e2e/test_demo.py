"""The demo, as a newcomer runs it."""

import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import pytest

from firmware.core.reasons import PROMPTS
from hil.rig.demo import scenes


def run_demo(out: Path, seed: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "firmware.cli", "demo", "--seed", str(seed), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_demo_ends_as_it_must_and_leaves_its_evidence(tmp_path: Path, models_dir: Path) -> None:
    ran = run_demo(tmp_path / "run", 1)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = msgspec.json.decode((tmp_path / "run" / "summary.json").read_bytes())
    assert summary["all_as_they_must"] is True
    assert "simulated" in summary["evidence"]
    assert summary["seconds"] < 90
    first, *tried, erased, again = (scene["got"] for scene in summary["scenes"])
    assert (first, erased, again) == ("enrolled", "erased", "not_enrolled")
    for got, scene in zip(tried, scenes(1), strict=True):
        assert got in {reason for reason, _ in scene.ends}, scene.title
    asked = {scene["scene"]: scene["events"] for scene in summary["scenes"] if scene.get("asked_for") == "dynamic"}
    assert len(asked) == 2
    assert all(PROMPTS.keys() & set(events) for events in asked.values())
    transcript = (tmp_path / "run" / "transcript.txt").read_text()
    assert "Approved." in transcript
    assert "simulated" in transcript
    sheet = cv2.imread(str(tmp_path / "run" / "contact-sheet.png"))
    assert sheet is not None
    assert sheet.std() > 10


def ends_as_it_must(out: Path, seed: int) -> None:
    ran = run_demo(out, seed)
    assert ran.returncode == 0, f"seed {seed}:\n{ran.stdout}{ran.stderr}"


@pytest.mark.soak
@pytest.mark.parametrize("seed", [17, *range(30, 40)])
def test_more_seeds_end_as_they_must(tmp_path: Path, models_dir: Path, seed: int) -> None:
    ends_as_it_must(tmp_path / str(seed), seed)


def test_demo_refuses_a_run_directory_that_exists(tmp_path: Path) -> None:
    ran = run_demo(tmp_path, 1)
    assert ran.returncode != 0
    assert str(tmp_path) in ran.stderr
    assert "Traceback" not in ran.stderr
