"""Frames from the camera process to `core`, through shared memory that holds nothing longer than it must.

Rules kept here:
- The supervisor makes one memfd, sealed against shrinking and growing, so that no reader can be hit by SIGBUS.
- `camera` gets it read-write. `core` gets a descriptor opened read-only: the kernel refuses it a writable mapping.
- A frame is copied once, by its writer. `core` judges it where it lies, and asks afterwards whether it is `intact`.
- A slot is a seqlock: its version is odd while it is written, and zero once it is zeroed. What was judged on a frame
  whose header has changed meanwhile is thrown away. A torn frame is no frame.
- Nothing read from shared memory is believed: the header is copied once, and its sizes are checked against the slot,
  then against the message. No view is ever made from sizes that could still change.
- Zeroed by the writer when capture stops, and by the supervisor when either side dies and at the end.

Python has no memory fences. What orders a write before its read is the `FrameReady` message, which passes through
the kernel; the seqlock catches a writer that has lapped a slow reader.

A hostile camera process can change pixels while `core` reads them and leave the version alone. That costs no security:
whoever owns the camera process can show any frame at all, for as long as they like, so a frame that is one thing to the
detector and another to a gate gives them nothing that a frame made up whole does not. What must hold, and does, is that
whatever becomes an index or a size is copied first, and that nothing of a view is kept once `intact` was asked.
"""

import errno
import fcntl
import math
import mmap
import os
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drivers.camera import CameraInfo, FrameSet, Intrinsics
from firmware.runtime.messages import FrameReady

# A decision takes 110 ms where it is slow: at 30 frames per second, three frames come meanwhile and one is being
# written; at 60, seven. A slot that is never written costs no memory.
SLOTS = 8
MAX_WIDTH, MAX_HEIGHT = 1280, 800
# no lens of ours has a focal length or a centre beyond this
MOST_PX = 100_000

