"""A child with the writing end of the ring: it leaves a face there."""

import numpy as np

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.runtime import child
from firmware.runtime.ring import RingWriter

process = child.start("capturing")
assert process.ring_fd is not None
face = FrameSet(
    sequence=1,
    timestamp_ns=1,
    ir=np.full((48, 64), 7, np.uint16),
    depth_mm=np.full((48, 64), 500, np.float32),
    intrinsics=Intrinsics(width=64, height=48, fx=50.0, fy=50.0, cx=32.0, cy=24.0),
    emitter=Emitter(flood=1.0, dots=0.0),
    exposure_us=100,
    gain=1.0,
    camera=CameraInfo(serial="fake-1", firmware="", calibration_digest="", flood=True),
)
RingWriter(process.ring_fd).write(face)
process.log.info("captured")
while not process.stop.wait(0.05):
    process.heartbeat.beat()
