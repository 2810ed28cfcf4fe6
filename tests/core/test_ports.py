"""What `core` takes from the camera process, what it does not, and how soon it knows that there is none."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from drivers.camera import FAULTS, FULL_LEVELS, CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.core import ports
from firmware.core.ports import BACKLOG, CameraPort, Subscribers
from firmware.runtime.ipc import Connection, IpcError, Peer, connect, serve
from firmware.runtime.messages import (
    CameraAdvice,
    CameraFault,
    CameraHello,
    Event,
    FrameReady,
    FromCamera,
    FromCore,
    StartCapture,
    ToCamera,
    ToCore,
)
from firmware.runtime.ring import Ring, RingReader, RingWriter, announcement

INTRINSICS = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)
HELLO = CameraHello(info=CameraInfo("S", "1", "", True), intrinsics=INTRINSICS)


def announced(capture: int, sequence: int) -> FrameReady:
    return FrameReady(
        capture=capture,
        slot=0,
        sequence=sequence,
        timestamp_ns=sequence,
        intrinsics=INTRINSICS,
        emitter=Emitter(1, 1),
        exposure_us=1000,
        gain=1.0,
    )


def a_frame() -> FrameSet:
    return FrameSet(
        sequence=1,
        timestamp_ns=1,
        ir=np.full((480, 640), 7, np.uint8),
        depth_mm=np.full((480, 640), 500, np.float32),
        intrinsics=INTRINSICS,
        emitter=Emitter(1, 1),
        exposure_us=1000,
        gain=1.0,
        camera=HELLO.info,
    )


class Rig:
    """A port, and what it told."""

    def __init__(self, folder: Path, ring: Ring) -> None:
        self._path, self.ring = folder / "camera.sock", ring
        self.taken: list[int] = []
        self.lost: list[tuple[str, float | None]] = []
        self.port = CameraPort(
            RingReader(ring.reader_fd),
            lambda frame: self.taken.append(frame.sequence),
            lambda fault, silent_s: self.lost.append((fault.cause, silent_s)),
        )

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await serve(self._path, FromCamera, self.port.attend)
        try:
            yield
        finally:
            await self.port.stop()
            await server.close()

    async def camera(self) -> Connection[ToCamera]:
        """A camera process that has said hello."""
        camera: Connection[ToCamera] = await asyncio.to_thread(connect, self._path, ToCamera, 5.0)
        camera.send(HELLO)
        await until(lambda: self.port.info is not None)
        return camera

    async def start(self, camera: Connection[ToCamera]) -> int:
        """Start capture; the camera process has heard its number."""
        assert await self.port.start(FULL_LEVELS)
        while True:  # past the orders to stop
            order = await asyncio.to_thread(camera.receive, 5.0)
            assert order is not None
            if isinstance(order, StartCapture):
                return order.capture

    @property
    def causes(self) -> list[str]:
        return [cause for cause, _ in self.lost]


async def until(true: Callable[[], bool]) -> None:
    """Let the other tasks run until `true()`; the scenario's own time-out ends the wait."""
    while not true():
        await asyncio.sleep(0.001)


