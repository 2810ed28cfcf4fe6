"""The camera process against a camera that does as told: no capture unasked, no fault unsaid, nothing left behind."""

import logging
import mmap
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from drivers.camera import (
    FULL_LEVELS,
    Camera,
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Health,
    Intrinsics,
    RecordingEndError,
)
from firmware.runtime import camera_process
from firmware.runtime.child import Child, Heartbeat
from firmware.runtime.config import load_config
from firmware.runtime.messages import (
    CameraAdvice,
    CameraFault,
    CameraHello,
    FrameReady,
    FromCamera,
    StartCapture,
    StopCapture,
)
from firmware.runtime.ring import Ring, RingReader, RingWriter
from firmware.runtime.stop import StopFlag
from tests.link.ends import WAIT_S, Core

INFO = CameraInfo(serial="fake-1", firmware="1", calibration_digest="", flood=True)
INTRINSICS = Intrinsics(width=64, height=48, fx=50.0, fy=50.0, cx=32.0, cy=24.0)


def frame(sequence: int, size: tuple[int, int] = (48, 64)) -> FrameSet:
    intrinsics = Intrinsics(width=size[1], height=size[0], fx=50.0, fy=50.0, cx=32.0, cy=24.0)
    ir, depth_mm = np.full(size, 9, np.uint16), np.full(size, 500, np.float32)
    return FrameSet(sequence, 1000 + sequence, ir, depth_mm, intrinsics, Emitter(1.0, 0.0), 100, 1.0, INFO)


class ObedientCamera(Camera):
    """Reads what the test puts into `script`: frames, or errors to raise. Counts what is asked of it."""

    def __init__(self, serial: str = "fake-1", digest: str = "") -> None:
        self._info = CameraInfo(serial=serial, firmware="1", calibration_digest=digest, flood=True)
        self.advice = ""
        self.advice_from: dict[int, str] = {}  # from the frame of this number on
        self.script: queue.Queue[FrameSet | Exception] = queue.Queue()
        self.levels: queue.Queue[Sequence[Emitter]] = queue.Queue()
        self.started, self.stopped, self.closed = threading.Event(), threading.Event(), threading.Event()

    @property
    def info(self) -> CameraInfo:
        return self._info

    @property
    def intrinsics(self) -> Intrinsics:
        return INTRINSICS

    @property
    def health(self) -> Health:
        return Health(advice=self.advice)

    def start(self, levels: Sequence[Emitter] = FULL_LEVELS) -> None:
        self.levels.put(levels)
        self.stopped.clear()
        self.started.set()

    def stop(self) -> None:
        self.stopped.set()

    def read(self, timeout_s: float) -> FrameSet:
        assert self.started.is_set(), "read before start"
        assert not self.stopped.is_set(), "read after stop"
        try:
            item = self.script.get(timeout=timeout_s)
        except queue.Empty:
            raise FrameTimeoutError("no frame") from None
        if isinstance(item, Exception):
            raise item
        self.advice = self.advice_from.get(item.sequence, self.advice)
        return item

    def close(self) -> None:
        self.closed.set()


class Rig:
    """The process's main loop in a thread, with a ring, and cameras for it to find."""

    def __init__(self, config_path: Path, stack: ExitStack) -> None:
        self.socket = config_path.parent / "run" / "camera.sock"
        self.socket.parent.mkdir()
        config, profile = load_config(config_path)
        self.ring = Ring()
        stop = StopFlag()
        # not `child.start`: that would harden this process and take its logs and signals
        self.child = Child(
            name="camera",
            config_path=config_path,
            config=config,
            profile=profile,
            ring_fd=self.ring.writer_fd,
            heartbeat=Heartbeat(None, stop),
            stop=stop,
            log=logging.getLogger("tessera.camera"),
        )
        self.reader = RingReader(self.ring.reader_fd)
        self.cameras: queue.Queue[Camera | Exception] = queue.Queue()
        self._thread = threading.Thread(
            target=camera_process.CameraProcess(self.child, RingWriter(self.ring.writer_fd), self._open).run
        )
        stack.callback(self.ring.close)
        stack.callback(self.end)

    def _open(self, source: str, options: Mapping[str, object]) -> Camera:
        assert (source, options) == ("virtual", {})
        try:
            found = self.cameras.get_nowait()
        except queue.Empty:
            raise CameraNotFoundError("no camera is plugged in") from None
        if isinstance(found, Exception):
            raise found
        return found

    def run(self, *cameras: Camera | Exception) -> None:
        for camera in cameras:
            self.cameras.put(camera)
        self._thread.start()

    def end(self) -> None:
        self.child.stop.set()
        if self._thread.is_alive():
            self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def ring_is_empty(self) -> bool:
        with mmap.mmap(self.ring.reader_fd, os.fstat(self.ring.reader_fd).st_size, prot=mmap.PROT_READ) as memory:
            return not np.frombuffer(memory, np.uint8).any()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as ends:
        yield ends


