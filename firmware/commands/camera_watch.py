"""`tessera camera watch`: what a camera sees and how it delivers, live in the terminal window, or as a PNG strip.

Rules kept here:
- A picture is shown on this screen only, and nothing of it stays when the command ends. Outside the profiles `demo`
  and `rig` a terminal shows figures without a picture.
- A PNG of whoever stands there is a recording: the rules of `tessera record` hold for it. What is rendered or played
  back needs none: nobody stands there.
- Ctrl-C ends it between two frames.
"""

import signal
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from drivers.camera import Camera, FrameSet, Health
from drivers.camera.meter import Figures, Meter, is_live
from firmware.commands import camera_strip, half_blocks
from firmware.commands.camera_capture import engaged
from firmware.commands.camera_choice import Choice, ConfigChoice, OptionChoice, SourceChoice, choose
from firmware.commands.camera_report import delivery, health_of
from firmware.commands.findings import plain, table_of
from firmware.core.errors import TerminalError
from firmware.runtime.stop import StopFlag, stopped_by

REFRESH_HZ = 8  # a picture costs some tens of milliseconds of CPU
RECENT = 60  # frames the live figures are of
LINES = 6  # below the pictures


def watch(
    config: ConfigChoice = None,
    source: SourceChoice = None,
    option: OptionChoice = None,
    png: Annotated[Path | None, typer.Option(help="Write a strip of pictures instead; must not exist.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=24, help="How many frames the strip has.")] = 8,
    consent: Annotated[str, typer.Option(help="For a strip: whose consent covers it, and where it is kept.")] = "",
    i_have_consent: Annotated[bool, typer.Option("--i-have-consent", help="Everybody in view has consented.")] = False,
) -> None:
    """Watch a camera live: infrared, depth, rate, drops, health. Ctrl-C ends it. Or write a PNG strip."""
    console = Console()
    choice = choose(config, source, option)
    if png is not None:
        camera_strip.refuse(choice, png, consent, i_have_consent)
    elif not console.is_terminal:
        raise TerminalError("this is no terminal window to draw in; write a strip with --png strip.png")
    with stopped_by(signal.SIGINT, signal.SIGTERM) as stop, engaged(choice, console) as (camera, coming):
        if png is None:
            _watch(camera, coming, choice, stop, console)
            return
        taken = [one for one in islice(coming, frames) if not stop]
        console.print(camera_strip.write(camera, taken, choice, png, consent), markup=False, soft_wrap=True)


def _watch(camera: Camera, coming: Iterable[FrameSet], choice: Choice, stop: StopFlag, console: Console) -> None:
    """Show frames until `stop`, then a summary, also where the camera failed."""
    view = View(camera, shows_picture(choice))
    try:
        with Live(view, console=console, screen=True, refresh_per_second=REFRESH_HZ, transient=True):
            for frames in coming:
                view.take(frames, camera.health)
                if not view.live:
                    stop.wait(view.interval_s)  # what was recorded comes as fast as it is read
                if stop:
                    break
    finally:
        console.print(table_of([*delivery(view.whole.figures), *health_of(camera.health)]))


def shows_picture(choice: Choice) -> bool:
    """Whether whoever stands there may be seen on this screen."""
    return choice.profile is None or choice.profile.allow_hil


class View:
    """What the window shows; drawn by another thread than the one that reads the camera."""

    def __init__(self, camera: Camera, picture: bool) -> None:
        self._info, self._picture = camera.info, picture
        self._latest: FrameSet | None = None
        self._health = Health()
        self.whole, self._recent = Meter(), Meter(RECENT)
        self.live = True
        self.interval_s = 0.0

    def take(self, frames: FrameSet, health: Health) -> None:
        """Show this frame next."""
        now_ns = time.monotonic_ns()
        if self._latest is not None:
            self.interval_s = min(1.0, max(0.0, (frames.timestamp_ns - self._latest.timestamp_ns) / 1e9))
        self.whole.take(frames, now_ns)
        self._recent.take(frames, now_ns)
        self.live = is_live(frames, now_ns)
        self._health, self._latest = health, frames

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the picture and, below it, the lines."""
        frames = self._latest
        if frames is None:
            yield Text("waiting for the first frame; Ctrl-C ends", style="dim")
            return
        if self._picture:
            yield half_blocks.SideBySide(frames, LINES)
            yield from half_blocks.legend(options.max_width)
        else:
            yield Text("no picture: only a terminal in profile demo or rig shows one", style="dim")
        yield from lines(frames, self._recent.figures, self.whole.figures.dropped, self._health)
        yield Text(plain(f"camera {self._info.serial}, {self._info.firmware}; Ctrl-C ends"), style="dim", end="")


def lines(frames: FrameSet, figures: Figures, dropped: int, health: Health) -> list[Text]:
    """Return how the camera delivers and does, in three lines, the last one its advice."""
    first = [f"{figures.rate_hz:.1f} a second" if figures.rate_hz else "first frame"]
    if figures.interval_ms is not None:
        first.append("interval p50 {:.1f} p99 {:.1f} ms".format(*figures.interval_ms))
    first.append(f"dropped {dropped}")
    if figures.latency_ms is not None:
        first.append(f"latency {figures.latency_ms[0]:.0f} ms")
    first.append(f"valid depth {figures.valid or 0:.0%}")
    if figures.distance_mm is not None:
        first.append(f"at {figures.distance_mm:.0f} mm")
    lights = frames.emitter
    second = [f"exposure {frames.exposure_us} us", f"gain {frames.gain:.1f}"]
    second.append(f"flood {lights.flood:.0%}, dots {lights.dots:.0%}")
    if health.row_drift_px is not None:
        second.append(f"row drift {health.row_drift_px:+.2f} px")
    if health.dot_contrast is not None:
        second.append(f"dot contrast {health.dot_contrast:.0%}")
    return [
        *(Text("   ".join(parts), no_wrap=True, overflow="ellipsis") for parts in (first, second)),
        Text(plain(health.advice), style="yellow", no_wrap=True, overflow="ellipsis"),
    ]
