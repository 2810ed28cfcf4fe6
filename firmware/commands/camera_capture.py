"""Capturing for a command: every frame looked at as the camera process does, and a library that hangs is no wait.

Rules kept here:
- Frames pass the same `Monitor` as in service, so that a command finds the faults a terminal would.
- A vendor's library may not come back, and then no `finally` runs either: after `HANG_S` without a sign of life the
  command says so and the process ends. The kernel takes the device back.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

from rich.console import Console

from drivers.camera import Camera, CameraLostError, FrameSet, RecordingEndError
from drivers.camera.meter import is_live
from drivers.camera.monitor import Monitor
from firmware.commands.camera_choice import Choice, opened
from firmware.commands.findings import named_fault, tell_fault
from firmware.runtime.config import is_played

FIRST_FRAME_S, FRAME_S = 10.0, 2.0
SETTLING = 5  # frames of a live camera that do not count: its exposure settles, a simulated one compiles
HANG_S = 30.0  # a simulated camera compiles for half of that on a busy machine
HUNG = 1  # exit code


@contextmanager
def engaged(choice: Choice, console: Console) -> Iterator[tuple[Camera, Iterator[FrameSet]]]:
    """Open a camera and give it with its frames, as `capture` does; a fault is told, and ends in exit code 1."""
    with named_fault(console), not_hanging(console) as alive, opened(choice) as camera:
        alive()
        with closing(capture(camera, choice, alive)) as frames:
            yield camera, frames


def capture(
    camera: Camera, choice: Choice, alive: Callable[[], None] = lambda: None
) -> Generator[FrameSet, None, None]:
    """Start the camera, let it settle, yield whole frames until a recording ends; stop it, whatever happens.

    Args:
        camera: opened.
        choice: what it is.
        alive: called whenever the camera has come back.

    Raises:
        RecordingEndError: a recording without a single frame.
        CameraError: as `Camera.start` and `Camera.read` do, or what `Monitor` sees.
    """
    # a recording read faster than it was made is ahead of its time: it is judged at its own
    played = is_played(choice.source, choice.options)
    monitor, given = Monitor(), 0
    camera.start()
    try:
        frames = camera.read(FIRST_FRAME_S)
        for _ in range(SETTLING if is_live(frames, time.monotonic_ns()) else 0):
            alive()
            frames = camera.read(FIRST_FRAME_S)
        while True:
            alive()
            if monitor.passes(frames, frames.timestamp_ns if played else time.monotonic_ns()):
                given += 1
                yield frames
            frames = camera.read(FRAME_S)
    except RecordingEndError:
        if not given:
            raise
    finally:
        camera.stop()


@contextmanager
def not_hanging(console: Console) -> Iterator[Callable[[], None]]:
    """Give a function to call with every sign of life; end the process where none comes for `HANG_S`."""
    alive, over = threading.Event(), threading.Event()

    def look() -> None:
        while alive.wait(HANG_S):
            alive.clear()
            if over.is_set():
                return
        console.set_alt_screen(False)
        tell_fault(console, CameraLostError(f"the camera's library has not returned for {HANG_S:.0f} s", "hung"))
        os._exit(HUNG)

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield alive.set
    finally:
        over.set()
        alive.set()
        watching.join()
