"""`tessera bench --only ring`: FrameSets from a writer's process through the real socket and ring to a reader's.

As between the camera process and `core`: the writer lets `Monitor` look at a frame, copies it into the ring and
announces it over the Unix socket; the reader views it where it lies, looks at its first and last pixels, and asks
whether it is intact. The pictures are made up; nobody judges them.

A camera waits for nobody, and `core` passes over frames that it has no time for. Here no frame may be lost, so the
writer, paced to `FPS`, holds a frame back for as long as the kernel's queue of announcements is not empty (SIOCOUTQ of
unix(7)): a reader that a busy machine has put off falls behind by one frame, and the report says how often it did.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from drivers.camera.monitor import Monitor
from firmware.runtime import ipc
from firmware.runtime.messages import FrameReady, FromCamera, ToCamera
from firmware.runtime.ring import Ring, RingReader, RingWriter, announcement

FRAMES, FPS = 10_000, 200.0
WIDTH, HEIGHT = 640, 480
PICTURES = 16  # more than fit into a processor's nearest cache
HELD_S, LAST_S = 0.0005, 10.0
CAMERA = CameraInfo(serial="BENCH", firmware="simulated", calibration_digest="", flood=True)
LIT = Emitter(flood=1.0, dots=1.0)
INTRINSICS = Intrinsics(width=WIDTH, height=HEIGHT, fx=600.0, fy=600.0, cx=319.5, cy=239.5)


class Written(msgspec.Struct, frozen=True):
    """The writer's own account: CPU milliseconds in all, those of the monitor, and how often a frame was held back."""

    cpu_ms: float
    monitor_ms: float
    held: int


