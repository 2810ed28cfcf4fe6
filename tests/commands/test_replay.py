import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from drivers.camera import CameraError, FrameSet
from drivers.camera.recording import RecordingWriter
from firmware.commands.replay import replay

Make = Callable[[int], list[FrameSet]]
CONSENT = "simulated: nobody is in it"


def write(path: Path, frames: list[FrameSet]) -> Path:
    with RecordingWriter(path, CONSENT) as writer:
        for frame in frames:
            writer.write(frame)
            writer.event("note", frame.timestamp_ns, text="between frames")
            writer.truth(frame.sequence, {"person": "nobody"})
    return path


def run(path: Path, models_dir: Path, *more: str) -> Result:
    app = typer.Typer()
    app.command()(replay)
    return CliRunner().invoke(app, [str(path), "--models", str(models_dir), *more])


def test_every_frame_of_a_recording_is_judged(tmp_path: Path, models_dir: Path, synthetic_frames: Make) -> None:
    result = run(write(tmp_path / "a.mcap", synthetic_frames(3)), models_dir, "--every")
    assert result.exit_code == 0, result.output
    assert "3 frames of a.mcap, camera SYN0001" in result.output
    assert result.stderr == ""


def test_a_truncated_recording_is_judged_as_far_as_it_goes_with_one_warning(
    tmp_path: Path, models_dir: Path, synthetic_frames: Make
) -> None:
    path = write(tmp_path / "a.mcap", synthetic_frames(4))
    os.truncate(path, path.stat().st_size * 3 // 5)
    result = run(path, models_dir)
    assert result.exit_code == 3
    assert "2 frames of a.mcap" in result.stdout
    assert result.stderr.count("warning") == 1
    assert "truncated after 2 whole frames" in result.stderr


def test_a_damaged_recording_is_judged_as_far_as_it_goes_with_one_warning(
    tmp_path: Path, models_dir: Path, synthetic_frames: Make
) -> None:
    path = write(tmp_path / "a.mcap", synthetic_frames(4))
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 5] ^= 0xFF
    path.write_bytes(data)
    result = run(path, models_dir)
    assert result.exit_code == 3
    assert "damaged after 2 whole frames" in result.stderr
    assert "Traceback" not in result.output


def test_a_recording_without_a_whole_frame_is_an_error(
    tmp_path: Path, models_dir: Path, synthetic_frames: Make
) -> None:
    path = write(tmp_path / "a.mcap", synthetic_frames(1))
    os.truncate(path, 4000)
    result = run(path, models_dir)
    assert result.exit_code == 1
    assert isinstance(result.exception, CameraError)
    assert "truncated after 0 whole frames" in str(result.exception)


@pytest.mark.parametrize("name", ["a.mp4", "mcap", "missing.mcap", "missing.db3"])
def test_what_is_no_recording_is_one_plain_error(tmp_path: Path, models_dir: Path, name: str) -> None:
    result = run(tmp_path / name, models_dir)
    assert result.exit_code == 1
    assert isinstance(result.exception, CameraError)


@pytest.mark.parametrize("kind", ["sixteen bits", "tiny", "one pixel", "no depth", "large", "wide"])
def test_frames_of_any_shape_are_judged(tmp_path: Path, models_dir: Path, synthetic_frames: Make, kind: str) -> None:
    frame = replace(synthetic_frames(1)[0], ambient=None)
    ir: Any = frame.ir
    depth_mm: Any = frame.depth_mm
    if kind == "sixteen bits":
        ir = ir.astype(np.uint16) * 200
    elif kind == "tiny":
        ir, depth_mm = ir[::40, ::40], depth_mm[::40, ::40]
    elif kind == "one pixel":
        ir, depth_mm = ir[:1, :1], depth_mm[:1, :1]
    elif kind == "no depth":
        depth_mm = np.full_like(depth_mm, np.nan)
    elif kind == "large":
        ir, depth_mm = np.tile(ir, (2, 2)), np.tile(depth_mm, (2, 2))
    elif kind == "wide":
        ir, depth_mm = ir[200:203], depth_mm[200:203]
    height, width = ir.shape
    shaped = replace(
        frame,
        ir=np.ascontiguousarray(ir),
        depth_mm=np.ascontiguousarray(depth_mm),
        intrinsics=msgspec.structs.replace(frame.intrinsics, width=width, height=height),
    )
    result = run(write(tmp_path / "a.mcap", [shaped]), models_dir)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "1 frames of a.mcap" in result.output
