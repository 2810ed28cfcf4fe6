"""The camera process: owns the camera, writes its frames into the ring, tells `core` where they lie.

Rules kept here:
- Nothing is emitted or captured but between `core`'s StartCapture and StopCapture, and never while `core` is gone.
- When capture ends, for whatever reason, the ring is zeroed.
- A camera that fails is reported at once and opened again, with a back-off; after that `core` must ask for
  capture again. No frame for `FRAME_S` is a failure, and so is what `Monitor` sees in the frames that do come.
- Serial and calibration are compared with the pinned ones when the camera is opened (`pins`).
- Vendor libraries hang and crash. That is why this is a process of its own: the supervisor kills it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from drivers.camera import (
    Camera,
    CameraError,
    CameraNotFoundError,
    Cause,
    Emitter,
    FrameTimeoutError,
    RecordingEndError,
    open_camera,
)
from drivers.camera.monitor import Monitor
from drivers.emitter import EmitterError
from firmware.runtime import child, ipc
from firmware.runtime.config import CameraConfig
from firmware.runtime.lights import owned_lights
from firmware.runtime.messages import (
    MAX_TEXT,
    CameraAdvice,
    CameraFault,
    CameraHello,
    StartCapture,
    StopCapture,
    ToCamera,
)
from firmware.runtime.pins import check_pinned
from firmware.runtime.ring import RingError, RingWriter, announcement

# Silent for longer is lost: below a second, so that `core` knows within one. The first frame may take longer.
FRAME_S, FIRST_FRAME_S = 0.7, 3.3
CORE_RETRY_S = 0.2
# how long the loop may wait on the camera or on core before it looks round
_SLICE_S = 0.2
_REOPEN_FIRST_S, _REOPEN_MAX_S = 0.5, 5.0
# the same while we beat for the lights (see `lights`)
_LIT_SLICE_S = 0.04
# until there is one
_NO_FAULT = CameraFault(cause="absent", detail="")

Opener = Callable[[str, Mapping[str, object]], Camera]


class CameraProcess:
    """The main loop and what it holds.

    Args:
        process: this child.
        ring: where frames go.
        opener: opens a camera plug-in by name and options.
    """

    def __init__(self, process: child.Child, ring: RingWriter, opener: Opener = open_camera) -> None:
        self._process = process
        self._settings: CameraConfig = process.config.camera
        self._ring = ring
        self._opener = opener
        self._camera: Camera | None = None
        self._lights = owned_lights(process.config.emitter, "camera")
        self._levels: tuple[Emitter, ...] = ()
        self._monitor = Monitor()
        self._was_open = False
        self._advice = ""
        self._capturing = False
        self._capture = 0
        self._silent_at = 0.0
        self._reopen_at = 0.0
        self._reopen_after_s = _REOPEN_FIRST_S
        self._fault = _NO_FAULT

    def run(self) -> None:
        """Serve `core` until told to stop."""
        # before the first heartbeat: opening may take long the first time, and the supervisor allows for that
        self._open()
        try:
            while not self._process.stop:
                self._process.heartbeat.beat()
                self._serve_one_core()
                self._process.stop.wait(CORE_RETRY_S)
        finally:
            self._close()

    def _serve_one_core(self) -> None:
        path = Path(self._process.config.run_dir) / "camera.sock"
        try:
            with ipc.connect(path, ToCamera, CORE_RETRY_S) as core:
                self._introduce(core)
                while not self._process.stop:
                    self._process.heartbeat.beat()
                    self._turn(core)
        except ipc.IpcError as error:
            self._process.log.info("core: %s", error)
        finally:
            try:
                self._stop_capture()
            except CameraError as error:
                self._fail(error, error.cause)
                self._close()

    def _turn(self, core: ipc.Connection[ToCamera]) -> None:
        """Once round: an order, if there is one, then a frame, if one is wanted."""
        if self._camera is None and time.monotonic() >= self._reopen_at:
            self._process.heartbeat.ask_for_time()
            self._open()
            self._introduce(core)
        try:
            self._obey(core.receive(0.0 if self._capturing else _SLICE_S), core)
            if self._capturing:
                self._pass_on_a_frame(core)
        except RecordingEndError:
            self._stop_capture()
            core.send(CameraFault(cause="ended", detail="the recording has ended"))
        except CameraError as error:
            self._give_up(error, core)
        except RingError as error:
            self._give_up(CameraNotFoundError(str(error)), core)

    def _obey(self, order: ToCamera | None, core: ipc.Connection[ToCamera]) -> None:
        if isinstance(order, StopCapture):
            self._stop_capture()
        elif isinstance(order, StartCapture) and self._camera is None:
            core.send(self._fault)
        elif isinstance(order, StartCapture) and self._camera is not None:
            self._stop_capture()
            self._process.heartbeat.ask_for_time()
            self._capturing, self._capture, self._levels = True, order.capture, order.levels
            self._camera.start(self._levels)
            self._monitor.begin()
            if self._lights is not None:
                self._lights.on(self._levels)
            self._silent_at = time.monotonic() + FIRST_FRAME_S

    def _pass_on_a_frame(self, core: ipc.Connection[ToCamera]) -> None:
        assert self._camera is not None
        left_s = self._silent_at - time.monotonic()
        try:
            self._beat()
            frames = self._camera.read(max(0.0, min(left_s, _LIT_SLICE_S if self._lights is not None else _SLICE_S)))
        except FrameTimeoutError as error:
            if time.monotonic() < self._silent_at:
                return
            patience_s = FRAME_S if self._monitor.seen else FIRST_FRAME_S
            raise FrameTimeoutError(f"camera {self._camera.info.serial}: no frame for {patience_s:g} s") from error
        self._silent_at = time.monotonic() + FRAME_S
        if not self._monitor.passes(frames, time.monotonic_ns()):
            return
        self._reopen_after_s = _REOPEN_FIRST_S
        core.send(announcement(frames, self._ring.write(frames), self._capture))
        advice = self._camera.health.advice[:MAX_TEXT]
        if advice != self._advice:
            self._advice = advice
            core.send(CameraAdvice(text=advice))

    def _beat(self) -> None:
        """Hold the light. A camera's beginning may hold us up for longer than the board waits: lit again, that once."""
        try:
            if self._lights is not None:
                self._lights.beat()
        except EmitterError as error:
            if self._lights is None or error.cause != "emitter_heartbeat" or self._monitor.seen > 1:
                raise
            self._lights.on(self._levels)

    def _introduce(self, core: ipc.Connection[ToCamera]) -> None:
        if self._camera is None:
            core.send(self._fault)
        else:
            core.send(CameraHello(info=self._camera.info, intrinsics=self._camera.intrinsics))

    def _open(self) -> None:
        try:
            camera = self._opener(self._settings.source, self._settings.options)
            try:
                check_pinned(self._settings, camera.info)
            except CameraError:
                camera.close()
                raise
        except CameraError as error:
            # what was there and is absent now has been unplugged
            self._fail(error, "unplugged" if error.cause == "absent" and self._was_open else error.cause)
        except msgspec.ValidationError as error:
            self._fail(CameraNotFoundError(f"camera.options: {error}"), "absent")
        else:
            self._process.log.info("camera %s, firmware %s", camera.info.serial, camera.info.firmware)
            self._camera, self._monitor, self._was_open, self._advice = camera, Monitor(), True, ""
            self._fault = _NO_FAULT

    def _give_up(self, error: CameraError, core: ipc.Connection[ToCamera]) -> None:
        """Say so first: closing a camera that has failed may hang."""
        self._fail(error, error.cause)
        try:
            core.send(self._fault)
        finally:
            self._close()

    def _fail(self, error: CameraError, cause: Cause) -> None:
        """Note why, and plan to open the camera again."""
        fault = CameraFault(cause=cause, detail=str(error)[:MAX_TEXT])
        if fault != self._fault:
            self._process.log.error("camera: %s: %s", fault.cause, fault.detail)
        self._fault = fault
        self._reopen_at = time.monotonic() + self._reopen_after_s
        self._reopen_after_s = min(2 * self._reopen_after_s, _REOPEN_MAX_S)

    def _stop_capture(self) -> None:
        if not self._capturing:
            return
        self._capturing = False
        # before the camera is stopped: that may hang
        self._ring.zero()
        if self._lights is not None:
            self._lights.off()
        if self._camera is not None:
            self._camera.stop()
        seen, dropped = self._monitor.seen, self._monitor.dropped
        self._process.log.info("capture %d: %d frames, %d dropped", self._capture, seen, dropped)

    def _close(self) -> None:
        """A camera that has failed may fail at this too: that is no further fault."""
        try:
            with ExitStack() as stack:
                if self._camera is not None:
                    stack.callback(self._camera.close)
                self._stop_capture()
        except CameraError as error:
            self._process.log.warning("camera: while it was closed: %s", error)
        self._camera = None


def main(argv: Sequence[str] | None = None) -> None:
    """Run as a child of the supervisor."""
    process = child.start("camera", argv)
    if process.ring_fd is None:
        raise SystemExit("tessera-camera: --ring-fd is missing: the supervisor starts this process")
    try:
        ring = RingWriter(process.ring_fd)
    except RingError as error:
        raise SystemExit(f"tessera-camera: {error}") from error
    CameraProcess(process, ring).run()


if __name__ == "__main__":
    main()
