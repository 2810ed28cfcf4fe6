"""`tessera record`: film what the camera sees into a recording.

Rules kept here:
- Only in profile `rig`, only with the flag, and the file says whose consent covers it. Field terminals never record.
- The camera is opened here, so the terminal must not be running.
- Nothing is kept before the first frame is there; whatever ends the take, the file is finished.
- An `.mcap` is lit by a draw of the emitter code, as a terminal's capture is, and tells it (`evaluate` asks for it); a
  draw that is spent is shown again.
- A `.db3` is written by librealsense itself, of a RealSense alone: every raw frame, none of our events.
"""

import math
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from drivers.camera import Camera, CameraError, CameraLostError, Emitter, FrameSet, open_camera
from drivers.camera.realsense import open_recording_camera
from drivers.camera.realsense.consent import state_consent
from drivers.camera.recording import RecordingWriter
from firmware.commands.camera_choice import Choice, Opener, opened
from firmware.commands.login import ConfigOption
from firmware.core.errors import TerminalError
from firmware.liveness.code import SYMBOLS, Drawn
from firmware.runtime.config import Profile, load_config
from firmware.runtime.pins import check_pinned
from firmware.runtime.stop import StopFlag, stopped_by

MAX_SECONDS = 600
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FRAME_TIMEOUT_S = 5.0
# Frames carry the time of this machine's monotonic clock; a first frame may be this late (a virtual camera compiles).
CLOCK_TOLERANCE_S = 60.0
# Cycles a second and cycles in all that a recording tells the light of, at most.
FASTEST, MAX_TOLD = 60, 64 * SYMBOLS


def record(
    config: ConfigOption,
    out: Annotated[Path, typer.Option(help="The recording to make (.mcap, or .db3 of a RealSense); must not exist.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=MAX_SECONDS, help="How long, by the camera's clock.")],
    consent: Annotated[str, typer.Option(help="Whose consent covers this, and where it is kept.")],
    i_have_consent: Annotated[bool, typer.Option("--i-have-consent", help="Everybody in view has consented.")] = False,
) -> None:
    """Record the camera. Profile `rig` only; the terminal must not be running, since the camera is opened here."""
    loaded, profile = load_config(config)
    console = Console()
    refuse(profile, out, consent, i_have_consent)
    with opened(Choice(loaded.camera.source, loaded.camera.options, loaded, profile), _opener(out)) as camera:
        check_pinned(loaded.camera, camera.info)
        console.print(f"recording {seconds:g} s from camera {camera.info.serial}; Ctrl-C ends it early", markup=False)
        with stopped_by(*SIGNALS) as stop:
            how = take if out.suffix == ".mcap" else take_raw
            count, dropped = how(camera, out, seconds, consent, stop, console)
    size = out.stat().st_size
    console.print(
        f"{out}: {count} frames, {dropped} cycles dropped, {size / 1e6:.1f} MB ({size / count / 1e3:.0f} kB a frame). "
        "It shows whoever stood there: keep it, and destroy it, as the consent says.",
        markup=False,
    )


def refuse(profile: Profile, out: Path, consent: str, i_have_consent: bool) -> None:
    """Raise TerminalError, with the reason, unless this terminal may record this."""
    refuse_unconsented(profile, consent, i_have_consent)
    if out.suffix not in (".mcap", ".db3"):
        raise TerminalError(f"{out}: a recording's name ends in .mcap, or in .db3 where librealsense writes it")
    if out.exists():
        raise TerminalError(f"{out}: exists; a recording never overwrites")


def refuse_unconsented(profile: Profile, consent: str, i_have_consent: bool) -> None:
    """Raise TerminalError, with the reason, unless this terminal may keep what its camera sees."""
    if profile.name != "rig":
        raise TerminalError(f"profile {profile.name} never records; only a terminal in profile `rig` does")
    if not consent.strip():
        raise TerminalError("--consent is empty: say whose consent covers this recording, and where it is kept")
    if not i_have_consent:
        raise TerminalError(
            "a recording shows faces: repeat with --i-have-consent once everybody in view has consented"
        )


def _opener(out: Path) -> Opener:
    """What opens the camera that writes `out`."""

    def with_recorder(source: str, options: Mapping[str, object]) -> Camera:
        if source != "realsense":
            raise TerminalError(f"{out}: a .db3 is librealsense's; of camera `{source}` make an .mcap")
        return open_recording_camera(options, out)

    return open_camera if out.suffix == ".mcap" else with_recorder


def take(camera: Camera, out: Path, seconds: float, consent: str, stop: StopFlag, console: Console) -> tuple[int, int]:
    """Record for `seconds` by the camera's clock, or until `stop`; return the frames written and the cycles dropped.

    Raises:
        CameraError: no frame comes, the camera is lost or of another clock, or the file cannot be written. A file that
            was begun is finished and holds every frame before that.
    """
    start_ns = time.monotonic_ns()
    drawn = Drawn(secrets.token_bytes)
    camera.start([Emitter(flood=level, dots=1.0) for level in drawn.levels])
    try:
        first = camera.read(FRAME_TIMEOUT_S)
        now_ns, unix_ns = time.monotonic_ns(), time.time_ns()
        if abs(first.age_s(now_ns)) > CLOCK_TOLERANCE_S:
            raise CameraError(
                f"camera {camera.info.serial}: its frames carry another clock than this machine's; "
                "to film a recording, set `realtime = true` in its options"
            )
        with RecordingWriter(out, consent) as writer:
            writer.event("clock", now_ns, unix_ns=unix_ns)
            writer.event("command", start_ns, command="start", value=seconds)
            cycles = min(math.ceil(seconds * FASTEST), MAX_TOLD)
            writer.event("code", start_ns, levels=drawn.levels * math.ceil(cycles / SYMBOLS))
            try:
                counted = _film(camera, writer.write, first, seconds, stop, console)
            except CameraLostError as error:
                writer.event("note", time.monotonic_ns(), text=f"the camera was lost: {error}"[:1024])
                raise
            writer.event("command", time.monotonic_ns(), command="stop")
            return counted
    finally:
        camera.stop()


def take_raw(
    camera: Camera, out: Path, seconds: float, consent: str, stop: StopFlag, console: Console
) -> tuple[int, int]:
    """As `take`, where starting the camera records: librealsense writes the file, its consent comes at the end."""
    mask = os.umask(0o077)  # librealsense makes files that everybody may read
    try:
        camera.start()
        try:
            first = camera.read(FRAME_TIMEOUT_S)
        except CameraError:
            camera.stop()
            out.unlink(missing_ok=True)
            raise
        try:
            return _film(camera, _written_already, first, seconds, stop, console)
        finally:
            camera.stop()
            state_consent(out, consent)
    finally:
        os.umask(mask)


def _written_already(_: FrameSet) -> None:
    """Librealsense's recorder has it."""


def _film(
    camera: Camera,
    write: Callable[[FrameSet], None],
    first: FrameSet,
    seconds: float,
    stop: StopFlag,
    console: Console,
) -> tuple[int, int]:
    write(first)
    count, dropped, last = 1, 0, first.sequence
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("recording", total=seconds)
        for frames in camera.frames(FRAME_TIMEOUT_S):
            elapsed_s = (frames.timestamp_ns - first.timestamp_ns) / 1e9
            if stop or not elapsed_s < seconds:
                break
            write(frames)
            dropped += max(0, frames.sequence - last - 1)
            count, last = count + 1, frames.sequence
            progress.update(task, completed=elapsed_s, description=f"frame {frames.sequence}")
    return count, dropped