@pytest.fixture
def rig(config_path: Path, stack: ExitStack) -> Rig:
    return Rig(config_path, stack)


@pytest.fixture
def core(rig: Rig, stack: ExitStack) -> Core:
    return stack.enter_context(Core(rig.socket, FromCamera))


def test_frames_pass_only_between_start_and_stop(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    assert core.hears(CameraHello) == CameraHello(info=INFO, intrinsics=INTRINSICS)
    assert not camera.started.is_set()
    core.say(StartCapture(capture=1))
    for sequence in range(3):
        camera.script.put(frame(sequence))
        message = core.hears(FrameReady)
        got = rig.reader.view(message, INFO)
        assert got is not None
        assert got.sequence == sequence
        np.testing.assert_array_equal(got.ir, frame(sequence).ir)
    core.say(StopCapture())
    assert camera.stopped.wait(WAIT_S)
    core.say(StartCapture(capture=1))
    camera.script.put(frame(7))
    assert core.hears(FrameReady).sequence == 7


def test_the_camera_gets_the_levels_of_each_capture(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    drawn = (Emitter(0.64, 1.0), Emitter(1.0, 1.0))
    for capture, order in enumerate((StartCapture(capture=1, levels=drawn), StartCapture(capture=2)), start=1):
        core.say(order)
        assert camera.levels.get(timeout=WAIT_S) == order.levels
        camera.script.put(frame(0))
        assert core.hears(FrameReady).capture == capture
    assert order.levels == FULL_LEVELS


def test_ring_is_empty_once_capture_has_stopped(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0))
    core.hears(FrameReady)
    assert not rig.ring_is_empty()
    rig.end()
    assert camera.stopped.is_set()
    assert camera.closed.is_set()
    assert rig.ring_is_empty()


def test_camera_stops_when_core_goes_and_waits_for_the_next(rig: Rig) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    with Core(rig.socket, FromCamera) as first:
        first.say(StartCapture(capture=1))
        camera.script.put(frame(0))
        first.hears(FrameReady)
    assert camera.stopped.wait(WAIT_S)
    with Core(rig.socket, FromCamera) as second:
        second.hears(CameraHello)
        assert rig.ring_is_empty()
        assert camera.stopped.is_set()


def test_camera_without_a_first_frame_is_silent(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera, ObedientCamera())
    core.hears(CameraHello)
    core.say(StartCapture(capture=1))
    assert camera.started.wait(WAIT_S)
    since = time.monotonic()
    assert "no frame" in core.hears(CameraFault).detail
    assert -0.1 <= time.monotonic() - since - camera_process.FIRST_FRAME_S < 1.5
    assert camera.closed.wait(WAIT_S)
    # opened again, and again waiting to be asked
    core.hears(CameraHello)


def test_lost_camera_is_reported_and_found_again(rig: Rig, core: Core) -> None:
    first, second = ObedientCamera(), ObedientCamera()
    rig.run(first, second)
    core.say(StartCapture(capture=1))
    first.script.put(CameraLostError("unplugged"))
    assert core.hears(CameraFault).detail == "unplugged"
    assert first.closed.wait(WAIT_S)
    core.hears(CameraHello)
    assert not second.started.is_set()
    core.say(StartCapture(capture=1))
    second.script.put(frame(1))
    core.hears(FrameReady)


def test_no_camera_is_told_again_when_asked(rig: Rig, core: Core) -> None:
    rig.run()
    assert core.hears(CameraFault).detail == "no camera is plugged in"
    core.say(StartCapture(capture=1))
    assert core.hears(CameraFault).detail == "no camera is plugged in"
    rig.cameras.put(ObedientCamera())
    core.hears(CameraHello)


def test_wrong_serial_is_refused_and_both_are_named(rig: Rig, core: Core) -> None:
    wrong = ObedientCamera("fake-2")
    rig.run(wrong, ObedientCamera())
    detail = core.hears(CameraFault).detail
    assert "fake-1" in detail
    assert "fake-2" in detail
    assert wrong.closed.is_set()
    assert core.hears(CameraHello).info.serial == "fake-1"


def test_end_of_a_recording_is_told_and_it_can_be_played_again(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0))
    camera.script.put(RecordingEndError("end"))
    core.hears(FrameReady)
    assert core.hears(CameraFault).cause == "ended"
    assert camera.stopped.is_set()
    assert not camera.closed.is_set()
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0))
    core.hears(FrameReady)


def test_frame_too_large_for_the_ring_is_a_fault(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0, size=(801, 1280)))
    assert "1280x801" in core.hears(CameraFault).detail


