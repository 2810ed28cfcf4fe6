"""A strip of consecutive frames as one PNG: infrared, ambient, dots and depth above each other, times beneath.

It is a recording of whoever stands there, and made under the same rules; the file says whose consent covers it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Camera, FrameSet, pictures
from drivers.camera.plane import valid_share
from drivers.camera.realsense.consent import stated_consent
from drivers.camera.recording import RecordingCamera
from firmware.commands.camera_choice import Choice
from firmware.commands.findings import plain
from firmware.commands.record import refuse_unconsented
from firmware.core.errors import TerminalError
from firmware.runtime.config import is_played

WIDTH_PX, EDGE_PX = 240, 2
MIN_WIDTH_PX = 1000  # of the whole, so that the lines above it can be read
SIMULATED = "simulated: nobody is in it"


def refuse(choice: Choice, png: Path, consent: str, i_have_consent: bool) -> None:
    """Raise TerminalError, with the reason, unless this camera's picture may be kept in `png`."""
    if not is_played(choice.source, choice.options):
        if choice.profile is None:
            raise TerminalError(
                "a picture of a live camera is a recording: only a terminal in profile `rig` makes one; give --config"
            )
        refuse_unconsented(choice.profile, consent, i_have_consent)
    if png.suffix != ".png":
        raise TerminalError(f"{png}: a strip's name ends in .png")
    if png.exists():
        raise TerminalError(f"{png}: exists; a recording never overwrites")


def write(camera: Camera, taken: list[FrameSet], choice: Choice, png: Path, consent: str) -> str:
    """Write the strip of frames `taken`, at least one; return what was written. Raises CameraError."""
    covered = plain(consent or _stated(camera, choice))
    pictures.save(png, draw(taken, covered), {"Source": f"Tessera, camera {camera.info.serial}", "Consent": covered})
    return f"{png}: {len(taken)} frames of camera {plain(camera.info.serial)}; consent: {covered or 'none named'}"


def _stated(camera: Camera, choice: Choice) -> str:
    """Whose consent covers what is played, as the recording itself says."""
    if isinstance(camera, RecordingCamera):
        return camera.consent
    file = str(choice.options.get("file", ""))
    if file.endswith(".db3"):
        return stated_consent(Path(file)) or ""
    return SIMULATED if camera.info.firmware == "simulated" else ""


def draw(taken: list[FrameSet], consent: str) -> NDArray[np.uint8]:
    """Return the strip, (H, W, 3) uint8 BGR: a column per frame. Brightness and colours are common to all."""
    white = pictures.white_of(frames.ir for frames in taken)
    near_mm, far_mm = pictures.range_of(frames.depth_mm for frames in taken)
    before = [None, *taken[:-1]]
    columns = [
        _column(frames, last, taken[0], white, near_mm, far_mm) for frames, last in zip(taken, before, strict=True)
    ]
    strip = np.hstack(columns)
    width = max(MIN_WIDTH_PX, strip.shape[1])
    strip = np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)), constant_values=pictures.BACK)
    info = taken[0].camera
    told = f"camera {info.serial}, firmware {info.firmware}; from the top: {', '.join(_exposures(taken[0]))}, depth"
    return np.vstack(
        [
            pictures.band(width, told),
            pictures.band(width, f"consent: {consent or 'none named'}", pictures.GREY),
            pictures.legend(width, white, near_mm, far_mm),
            strip,
        ]
    )


def _exposures(frames: FrameSet) -> dict[str, pictures.Exposed]:
    """What this camera delivers beside depth, by name, from the top."""
    named = {"infrared": frames.ir, "ambient": frames.ambient, "dots": frames.dots}
    return {name: image for name, image in named.items() if image is not None}


def _column(
    frames: FrameSet, last: FrameSet | None, first: FrameSet, white: float, near_mm: float, far_mm: float
) -> NDArray[np.uint8]:
    height, width = frames.ir.shape
    tall = max(1, min(2 * WIDTH_PX, round(WIDTH_PX * height / width)))
    shown = [pictures.grey(pictures.shrunk(image, WIDTH_PX, tall), white) for image in _exposures(frames).values()]
    shown.append(pictures.colours(pictures.thinned(frames.depth_mm, WIDTH_PX, tall), near_mm, far_mm))
    at_s = (frames.timestamp_ns - first.timestamp_ns) / 1e9
    since = f"  +{(frames.timestamp_ns - last.timestamp_ns) / 1e6:.1f} ms" if last is not None else ""
    shown += [
        pictures.band(WIDTH_PX, f"#{frames.sequence}  {at_s:.2f} s{since}"),
        pictures.band(WIDTH_PX, f"depth in the middle {valid_share(frames.depth_mm):.0%}", pictures.GREY),
    ]
    column = np.vstack(shown)
    return np.pad(column, ((EDGE_PX, EDGE_PX), (EDGE_PX, EDGE_PX), (0, 0)), constant_values=pictures.BACK)
