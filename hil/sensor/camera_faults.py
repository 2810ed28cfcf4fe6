"""What a broken camera, or the library around it, does: played by the virtual camera as the stage file says.

Rules kept here:
- The crash is a real signal and the hang a real wait, in the process that holds the camera: nothing is caught for it.
- A fault changes what is delivered, never what stands there.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from drivers.camera import FrameSet
from hil.sensor.stage import Fault

# librealsense, waiting for frames after a replug (its issue 10543)
HANG_S = 45.0


def before_frame(fault: Fault | None, wait_s: Callable[[float], None]) -> bool:
    """Do what the library does instead of delivering; whether a frame still comes."""
    if fault == "hang":
        wait_s(HANG_S)
    elif fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return fault != "stop"


def spoiled(frames: FrameSet, fault: Fault | None, started_ns: int) -> FrameSet:
    """The frame as it is delivered. `started_ns`: when capture began, monotonic."""
    if fault == "backwards":
        return replace(frames, timestamp_ns=2 * started_ns - frames.timestamp_ns)
    if fault == "half":
        ir, depth_mm, half = frames.ir.copy(), frames.depth_mm.copy(), len(frames.ir) // 2
        ir[half:], depth_mm[half:] = 0, np.nan
        return replace(frames, ir=ir, depth_mm=depth_mm)
    if fault == "burst":
        # the picture rendered last, moved along: rendering would be too slow
        down, along = divmod(frames.sequence, frames.ir.shape[1])
        return replace(frames, ir=np.roll(frames.ir, (down, along), (0, 1)))
    return frames
