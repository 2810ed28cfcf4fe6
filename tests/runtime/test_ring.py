"""Frames in shared memory: whole or not at all, bounded, and gone when their owner is."""

import math
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.runtime.messages import FrameReady
from firmware.runtime.ring import SLOTS, Ring, RingError, RingReader, RingWriter, announcement

CAMERA = CameraInfo(serial="fake-1", firmware="1", calibration_digest="", flood=True)
EMITTER = Emitter(flood=1.0, dots=0.0)


def frame(
    sequence: int, value: int = 7, size: tuple[int, int] = (48, 64), ambient: bool = True, dots: bool = True
) -> FrameSet:
    """A frame whose every pixel says `value`."""
    return FrameSet(
        sequence=sequence,
        timestamp_ns=1000 + sequence,
        ir=np.full(size, value, np.uint16),
        depth_mm=np.full(size, value, np.float32),
        intrinsics=Intrinsics(width=size[1], height=size[0], fx=50.0, fy=50.0, cx=32.0, cy=24.0),
        emitter=EMITTER,
        exposure_us=100,
        gain=1.0,
        camera=CAMERA,
        ambient=np.full(size, value + 1, np.uint16) if ambient else None,
        dots=np.full(size, value + 2, np.uint16) if dots else None,
    )


def ready(frames: FrameSet, slot: int) -> FrameReady:
    return announcement(frames, slot, capture=1)


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


@pytest.mark.parametrize("dots", [True, False])
@pytest.mark.parametrize("ambient", [True, False])
@pytest.mark.parametrize("size", [(48, 64), (47, 63), (800, 1280)])
def test_a_frame_arrives_whole(ring: Ring, size: tuple[int, int], ambient: bool, dots: bool) -> None:
    sent = frame(1, size=size, ambient=ambient, dots=dots)
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    announced = ready(sent, writer.write(sent))
    got = reader.view(announced, CAMERA)
    assert got is not None
    assert reader.intact(announced)
    np.testing.assert_array_equal(got.ir, sent.ir)
    np.testing.assert_array_equal(got.depth_mm, sent.depth_mm)
    for one, other in ((got.ambient, sent.ambient), (got.dots, sent.dots)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)
    assert got.ir.dtype == np.uint16
    assert (got.sequence, got.timestamp_ns, got.camera) == (1, 1001, CAMERA)


def test_nan_depth_and_byte_infrared_survive(ring: Ring) -> None:
    depth = np.full((48, 64), np.nan, np.float32)
    plain = frame(1)
    sent = FrameSet(1, 5, np.full((48, 64), 9, np.uint8), depth, plain.intrinsics, EMITTER, 1, 1.0, CAMERA)
    got = RingReader(ring.reader_fd).view(ready(sent, RingWriter(ring.writer_fd).write(sent)), CAMERA)
    assert got is not None
    assert np.isnan(got.depth_mm).all()
    assert got.ir.dtype == np.uint8


def test_reader_cannot_write(ring: Ring) -> None:
    with pytest.raises(PermissionError):
        mmap.mmap(ring.reader_fd, 4096)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(ring.reader_fd, b"x")
    with pytest.raises(RingError, match="cannot be mapped"):
        RingWriter(ring.reader_fd)


def test_ring_cannot_be_resized_under_its_reader(ring: Ring) -> None:
    for size in (0, 1 << 30):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.writer_fd, size)


def test_unsealed_memory_is_no_ring() -> None:
    fd = os.memfd_create("imposter", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 4096)
    with pytest.raises(RingError, match="not a sealed ring"):
        RingReader(fd)
    os.close(fd)


def test_frame_being_written_is_refused(ring: Ring) -> None:
    sent = frame(1)
    slot = RingWriter(ring.writer_fd).write(sent)
    with mmap.mmap(ring.writer_fd, 4096) as memory:
        memory[0] |= 1
    assert RingReader(ring.reader_fd).view(ready(sent, slot), CAMERA) is None


def test_torn_frame_is_refused_while_a_writer_races(ring: Ring) -> None:
    """A writer laps the reader all the time; whatever is still intact once it was looked at is of one piece."""
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    done = threading.Event()

    def race() -> None:
        sequence = SLOTS
        while not done.is_set():
            writer.write(frame(sequence, value=sequence % 250, size=(240, 320)))
            sequence += 1

    thread = threading.Thread(target=race)
    thread.start()
    whole = torn = 0
    try:
        for _ in range(20_000):
            header = np.frombuffer(mmap.mmap(ring.reader_fd, 4096, prot=mmap.PROT_READ), np.int64, 2, 8)
            sequence, timestamp_ns = (int(x) for x in header)
            about = frame(sequence, size=(240, 320))
            if timestamp_ns != about.timestamp_ns:
                continue
            got = reader.view(ready(about, 0), CAMERA)
            if got is None:
                continue
            one_piece = np.unique(got.ir).size == 1 and bool((got.depth_mm == got.ir).all())
            intact = reader.intact(ready(about, 0))
            whole += intact
            torn += not intact
            assert one_piece or not intact
            if whole >= 50 and torn >= 5:
                break
    finally:
        done.set()
        thread.join()
    assert whole > 0


