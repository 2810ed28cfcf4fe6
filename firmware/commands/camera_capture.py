"""Capturing for a command: every frame looked at as the camera process does, and a library that hangs is no wait.

Rules kept here:
- Frames pass the same `Monitor` as in service, so that a command finds the faults a terminal would.
- A vendor's library may hang, or crash the process, and then no `finally` runs. A child watches for both: after
  `HANG_S` without a sign of life it kills the command, and either way it says which fault it was. The kernel takes
  the device back.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import NoReturn

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
ALIVE, OVER = b"a", b"o"
LEAVE_SCREEN = b"\x1b[?1049l\x1b[?25h"


@contextmanager
def engaged(choice: Choice, console: Console) -> Iterator[tuple[Camera, Iterator[FrameSet]]]:
    """Open a camera and give it with its frames, as `capture` does; a fault is told, and ends in exit code 1."""
    with named_fault(console), looked_after(console) as alive, opened(choice) as camera:
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
def looked_after(console: Console) -> Iterator[Callable[[], None]]:
    """Give a function to call with every sign of life, to a child that says so where none comes, or where we die."""
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(writing)
        _look_after(parent, reading, console)
    os.close(reading)

    def say(word: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(writing, word)

    try:
        yield lambda: say(ALIVE)
    finally:
        say(OVER)
        os.close(writing)
        os.waitpid(child, 0)


def _look_after(parent: int, reading: int, console: Console) -> NoReturn:
    """In the child: nothing is touched here but the pipe, the parent and the screen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = ALIVE
    while said and not said.endswith(OVER):
        if not select.select([reading], [], [], HANG_S)[0]:
            os.kill(parent, signal.SIGKILL)
            _tell(console, CameraLostError(f"the camera's library has not returned for {HANG_S:g} s", "hung"))
            os._exit(1)
        said = os.read(reading, 4096)
    if not said:
        _tell(console, CameraLostError("this command was killed, or the camera's library crashed it", "crashed"))
    os._exit(0)


def _tell(console: Console, error: CameraLostError) -> None:
    if console.is_terminal:
        os.write(1, LEAVE_SCREEN)
    tell_fault(console, error)
