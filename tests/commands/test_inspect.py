import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner, Result

from drivers.camera import CameraError, CameraNotFoundError, FrameSet
from drivers.camera.recording import RecordingWriter
from drivers.camera.recording.contact_sheet import draw
from drivers.camera.recording.speed import measure
from drivers.camera.recording.summary import KEPT_TILES, summarise
from firmware.commands.inspect_recording import histogram, inspect_recording

Make = Callable[[int], list[FrameSet]]
CONSENT = "simulated: nobody is in it"


def write(path: Path, frames: list[FrameSet], consent: str = CONSENT) -> Path:
    with RecordingWriter(path, consent) as writer:
        writer.event("prompt", frames[0].timestamp_ns, prompt="smile", text="Please smile.")
        for frame in frames:
            writer.write(frame)
            writer.truth(frame.sequence, {"person": "ict-3", "artefact": "flat_print"})
    return path


def small(frames: list[FrameSet]) -> list[FrameSet]:
    """The same at a sixteenth of the size, for tests of many frames."""
    return [
        replace(
            frame,
            ir=frame.ir[::16, ::16].copy(),
            ambient=None,
            depth_mm=frame.depth_mm[::16, ::16].copy(),
            intrinsics=msgspec.structs.replace(frame.intrinsics, width=40, height=30),
        )
        for frame in frames
    ]


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(inspect_recording)
    return CliRunner().invoke(app, list(arguments))


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_inspect_tells_timing_drops_gaps_depth_and_events(tmp_path: Path, synthetic_frames: Make) -> None:
    frames = synthetic_frames(8)
    del frames[4:6]
    result = run(str(write(tmp_path / "a.mcap", frames)))
    assert result.exit_code == 0, result.output
    told = said(result)
    for expected in (
        "consent simulated: nobody is in it",
        "camera SYN0001, firmware 1.0.0, with flood light",
        "ir 6/6, ambient 6/6, depth 6/6",
        "ict-3: flat_print, 6 frames (ground truth)",
        "6 frames over 0.47 s; 15.0 a second",
        "dropped cycles: 2; frames out of order: 0",
        "200.0 ms after frame 3",
        "valid depth: least 99.2%, median 99.2%",
        "1 prompt",
        "+0.000 s prompt smile, text Please smile.",
    ):
        assert expected in told, (expected, told)
    picture = tmp_path / "a.mcap.png"
    assert picture.stat().st_mode & 0o777 == 0o600
    sheet = cv2.imread(str(picture))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 324
    assert sheet.std() > 20


def test_a_truncated_recording_is_summed_up_with_one_warning(tmp_path: Path, synthetic_frames: Make) -> None:
    path = write(tmp_path / "a.mcap", synthetic_frames(4))
    os.truncate(path, path.stat().st_size * 3 // 5)
    result = run(str(path), "--sheet", str(tmp_path / "sheet.png"))
    assert result.exit_code == 3
    assert result.stderr.count("warning") == 1
    assert re.search(r"truncated after [123] whole frames", result.stderr)
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("content", [None, b"", b"\x89MCAP0\r\n", b"no recording"])
def test_what_is_no_recording_is_one_plain_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.mcap"
    if content is not None:
        path.write_bytes(content)
    result = run(str(path))
    assert result.exit_code == 1
    assert isinstance(result.exception, CameraError)
    assert not (tmp_path / "a.mcap.png").exists()


def test_a_recording_without_frames_has_nothing_to_inspect(tmp_path: Path) -> None:
    RecordingWriter(tmp_path / "a.mcap", CONSENT).close()
    result = run(str(tmp_path / "a.mcap"))
    assert isinstance(result.exception, CameraNotFoundError)
    assert "without frames" in str(result.exception)


def test_a_file_cannot_speak_to_the_terminal(tmp_path: Path, synthetic_frames: Make) -> None:
    frames = [
        replace(frame, camera=msgspec.structs.replace(frame.camera, serial="\x1b[2J[/red][bold]"))
        for frame in synthetic_frames(2)
    ]
    path = tmp_path / "a.mcap"
    with RecordingWriter(path, "[/nothing]\x1b]0;title\x07") as writer:
        writer.event("note", 5, text="\x1b[31m[link=http://x]")
        for frame in frames:
            writer.write(frame)
    result = run(str(path))
    assert result.exit_code == 0
    assert "\x1b[2J" not in result.output
    assert "\x1b]0" not in result.output
    assert "?[31m[link=http://x]" in result.output
    assert "[/nothing]" in result.output


def test_one_frame_a_deep_image_and_no_depth_at_all_are_no_trouble(tmp_path: Path, synthetic_frames: Make) -> None:
    frame = synthetic_frames(1)[0]
    dark = replace(
        frame,
        ir=np.zeros((480, 640), np.uint16),
        ambient=None,
        depth_mm=np.full((480, 640), np.nan, np.float32),
    )
    result = run(str(write(tmp_path / "dark.mcap", [dark])))
    assert result.exit_code == 0, result.output
    assert "most 0.0%" in said(result)


def test_a_long_recording_keeps_few_pictures_spread_over_it(tmp_path: Path, synthetic_frames: Make) -> None:
    frames = small(synthetic_frames(3)) * 40
    frames = [replace(f, sequence=n, timestamp_ns=10**12 + n * 10**7) for n, f in enumerate(frames)]
    summary = summarise(write(tmp_path / "a.mcap", frames))
    kept = [tile.sequence for tile in summary.tiles]
    assert KEPT_TILES // 2 <= len(kept) <= KEPT_TILES
    assert len(set(np.diff(kept))) == 1
    assert kept[0] == 0
    assert kept[-1] >= 100
    assert summary.event_counts == {"prompt": 1}
    assert draw(summary).shape[1] == 4 * 324


def test_time_and_numbers_that_go_back_are_counted(tmp_path: Path, synthetic_frames: Make) -> None:
    frames = small(synthetic_frames(4))
    summary = summarise(write(tmp_path / "a.mcap", [frames[0], frames[2], frames[1], frames[3]]))
    assert summary.disordered == 1
    assert summary.dropped == 2
    assert run(str(tmp_path / "a.mcap")).exit_code == 0


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e12)))
def test_the_histogram_counts_every_interval_once(intervals_ms: np.ndarray) -> None:
    bins = histogram(intervals_ms)
    assert sum(n for _, _, n in bins) == intervals_ms.size
    assert all(low <= high for low, high, _ in bins)


def test_the_speed_of_a_recording_can_be_measured(tmp_path: Path, synthetic_frames: Make) -> None:
    told = measure(write(tmp_path / "a.mcap", synthetic_frames(3)))
    assert "3 frames of 640x480 (ir, ambient, depth)" in told
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mcap"]