def test_nothing_is_copied_for_the_reader(ring: Ring) -> None:
    sent = frame(1)
    reader = RingReader(ring.reader_fd)
    announced = ready(sent, RingWriter(ring.writer_fd).write(sent))
    one, other = reader.view(announced, CAMERA), reader.view(announced, CAMERA)
    assert one is not None
    assert other is not None
    for name in ("ir", "depth_mm", "ambient", "dots"):
        assert np.shares_memory(getattr(one, name), getattr(other, name))
        assert not getattr(one, name).flags.writeable


@pytest.mark.parametrize("what", ["zeroed", "lapped", "being overwritten", "zeroed and written again"])
def test_frame_that_changed_while_it_was_judged_is_not_intact(ring: Ring, what: str) -> None:
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    announced = ready(frame(1), writer.write(frame(1)))
    assert reader.view(announced, CAMERA) is not None
    assert reader.intact(announced)
    if what == "lapped":
        for i in range(SLOTS):
            writer.write(frame(2 + i))
    elif what == "being overwritten":
        with mmap.mmap(ring.writer_fd, 4096) as memory:
            memory[0] |= 1
    else:
        ring.zero()
    if what == "zeroed and written again":
        RingWriter(ring.writer_fd).write(frame(2))  # the same slot, and the same version
    assert not reader.intact(announced)


def test_intact_is_about_the_frame_viewed_last(ring: Ring) -> None:
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    first, second = (ready(frame(i), writer.write(frame(i))) for i in range(2))
    assert not reader.intact(first)
    reader.view(first, CAMERA)
    reader.view(second, CAMERA)
    assert reader.intact(second)
    assert not reader.intact(first)


def test_announcement_of_another_frame_is_refused(ring: Ring) -> None:
    sent, other = frame(1), frame(2)
    slot = RingWriter(ring.writer_fd).write(sent)
    reader = RingReader(ring.reader_fd)
    assert reader.view(ready(other, slot), CAMERA) is None
    assert reader.view(ready(frame(1, size=(64, 48)), slot), CAMERA) is None
    assert reader.view(ready(sent, 63), CAMERA) is None


@pytest.mark.parametrize("fault", [{"fx": math.nan}, {"fy": 0.0}, {"fx": -50.0}, {"cx": math.inf}, {"cy": 1e300}])
def test_announcement_with_an_impossible_lens_is_refused(ring: Ring, fault: dict[str, float]) -> None:
    sent = frame(1)
    announced = ready(sent, RingWriter(ring.writer_fd).write(sent))
    lens = msgspec.structs.replace(announced.intrinsics, **fault)
    assert RingReader(ring.reader_fd).view(msgspec.structs.replace(announced, intrinsics=lens), CAMERA) is None


def test_slot_overwritten_by_later_frames_is_refused(ring: Ring) -> None:
    writer, reader = RingWriter(ring.writer_fd), RingReader(ring.reader_fd)
    slots = [writer.write(frame(i)) for i in range(SLOTS + 1)]
    assert slots[SLOTS] == slots[0]
    assert reader.view(ready(frame(0), slots[0]), CAMERA) is None
    assert reader.view(ready(frame(SLOTS), slots[SLOTS]), CAMERA) is not None


def test_frame_too_large_for_the_ring_is_refused(ring: Ring) -> None:
    with pytest.raises(RingError, match="1281x800"):
        RingWriter(ring.writer_fd).write(frame(1, size=(800, 1281)))


@settings(max_examples=200, deadline=None)
@given(header=st.binary(min_size=43, max_size=64), honest=st.booleans())
def test_garbage_header_never_crashes_the_reader(header: bytes, honest: bool) -> None:
    ring = Ring()
    sent = frame(1)
    slot = RingWriter(ring.writer_fd).write(sent)
    with mmap.mmap(ring.writer_fd, 4096) as memory:
        # an honest sequence and time, and a lie about sizes, is the likelier attack
        start = 24 if honest else 0
        memory[start : start + len(header)] = header
    got = RingReader(ring.reader_fd).view(ready(sent, slot), CAMERA)
    assert got is None or got.ir.shape == (48, 64)
    ring.close()


def test_zeroed_ring_holds_nothing(ring: Ring) -> None:
    sent = frame(1)
    slot = RingWriter(ring.writer_fd).write(sent)
    ring.zero()
    assert RingReader(ring.reader_fd).view(ready(sent, slot), CAMERA) is None
    with mmap.mmap(ring.reader_fd, os.fstat(ring.reader_fd).st_size, prot=mmap.PROT_READ) as memory:
        assert not np.frombuffer(memory, np.uint8).any()


def test_writer_killed_half_way_leaves_nothing_after_zeroing(ring: Ring) -> None:
    """A process of its own dies between the first and the last byte of a frame; the next one starts clean."""
    script = f"import mmap, os, signal; m = mmap.mmap({ring.writer_fd}, 4096); m[0] = 1; m[64:70] = b'a face'"
    script += "; os.kill(os.getpid(), signal.SIGKILL)"
    died = subprocess.run([sys.executable, "-c", script], pass_fds=[ring.writer_fd], cwd=Path("/"), check=False)
    assert died.returncode == -9
    with mmap.mmap(ring.reader_fd, 4096, prot=mmap.PROT_READ) as memory:
        assert memory[64:70] == b"a face"
        assert RingReader(ring.reader_fd).view(ready(frame(0), 0), CAMERA) is None
        ring.zero()
        assert memory[:] == bytes(4096)
    sent = frame(1)
    slot = RingWriter(ring.writer_fd).write(sent)
    assert RingReader(ring.reader_fd).view(ready(sent, slot), CAMERA) is not None