_HEADER = struct.Struct("<QqqIIBBB")
_HEADER_BYTES = 64
_SLOT_BYTES = -(-(_HEADER_BYTES + MAX_WIDTH * MAX_HEIGHT * (4 + 3 * 2)) // mmap.PAGESIZE) * mmap.PAGESIZE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

_Image = NDArray[np.uint8] | NDArray[np.uint16]


class RingError(Exception):
    """A ring that cannot be used, or a frame that does not fit it; the message says which and why."""


class _Header(NamedTuple):
    """First bytes of a slot. `pixel_bytes`: of `ir`, and of `ambient` and `dots` where they are: 0 or 1 says so."""

    version: int
    sequence: int
    timestamp_ns: int
    width: int
    height: int
    pixel_bytes: int
    has_ambient: int
    has_dots: int

    def is_sane(self) -> bool:
        """Whether the slot is complete and every size lies within it."""
        return (
            self.version > 0
            and self.version % 2 == 0
            and 1 <= self.width <= MAX_WIDTH
            and 1 <= self.height <= MAX_HEIGHT
            and self.pixel_bytes in (1, 2)
            and self.has_ambient in (0, 1)
            and self.has_dots in (0, 1)
        )


class Ring:
    """The supervisor's end: makes the memory, hands out descriptors, zeroes it."""

    def __init__(self) -> None:
        self.writer_fd = os.memfd_create("tessera-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.writer_fd, SLOTS * _SLOT_BYTES)
        # read-only for its owner too, so that another user's `core` cannot open it again for writing
        os.fchmod(self.writer_fd, 0o400)
        fcntl.fcntl(self.writer_fd, fcntl.F_ADD_SEALS, _SEALS)
        self.reader_fd = os.open(f"/proc/self/fd/{self.writer_fd}", os.O_RDONLY | os.O_CLOEXEC)
        self._memory = mmap.mmap(self.writer_fd, SLOTS * _SLOT_BYTES)

    def zero(self) -> None:
        """Overwrite everything with zeros and give the pages back."""
        _zero(self.writer_fd, self._memory)

    def close(self) -> None:
        """Zero the ring and close both descriptors."""
        self.zero()
        self._memory.close()
        os.close(self.reader_fd)
        os.close(self.writer_fd)


class RingWriter:
    """The camera process's end. Not thread-safe.

    Raises:
        RingError: `fd` is not a sealed ring of the expected size, or not writable.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._memory = _map(fd, mmap.PROT_READ | mmap.PROT_WRITE)
        self._next = 0

    def write(self, frames: FrameSet) -> int:
        """Copy `frames` into the next slot; return the slot's number.

        Raises:
            RingError: the frame is larger than a slot.
        """
        height, width = frames.ir.shape
        if width > MAX_WIDTH or height > MAX_HEIGHT:
            raise RingError(f"frame is {width}x{height}, the ring holds at most {MAX_WIDTH}x{MAX_HEIGHT}")
        slot = self._next
        self._next = (slot + 1) % SLOTS
        offset = slot * _SLOT_BYTES
        version = int.from_bytes(self._memory[offset : offset + 8], "little") | 1
        struct.pack_into("<Q", self._memory, offset, version)
        others = frames.ambient, frames.dots
        has = (int(image is not None) for image in others)
        header = _Header(version, frames.sequence, frames.timestamp_ns, width, height, frames.ir.itemsize, *has)
        depth, ir, *places = _images(self._memory, offset, header)
        depth[:] = frames.depth_mm
        ir[:] = frames.ir
        for place, image in zip(places, others, strict=True):
            if place is not None and image is not None:
                place[:] = image
        _HEADER.pack_into(self._memory, offset, *header)
        struct.pack_into("<Q", self._memory, offset, version + 1)
        return slot

    def zero(self) -> None:
        """Overwrite every frame with zeros."""
        _zero(self._fd, self._memory)


class RingReader:
    """The core process's end.

    Raises:
        RingError: `fd` is not a sealed ring of the expected size.
    """

    def __init__(self, fd: int) -> None:
        self._memory = _map(fd, mmap.PROT_READ)
        self._viewed: tuple[FrameReady | None, _Header | None] = (None, None)

    def view(self, message: FrameReady, camera: CameraInfo) -> FrameSet | None:
        """Return the frame that `message` announces, or None if it is gone, being written or not as announced.

        Its arrays are read-only views of shared memory: judge it, ask `intact`, and keep nothing of it.

        Args:
            message: where the frame lies, and its scalars.
            camera: who took it, from the camera's `CameraHello`.
        """
        if message.slot >= SLOTS or not _is_a_lens(message.intrinsics):
            return None
        header = self._header(message.slot)
        announced = (message.sequence, message.timestamp_ns, message.intrinsics.width, message.intrinsics.height)
        if not header.is_sane() or header[1:5] != announced:
            return None
        self._viewed = message, header
        depth, ir, ambient, dots = _images(self._memory, message.slot * _SLOT_BYTES, header)
        return FrameSet(
            sequence=message.sequence,
            timestamp_ns=message.timestamp_ns,
            ir=ir,
            depth_mm=depth,
            intrinsics=message.intrinsics,
            emitter=message.emitter,
            exposure_us=message.exposure_us,
            gain=message.gain,
            camera=camera,
            ambient=ambient,
            dots=dots,
        )

    def intact(self, message: FrameReady) -> bool:
        """Whether the frame viewed last is the one `message` announced and lies there as it did when it was viewed."""
        viewed, header = self._viewed
        return viewed == message and self._header(message.slot) == header

    def _header(self, slot: int) -> _Header:
        return _Header._make(_HEADER.unpack_from(self._memory, slot * _SLOT_BYTES))


def announcement(frames: FrameSet, slot: int, capture: int) -> FrameReady:
    """What tells `core` that `frames` lie in `slot`."""
    return FrameReady(
        capture=capture,
        slot=slot,
        sequence=frames.sequence,
        timestamp_ns=frames.timestamp_ns,
        intrinsics=frames.intrinsics,
        emitter=frames.emitter,
        exposure_us=frames.exposure_us,
        gain=frames.gain,
    )


def _is_a_lens(intrinsics: Intrinsics) -> bool:
    """Whether points can be computed with it; the announcement comes from the camera process too."""
    numbers = (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy)
    return all(math.isfinite(number) and abs(number) <= MOST_PX for number in numbers) and min(numbers[:2]) >= 1


def _images(
    memory: mmap.mmap, offset: int, header: _Header
) -> tuple[NDArray[np.float32], _Image, _Image | None, _Image | None]:
    """Return views of a slot's depth, infrared, ambient and dot images, each in a place of its own.

    `header` has been checked.
    """
    shape = (header.height, header.width)
    pixels = header.height * header.width
    start = offset + _HEADER_BYTES
    depth = np.frombuffer(memory, np.float32, pixels, start).reshape(shape)
    ir, ambient, dots = (
        _image(memory, header.pixel_bytes, start + (4 + place * header.pixel_bytes) * pixels, shape) if there else None
        for place, there in enumerate((True, header.has_ambient, header.has_dots))
    )
    assert ir is not None
    return depth, ir, ambient, dots


def _image(memory: mmap.mmap, pixel_bytes: int, start: int, shape: tuple[int, int]) -> _Image:
    pixels = shape[0] * shape[1]
    if pixel_bytes == 1:
        return np.frombuffer(memory, np.uint8, pixels, start).reshape(shape)
    return np.frombuffer(memory, np.uint16, pixels, start).reshape(shape)


def _map(fd: int, protection: int) -> mmap.mmap:
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        size = os.fstat(fd).st_size
        if not sealed or size != SLOTS * _SLOT_BYTES:
            raise RingError(f"descriptor {fd} is not a sealed ring of {SLOTS * _SLOT_BYTES} bytes, but of {size}")
        return mmap.mmap(fd, size, prot=protection)
    except OSError as error:
        raise RingError(f"descriptor {fd} cannot be mapped as a ring: {error.strerror}") from error


def _zero(fd: int, memory: mmap.mmap) -> None:
    """Overwrite every page there is, then give them all back; a page never written is not made just to be zeroed."""
    end = 0
    while end < len(memory):
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        np.frombuffer(memory, np.uint8)[start:end] = 0
    memory.madvise(mmap.MADV_REMOVE)