class Figures(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        frames: written and announced.
        lost: announced and not seen whole, in order, under their numbers.
        bytes_per_frame: of its depth, infrared and ambient images together.
        reader_copied_bytes: of all views that were not shared memory itself.
        writer_cpu_ms: per frame: monitor, copy, announcement, pacing.
        monitor_cpu_ms: per frame, the monitor's share of that.
        reader_cpu_ms: per frame: announcement, view, check.
        copy_ms: CPU time that copying one frame out of the ring would cost the reader besides.
        latency_p50_ms: from before the monitor's look until the reader has the view; also `latency_p99_ms`.
        held: times that the writer held a frame back.
    """

    frames: int
    lost: int
    bytes_per_frame: int
    reader_copied_bytes: int
    writer_cpu_ms: float
    monitor_cpu_ms: float
    reader_cpu_ms: float
    copy_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    held: int


class _Reader:
    """Core's end, and what it saw."""

    def __init__(self, ring: RingReader, frames: int) -> None:
        self._ring, self._frames = ring, frames
        self.whole = self.copied_bytes = self.cpu_ns = self.bytes_per_frame = 0
        self.copy_ns: list[int] = []
        self.latency_ns: list[int] = []
        self.done = asyncio.Event()

    async def attend(self, peer: ipc.Peer[Any]) -> None:
        began = time.process_time_ns()
        try:
            for expected in range(self._frames):
                announced = await peer.receive()
                self._look(announced, expected)
        finally:
            self.cpu_ns = time.process_time_ns() - began - sum(self.copy_ns)
            self.done.set()

    def _look(self, announced: FrameReady, expected: int) -> None:
        frames = self._ring.view(announced, CAMERA)
        self.latency_ns.append(time.monotonic_ns() - announced.timestamp_ns)
        if frames is None or frames.ambient is None:
            return
        images: list[NDArray[Any]] = [frames.depth_mm, frames.ir, frames.ambient]
        stamped = all(image[0, 0] == image[-1, -1] == expected for image in images)
        self.copied_bytes += sum(image.nbytes for image in images if image.flags.owndata)
        self.bytes_per_frame = sum(image.nbytes for image in images)
        self.whole += stamped and announced.sequence == expected and self._ring.intact(announced)
        if expected % 100 == 99:
            before = time.process_time_ns()
            for image in images:
                image.copy()
            self.copy_ns.append(time.process_time_ns() - before)


def measure(frames: int = FRAMES, fps: float = FPS) -> Figures:
    """Send `frames` at most `fps` a second. Raises RuntimeError where the writer fails."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as folder, contextlib.closing(Ring()) as ring:
        return asyncio.run(_measure(Path(folder) / "camera.sock", ring, frames, fps))


async def _measure(path: Path, ring: Ring, frames: int, fps: float) -> Figures:
    reader = _Reader(RingReader(ring.reader_fd), frames)
    server = await ipc.serve(path, FromCamera, reader.attend)
    command = [sys.executable, "-m", "hil.rig.bench_ring", str(path), str(ring.writer_fd), str(frames), str(fps)]
    writer = await asyncio.create_subprocess_exec(*command, pass_fds=[ring.writer_fd], stdout=subprocess.PIPE)
    told, _ = await writer.communicate()
    if writer.returncode != 0:
        raise RuntimeError(f"the writer ended with status {writer.returncode}")
    await reader.done.wait()
    await server.close()
    account = msgspec.json.decode(told, type=Written)
    p50, p99 = np.percentile(np.array(reader.latency_ns) / 1e6, (50, 99))
    return Figures(
        frames=frames,
        lost=frames - reader.whole,
        bytes_per_frame=reader.bytes_per_frame,
        reader_copied_bytes=reader.copied_bytes,
        writer_cpu_ms=round(account.cpu_ms / frames, 3),
        monitor_cpu_ms=round(account.monitor_ms / frames, 3),
        reader_cpu_ms=round(reader.cpu_ns / 1e6 / frames, 3),
        copy_ms=round(float(np.median(reader.copy_ns)) / 1e6, 3) if reader.copy_ns else 0.0,
        latency_p50_ms=round(float(p50), 3),
        latency_p99_ms=round(float(p99), 3),
        held=account.held,
    )


def write(path: Path, ring_fd: int, frames: int, fps: float) -> Written:
    """Be the camera process: write and announce."""
    rng = np.random.default_rng(0)
    shape = (HEIGHT, WIDTH)
    pictures = [
        (
            rng.uniform(300, 1000, shape).astype(np.float32),
            rng.integers(0, 1024, shape, np.uint16),
            rng.integers(0, 1024, shape, np.uint16),
        )
        for _ in range(PICTURES)
    ]
    ring, monitor, monitor_ns, held = RingWriter(ring_fd), Monitor(), 0, 0
    with ipc.connect(path, ToCamera, 5.0) as core:
        cpu_ns, began = time.process_time_ns(), time.monotonic()
        for sequence in range(frames):
            images = pictures[sequence % PICTURES]
            for image in images:
                image[0, 0] = image[-1, -1] = sequence
            time.sleep(max(0.0, began + sequence / fps - time.monotonic()))
            while _unread_bytes(core):
                held += 1
                time.sleep(HELD_S)
            shot = _frame_set(sequence, *images)
            before_ns = time.process_time_ns()
            monitor.passes(shot, time.monotonic_ns())
            monitor_ns += time.process_time_ns() - before_ns
            core.send(announcement(shot, ring.write(shot), capture=1))
        cpu_ns = time.process_time_ns() - cpu_ns
        with contextlib.suppress(ipc.IpcClosedError):
            core.receive(LAST_S)  # the reader hangs up when it has had all
    return Written(cpu_ns / 1e6, monitor_ns / 1e6, held)


def _frame_set(
    sequence: int, depth_mm: NDArray[np.float32], ir: NDArray[np.uint16], ambient: NDArray[np.uint16]
) -> FrameSet:
    # views: a FrameSet makes its arrays read-only, and these are stamped again
    now_ns = time.monotonic_ns()
    return FrameSet(sequence, now_ns, ir[:], depth_mm[:], INTRINSICS, LIT, 1000, 1.0, CAMERA, ambient[:])


def _unread_bytes(core: ipc.Connection[ToCamera]) -> int:
    count: int = struct.unpack("i", fcntl.ioctl(core.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return count


def show(console: Console, figures: Figures) -> None:
    """Print `figures` as a table."""
    table = Table("frames through the ring", "")
    table.add_row("written, lost", f"{figures.frames}, {figures.lost}")
    table.add_row("bytes of a frame", f"{figures.bytes_per_frame}")
    table.add_row("copied by writer, by reader", f"once, {figures.reader_copied_bytes} bytes")
    table.add_row("CPU ms per frame, writer", f"{figures.writer_cpu_ms:.2f}")
    table.add_row("of that the monitor", f"{figures.monitor_cpu_ms:.2f}")
    table.add_row("CPU ms per frame, reader", f"{figures.reader_cpu_ms:.2f}")
    table.add_row("a second copy would cost, CPU ms", f"{figures.copy_ms:.2f}")
    table.add_row("latency ms, p50, p99", f"{figures.latency_p50_ms:.2f}, {figures.latency_p99_ms:.2f}")
    table.add_row("held back", f"{figures.held}")
    console.print(table)


if __name__ == "__main__":
    socket_path, fd, count, rate = sys.argv[1:]
    os.write(1, msgspec.json.encode(write(Path(socket_path), int(fd), int(count), float(rate))))