def play(folder: Path, scenario: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def run() -> Rig:
        with contextlib.closing(Ring()) as ring:
            rig = Rig(folder, ring)
            async with rig.listening():
                await scenario(rig)
                lost = list(rig.lost)
            rig.lost = lost  # less the end of the rig itself
            return rig

    return asyncio.run(asyncio.wait_for(run(), 20))


def test_late_frame_of_an_earlier_capture_is_not_taken(tmp_path: Path) -> None:
    """A frame that was on its way when capture stopped must not spoil the next customer's first frame."""

    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        first = await rig.start(camera)
        camera.send(announced(first, 75))
        await until(lambda: rig.taken == [75])
        await rig.port.stop()
        camera.send(announced(first, 76))  # while nobody is looked at
        second = await rig.start(camera)
        camera.send(announced(first, 77))  # into the next look
        camera.send(announced(second, 0))
        camera.close()
        await until(lambda: bool(rig.lost))

    rig = play(tmp_path, scenario)
    assert rig.taken == [75, 0]
    assert rig.causes == ["crashed"]


def test_camera_process_that_says_nothing_is_hung_within_a_second_and_its_death_is_no_other_fault(
    tmp_path: Path,
) -> None:
    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        camera.send(announced(await rig.start(camera), 0))
        await until(lambda: rig.taken == [0])
        since = time.monotonic()
        await until(lambda: bool(rig.lost))
        assert ports.NEXT_WORD_S - 0.05 < time.monotonic() - since < ports.NEXT_WORD_S + 0.5
        assert rig.port.problem.startswith("hung: ")
        assert not await rig.port.start(FULL_LEVELS)  # nobody waits for it again
        camera.close()
        await until(lambda: rig.port.info is None)
        assert rig.port.problem.startswith("hung: ")
        await rig.camera()
        assert rig.port.problem == ""

    rig = play(tmp_path, scenario)
    assert rig.causes == ["hung"]
    assert rig.lost[0][1] is not None


def test_first_frame_may_take_longer_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST_WORD_S", 1.2)

    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        await rig.start(camera)
        since = time.monotonic()
        await until(lambda: bool(rig.lost))
        assert time.monotonic() - since >= 1.2 - 0.05

    assert play(tmp_path, scenario).causes == ["hung"]


def test_nobody_is_watched_while_nothing_is_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST_WORD_S", 0.05)
    monkeypatch.setattr(ports, "NEXT_WORD_S", 0.05)

    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        await rig.start(camera)
        await rig.port.stop()
        camera.send(CameraAdvice(text="clean the window"))
        await until(lambda: bool(rig.port.advice))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(until(lambda: bool(rig.lost)), 0.3)

    assert play(tmp_path, scenario).lost == []


def test_first_fault_of_a_capture_is_the_one_that_ended_it(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        await rig.start(camera)
        camera.send(CameraFault(cause="partial", detail="half"))
        camera.close()
        await until(lambda: len(rig.lost) == 2)
        assert rig.port.ended_by == CameraFault(cause="partial", detail="half")

    (first, first_s), (second, second_s) = play(tmp_path, scenario).lost
    assert (first, second) == ("partial", "crashed")
    assert first_s is not None
    assert second_s is None


def test_lost_camera_refuses_capture_with_its_cause_until_it_is_open_again(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        assert not await rig.port.start(FULL_LEVELS)
        assert rig.port.ended_by is not None
        assert rig.port.ended_by.cause == "absent"
        camera = await rig.camera()
        camera.send(CameraFault(cause="unplugged", detail="gone"))
        await until(lambda: bool(rig.lost))
        assert not await rig.port.start(FULL_LEVELS)
        assert rig.port.ended_by == CameraFault(cause="unplugged", detail="gone")
        camera.send(HELLO)
        await until(lambda: rig.port.problem == "")
        await rig.start(camera)
        assert rig.port.ended_by is None

    play(tmp_path, scenario)


def test_recording_that_has_ended_can_be_played_again(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        await rig.start(camera)
        camera.send(CameraFault(cause="ended", detail="the recording has ended"))
        await until(lambda: bool(rig.lost))
        await rig.port.stop()
        camera.send(announced(await rig.start(camera), 0))
        await until(lambda: rig.taken == [0])
        assert rig.port.problem == ""

    play(tmp_path, scenario)


def test_advice_is_the_cameras_own_and_goes_when_it_is_opened_again(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        camera.send(CameraAdvice(text="clean the window"))
        await until(lambda: rig.port.advice == "clean the window")
        await rig.start(camera)
        rig.port.end_capture(CameraFault(cause="overrun", detail=""), 0.8)
        assert rig.port.advice == " ".join((*FAULTS["overrun"], "clean the window"))
        assert rig.port.problem == ""  # frames can come
        await rig.port.stop()
        camera.send(HELLO)
        await rig.start(camera)
        assert rig.port.advice == ""

    play(tmp_path, scenario)


def test_frame_judged_while_its_capture_was_lost_counts_for_nothing(tmp_path: Path) -> None:
    """Attack: the light fails, or the process hangs, while a good frame is judged; the frame lies there yet."""

    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        capture = await rig.start(camera)
        frame = a_frame()
        announced = announcement(frame, RingWriter(rig.ring.writer_fd).write(frame), capture)
        assert rig.port.view(announced) is not None
        assert rig.port.intact(announced)
        rig.port.end_capture(CameraFault(cause="emitter_current", detail="dark"), 0.1)
        assert not rig.port.intact(announced)
        await rig.port.stop()
        capture = await rig.start(camera)
        again = announcement(frame, announced.slot, capture)
        assert rig.port.view(again) is not None
        assert rig.port.intact(again), "the next capture suffers for the one before"

    play(tmp_path, scenario)


def test_start_that_failed_leaves_nobody_watching_to_call_the_next_capture_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "FIRST_WORD_S", 0.3)
    monkeypatch.setattr(ports, "NEXT_WORD_S", 0.3)

    async def deaf(_: object) -> bool:
        return False

    async def scenario(rig: Rig) -> None:
        camera = await rig.camera()
        with monkeypatch.context() as broken:
            broken.setattr(rig.port, "_send", deaf)
            assert not await rig.port.start(FULL_LEVELS)
        assert rig.causes == ["crashed"]
        rig.port.info = None
        camera.send(HELLO)
        await until(lambda: rig.port.problem == "")
        await rig.start(camera)
        await rig.port.stop()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(until(lambda: len(rig.lost) > 1), 0.6)
        assert rig.port.problem == ""

    assert play(tmp_path, scenario).causes == ["crashed"]


def test_a_screen_that_has_fallen_behind_is_hung_up_on_and_not_left_with_what_was_true_before(tmp_path: Path) -> None:
    """Attack: a flood of refusals while it is busy, and it would hear of nothing more."""
    refused = Event(scene=1, stage="notice", reason="malformed", text="A receipt was refused.")
    watching = Subscribers()

    async def attend(peer: Peer[ToCore]) -> None:
        forwarding = asyncio.create_task(watching.forward(peer))
        with contextlib.suppress(IpcError):
            await peer.receive()
        forwarding.cancel()

    def read_all(screen: Connection[FromCore]) -> None:
        while screen.receive(5) is not None:
            pass

    async def scene() -> None:
        server = await serve(tmp_path / "s", ToCore, attend)
        with connect(tmp_path / "s", FromCore, 1.0) as screen:
            await until(lambda: bool(watching._queues))
            for _ in range(BACKLOG + 1):
                watching.tell(refused)
            with pytest.raises(IpcError):
                await asyncio.to_thread(read_all, screen)
            assert not watching._queues
        await server.close()

    asyncio.run(scene())
