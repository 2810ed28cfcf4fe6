"""The stand-in of a camera process for a terminal on a recorded verdict: announces frames, and has none. Simulated."""

from pathlib import Path

from drivers.camera import CameraInfo, Emitter, Intrinsics
from firmware.runtime import child, ipc
from firmware.runtime.messages import CameraHello, FrameReady, StartCapture, StopCapture, ToCamera

CAMERA = CameraInfo(serial="recorded-verdict", firmware="none", calibration_digest="0" * 64, flood=True)
FRAME_S = 0.05
RETRY_S = 0.2
LENS = Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=320.0, cy=240.0)


def main() -> None:
    """Run as a child of the supervisor until SIGTERM."""
    process = child.start("camera")
    while not process.stop:
        process.heartbeat.beat()
        try:
            with ipc.connect(Path(process.config.run_dir) / "camera.sock", ToCamera, RETRY_S) as core:
                _announce(process, core)
        except ipc.IpcError as error:
            process.log.info("core: %s", error)
        process.stop.wait(RETRY_S)


def _announce(process: child.Child, core: "ipc.Connection[ToCamera]") -> None:
    core.send(CameraHello(info=CAMERA, intrinsics=LENS))
    capture, sequence = 0, 0
    while not process.stop:
        process.heartbeat.beat()
        order = core.receive(FRAME_S)
        if isinstance(order, StartCapture):
            capture = order.capture
        elif isinstance(order, StopCapture):
            capture = 0
        elif capture:
            sequence += 1
            core.send(_frame(capture, sequence))


def _frame(capture: int, sequence: int) -> FrameReady:
    return FrameReady(
        capture=capture, slot=0, sequence=sequence, timestamp_ns=0, intrinsics=LENS,
        emitter=Emitter(flood=1.0, dots=1.0), exposure_us=0, gain=1.0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