def test_camera_that_falls_silent_is_reported_in_less_than_a_second(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera, ObedientCamera())
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0))
    core.hears(FrameReady)
    since = time.monotonic()
    fault = core.hears(CameraFault)
    assert fault.cause == "silent"
    assert camera_process.FRAME_S - 0.1 <= time.monotonic() - since < camera_process.FRAME_S + 0.5


def test_core_hears_of_a_fault_before_a_camera_that_does_not_close(rig: Rig, core: Core) -> None:
    release = threading.Event()

    class Clinging(ObedientCamera):
        def stop(self) -> None:
            super().stop()
            assert release.wait(WAIT_S)

    camera = Clinging()
    rig.run(camera)
    core.say(StartCapture(capture=1))
    camera.script.put(frame(0))
    core.hears(FrameReady)
    camera.script.put(CameraLostError("unplugged"))
    assert core.hears(CameraFault).cause == "unplugged"
    # and what it saw is gone too
    assert camera.stopped.wait(WAIT_S)
    assert rig.ring_is_empty()
    release.set()


def test_frames_with_times_going_back_are_a_fault(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera, ObedientCamera())
    core.say(StartCapture(capture=1))
    for sequence in (5, 6, 4):
        camera.script.put(frame(sequence))
    assert [core.hears(FrameReady).sequence for _ in range(2)] == [5, 6]
    assert core.hears(CameraFault).cause == "clock"
    assert camera.closed.wait(WAIT_S)


def test_what_was_there_and_is_not_found_again_is_unplugged(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera, CameraNotFoundError("no camera"), ObedientCamera())
    core.say(StartCapture(capture=1))
    camera.script.put(CameraLostError("no answer", cause="silent"))
    assert [core.hears(CameraFault).cause for _ in range(2)] == ["silent", "unplugged"]
    core.hears(CameraHello)


def test_advice_is_told_when_it_changes(rig: Rig, core: Core) -> None:
    camera = ObedientCamera()
    rig.run(camera)
    core.say(StartCapture(capture=1))
    for sequence, advice in enumerate(["", "clean the window", "clean the window", ""]):
        camera.advice_from[sequence] = advice
        camera.script.put(frame(sequence))
        core.hears(FrameReady)
        if sequence in (1, 3):
            assert core.hears(CameraAdvice).text == advice
    assert core.said.empty()


DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def pinned(config_path: Path) -> None:
    """Pin the first characters of a calibration."""
    config = config_path.read_text()
    config_path.write_text(
        config.replace('serial = "fake-1"', f'serial = "fake-1"\ncalibration_digest = "{DIGEST[:20]}"')
    )


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize("digest", ["", DIGEST[:19], "f" * 64])
def test_wrong_calibration_is_refused(config_path: Path, stack: ExitStack, digest: str) -> None:
    rig = Rig(config_path, stack)
    core = stack.enter_context(Core(rig.socket, FromCamera))
    wrong = ObedientCamera(digest=digest)
    rig.run(wrong, ObedientCamera(digest=DIGEST))
    fault = core.hears(CameraFault)
    assert fault.cause == "calibration"
    assert DIGEST[:20] in fault.detail
    assert wrong.closed.is_set()
    assert core.hears(CameraHello).info.calibration_digest == DIGEST


class Broken(ObedientCamera):
    """Its library fails at the end as well, as vendors' do where the device has gone."""

    def stop(self) -> None:
        super().stop()
        raise CameraLostError("cannot be stopped")

    def close(self) -> None:
        super().close()
        raise CameraLostError("cannot be closed")


def test_camera_that_fails_to_close_after_a_fault_is_no_second_fault(rig: Rig, core: Core) -> None:
    first, second = Broken(), ObedientCamera()
    rig.run(first, second)
    core.hears(CameraHello)
    core.say(StartCapture(capture=1))
    first.script.put(CameraLostError("unplugged"))
    assert core.hears(CameraFault).detail == "unplugged"
    assert first.closed.wait(WAIT_S)
    core.hears(CameraHello)
    core.say(StartCapture(capture=2))
    second.script.put(frame(1))
    assert core.hears(FrameReady).capture == 2


def test_camera_that_cannot_be_stopped_when_core_goes_is_opened_again(rig: Rig) -> None:
    first = Broken()
    rig.run(first, ObedientCamera())
    with Core(rig.socket, FromCamera) as core:
        core.hears(CameraHello)
        core.say(StartCapture(capture=1))
        first.script.put(frame(0))
        core.hears(FrameReady)
    assert first.closed.wait(WAIT_S)
    assert rig.ring_is_empty()
    with Core(rig.socket, FromCamera) as core:
        assert core.hears(CameraFault).detail == "cannot be stopped"
        core.hears(CameraHello)
