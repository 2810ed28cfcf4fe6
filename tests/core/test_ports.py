"""What `core` takes from the camera process, and what it does not."""

import asyncio
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
    taken: list[FrameReady] = []
    lost: list[str] = []

    async def scenario() -> None:
        ring = Ring()
        port = CameraPort(RingReader(ring.reader_fd), taken.append, lost.append)
        server = await serve(tmp_path / "camera.sock", FromCamera, port.attend)
        camera = await asyncio.to_thread(connect, tmp_path / "camera.sock", ToCamera, 5.0)
        camera.send(CameraHello(info=CameraInfo("S", "1", "", True), intrinsics=INTRINSICS))
        while port.info is None:
            await asyncio.sleep(0)
        for sequence, before in ((75, 0), (0, 2)):
            while len(taken) < before:
                await asyncio.sleep(0)
            assert await port.start()
            order = await asyncio.to_thread(camera.receive, 5.0)
            assert isinstance(order, StartCapture)
            camera.send(announced(1, sequence + 1))
            camera.send(announced(order.capture, sequence))
        camera.close()
        while not lost:
            await asyncio.sleep(0)
        await server.close()
        ring.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert [(frame.capture, frame.sequence) for frame in taken] == [(1, 76), (1, 75), (2, 0)]
    assert lost == ["the camera process is gone"]
