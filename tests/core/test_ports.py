"""What `core` takes from the camera process, and what it does not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from drivers.camera import CameraInfo, Emitter, Intrinsics
from firmware.core.ports import CameraPort
from firmware.runtime.ipc import connect, serve
from firmware.runtime.messages import CameraHello, FrameReady, FromCamera, StartCapture, ToCamera
from firmware.runtime.ring import Ring, RingReader

INTRINSICS = Intrinsics(640, 480, 600.0, 600.0, 319.5, 239.5)


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


def test_late_frame_of_an_earlier_capture_is_not_taken(tmp_path: Path) -> None:
    """A frame that was on its way when capture stopped must not spoil the next customer's first frame."""
    taken: list[int] = []
    lost: list[str] = []

    async def scenario() -> None:
        ring = Ring()
        port = CameraPort(
            RingReader(ring.reader_fd),
            lambda frame: taken.append(frame.sequence),
            lambda fault, _: lost.append(fault.cause),
        )
        server = await serve(tmp_path / "camera.sock", FromCamera, port.attend)
        camera = await asyncio.to_thread(connect, tmp_path / "camera.sock", ToCamera, 5.0)
        camera.send(CameraHello(info=CameraInfo("S", "1", "", True), intrinsics=INTRINSICS))
        await until(lambda: port.info is not None)

        async def start() -> int:
            assert await port.start()
            while True:  # past the orders to stop
                order = await asyncio.to_thread(camera.receive, 5.0)
                assert order is not None
                if isinstance(order, StartCapture):
                    return order.capture

        first = await start()
        camera.send(announced(first, 75))
        await until(lambda: taken == [75])
        await port.stop()
        camera.send(announced(first, 76))  # while nobody is looked at
        second = await start()
        camera.send(announced(first, 77))  # into the next look
        camera.send(announced(second, 0))
        camera.close()
        await until(lambda: bool(lost))
        await server.close()
        ring.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert taken == [75, 0]
    assert lost == ["crashed"]


async def until(true: Callable[[], bool]) -> None:
    """Let the other tasks run until `true()`; the scenario's own time-out ends the wait."""
    while not true():
        await asyncio.sleep(0)
