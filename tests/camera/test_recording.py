import math
import os
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn

import foxglove.messages
import msgspec
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mcap.reader import make_reader
from mcap.writer import Writer

from drivers.camera import (
    CameraInfo,
    CameraLostError,
    CameraNotFoundError,
    Emitter,
    FrameSet,
    FrameTimeoutError,
    Intrinsics,
    RecordingEndError,
)
from drivers.camera.recording import RecordingCamera, RecordingWriteError, RecordingWriter, layout, open_camera
from drivers.camera.recording.schemas import schema
from drivers.camera.recording.session import SESSION, TRUTH

Make = Callable[[int], list[FrameSet]]
CONSENT = "synthetic scene: nobody is in it"


def assert_same(a: FrameSet, b: FrameSet) -> None:
    """Bit for bit, NaN payloads included."""
    for field in fields(FrameSet):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            assert (left.dtype, left.shape) == (right.dtype, right.shape), field.name
            assert left.tobytes() == right.tobytes(), field.name
        else:
            assert left == right, field.name


def write(path: Path, frames: list[FrameSet]) -> Path:
    with RecordingWriter(path, CONSENT) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def drain(camera: RecordingCamera, into: list[FrameSet]) -> NoReturn:
    while True:
        into.append(camera.read(0.0))


def read_all(path: Path) -> tuple[list[FrameSet], BaseException]:
    """Every frame, and the error it ends in; the same error comes again."""
    camera = RecordingCamera(path)
    camera.start()
    frames: list[FrameSet] = []
    with pytest.raises((CameraLostError, RecordingEndError)) as caught:
        drain(camera, frames)
    with pytest.raises(caught.type):
        camera.read(0.0)
    camera.close()
    return frames, caught.value


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
FOCAL_PX = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@st.composite
def frame_lists(draw: st.DrawFn) -> list[FrameSet]:
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    image = hnp.arrays(dtype, (height, width))
    # every bit pattern, signalling NaNs too
    depth = hnp.arrays(np.uint32, (height, width)).map(lambda bits: bits.view(np.float32))
    intrinsics = Intrinsics(width, height, draw(FOCAL_PX), draw(FOCAL_PX), draw(FLOATS), draw(FLOATS))
    serial, firmware, digest = (draw(st.text(max_size=9)) for _ in range(3))
    measured = st.none() | st.floats(0, 20, exclude_min=True)
    camera = CameraInfo(serial, firmware, digest, draw(st.booleans()), draw(measured), draw(measured))
    return [
        FrameSet(
            sequence=draw(st.integers(0, 2**40)),
            timestamp_ns=draw(st.integers(0, 2**62)),
            ir=draw(image),
            depth_mm=draw(depth),
            intrinsics=intrinsics,
            emitter=Emitter(draw(FLOATS), draw(FLOATS), draw(st.none() | st.integers(0, 255))),
            exposure_us=draw(st.integers(0, 10**6)),
            gain=draw(FLOATS),
            camera=camera,
            ambient=draw(st.none() | image),
            dots=draw(st.none() | image),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=frame_lists())
def test_every_bit_comes_back(tmp_path: Path, frames: list[FrameSet]) -> None:
    path = tmp_path / "any.mcap"
    path.unlink(missing_ok=True)
    again, end = read_all(write(path, frames))
    assert isinstance(end, RecordingEndError)
    assert len(again) == len(frames)
    for a, b in zip(frames, again, strict=True):
        assert_same(a, b)


def test_a_recording_older_than_the_constants_of_liveness_has_none() -> None:
    told = b'{"sequence":0,"timestamp_ns":5,"emitter":{"flood":1.0,"dots":1.0,"code_index":null},"exposure_us":1,'
    told += b'"gain":1.0,"camera":{"serial":"s","firmware":"f","calibration_digest":"d","flood":true},"images":[]}'
    camera = msgspec.json.decode(told, type=layout.FrameRecord).camera
    assert (camera.flood_response, camera.dot_sigma_px) == (None, None)
    for lie in (b'"flood_response":-1', b'"flood_response":0', b'"flood_response":1e9', b'"dot_sigma_px":-1'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(told.replace(b'"flood":true', b'"flood":true,' + lie), type=layout.FrameRecord)


def test_a_plain_mcap_reader_finds_foxglove_messages_and_the_consent(tmp_path: Path, synthetic_frames: Make) -> None:
    path = write(tmp_path / "scene.mcap", synthetic_frames(3))
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        names = {c.topic: (summary.schemas[c.schema_id].name, c.message_encoding) for c in summary.channels.values()}
        assert names == {
            "/camera/calibration": ("foxglove.CameraCalibration", "protobuf"),
            "/camera/ir": ("foxglove.RawImage", "protobuf"),
            "/camera/ambient": ("foxglove.RawImage", "protobuf"),
            "/camera/dots": ("foxglove.RawImage", "protobuf"),
            "/camera/depth": ("foxglove.RawImage", "protobuf"),
            "/camera/frame": ("tessera.FrameRecord", "json"),
            "/session": ("tessera.SessionEvent", "json"),
            "/truth": ("tessera.Truth", "json"),
        }
        assert summary.statistics.message_count == 3 * 5
        assert [m.metadata for m in reader.iter_metadata()] == [{"consent": CONSENT}]
        schemas = {s.name: msgspec.json.decode(s.data) for s in summary.schemas.values() if s.encoding == "jsonschema"}
        assert {name: data["type"] for name, data in schemas.items()} == dict.fromkeys(
            ("tessera.FrameRecord", "tessera.SessionEvent", "tessera.Truth"), "object"
        )


@pytest.mark.parametrize("name", ["RawImage", "CameraCalibration"])
def test_the_schemas_are_foxgloves_own(name: str) -> None:
    def table(data: bytes) -> list[tuple[object, ...]]:
        found = [m for file in FileDescriptorSet.FromString(data).file for m in file.message_type if m.name == name]
        return sorted((f.number, f.name, f.type, f.label, f.type_name) for f in found[0].field)

    theirs = getattr(foxglove.messages, name).get_schema()
    assert theirs.name == f"foxglove.{name}"
    assert table(schema(name)) == table(theirs.data)


def test_a_file_cut_anywhere_gives_its_whole_frames_and_then_one_error(tmp_path: Path, synthetic_frames: Make) -> None:
    frames = synthetic_frames(4)
    whole = write(tmp_path / "whole.mcap", frames).read_bytes()
    cut = tmp_path / "cut.mcap"
    counts = []
    first = len(write(tmp_path / "one.mcap", frames[:1]).read_bytes())
    for size in [*range(first, len(whole), len(whole) // 40), len(whole) - 9, len(whole) - 8 - 29]:
        cut.write_bytes(whole[:size])
        again, end = read_all(cut)
        for a, b in zip(frames, again, strict=False):
            assert_same(a, b)
        assert isinstance(end, CameraLostError)
        assert f"truncated after {len(again)} whole frames" in str(end)
        counts.append(len(again))
    assert counts == sorted(counts)
    assert set(counts) == {1, 2, 3, 4}


@pytest.mark.parametrize("size", [7, 8, 20, 100, 3000, 100_000])
def test_a_file_cut_in_its_first_frame_is_no_camera(tmp_path: Path, synthetic_frames: Make, size: int) -> None:
    path = write(tmp_path / "whole.mcap", synthetic_frames(1))
    os.truncate(path, size)
    with pytest.raises(CameraNotFoundError, match=r"truncated after 0 whole frames|not an MCAP file"):
        RecordingCamera(path)


def test_a_killed_writer_leaves_every_frame_it_returned_from(tmp_path: Path, synthetic_frames: Make) -> None:
    path = tmp_path / "killed.mcap"
    writer = RecordingWriter(path, CONSENT)
    for frame in synthetic_frames(3):
        writer.write(frame)
    (tmp_path / "copy.mcap").write_bytes(path.read_bytes())  # what the disk held, had it died here
    writer.close()
    again, end = read_all(tmp_path / "copy.mcap")
    assert len(again) == 3
    assert isinstance(end, CameraLostError)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_never_changes_a_frame_or_crashes(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "small.mcap"
    intrinsics = Intrinsics(3, 2, 1.0, 1.0, 1.0, 1.0)
    frame = FrameSet(
        0, 5, np.full((2, 3), 7, np.uint8), np.ones((2, 3), np.float32), intrinsics, Emitter(1.0, 0.0), 1, 1.0,
        CameraInfo("s", "f", "d", flood=True),
    )  # fmt: skip
    if not path.exists():
        write(path, [frame, frame])
    damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    victim = tmp_path / "victim.mcap"
    victim.write_bytes(damaged)
    try:
        again, _ = read_all(victim)
    except CameraNotFoundError:
        return
    assert len(again) <= 2
    for found in again:
        assert_same(frame, found)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"\x89MCAP0\r\n", b"\x89MCAP0\r\n" + b"\xff" * 64])
def test_a_file_of_another_kind_is_no_camera(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.mcap"
    path.write_bytes(content)
    with pytest.raises(CameraNotFoundError, match=r"other\.mcap"):
        open_camera({"path": str(path)})


def test_another_programs_mcap_is_no_camera(tmp_path: Path) -> None:
    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start("ros2", "other")
        writer.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(CameraNotFoundError, match="not a Tessera recording"):
        RecordingCamera(path)


def test_a_missing_file_and_an_empty_recording_are_no_camera(tmp_path: Path) -> None:
    with pytest.raises(CameraNotFoundError, match="No such file"):
        RecordingCamera(tmp_path / "none.mcap")
    with pytest.raises(CameraNotFoundError, match="without frames"):
        RecordingCamera(write(tmp_path / "empty.mcap", []))


def encoding_of(topic: str) -> str:
    return "json" if topic in (layout.FRAME, SESSION, TRUTH) else "protobuf"


def hand_made(path: Path, messages: list[tuple[str, bytes]]) -> Path:
    """A recording of one writer's own channels, with whatever messages."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=1)
        writer.start(layout.PROFILE, "test")
        channels = {t: writer.register_channel(t, encoding_of(t), 0) for t in dict(messages)}
        for topic, data in messages:
            writer.add_message(channels[topic], 1, data, 1)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def parts_of(frame: FrameSet) -> dict[str, bytes]:
    record = layout.FrameRecord(0, 1, frame.emitter, 1, 1.0, frame.camera, ("ir", "depth"))
    return {
        layout.CALIBRATION: layout.encode_calibration(frame.intrinsics, 1),
        "/camera/ir": layout.encode_image(frame.ir, 1),
        "/camera/depth": layout.encode_image(frame.depth_mm, 1),
        layout.FRAME: msgspec.json.encode(record),
    }


@pytest.mark.parametrize(
    "attack", ["ir missing", "ir twice", "image swapped", "narrow image", "huge calibration", "alien field"]
)
def test_a_frame_whose_parts_do_not_fit_is_damage(tmp_path: Path, synthetic_frames: Make, attack: str) -> None:
    frame = synthetic_frames(1)[0]
    parts = parts_of(frame)
    good = list(parts.items())
    if attack == "ir missing":
        del parts["/camera/ir"]
    elif attack == "image swapped":
        parts["/camera/ir"] = parts["/camera/depth"]
    elif attack == "narrow image":
        parts["/camera/ir"] = layout.encode_image(frame.ir[:, 1:], 1)
    elif attack == "huge calibration":
        parts[layout.CALIBRATION] = layout.encode_calibration(Intrinsics(2**31, 2**31, 1.0, 1.0, 1.0, 1.0), 1)
    elif attack == "alien field":
        parts[layout.FRAME] = parts[layout.FRAME][:-1] + b',"person":"x"}'
    bad = list(parts.items())
    if attack == "ir twice":
        bad.insert(1, bad[1])
    frames, end = read_all(hand_made(tmp_path / "bad.mcap", [*good, *bad]))
    assert len(frames) == 1
    assert isinstance(end, CameraLostError)
    assert "damaged after 1 whole frames" in str(end)


def test_a_chunk_that_would_swell_in_memory_is_refused_unopened(tmp_path: Path, synthetic_frames: Make) -> None:
    path = hand_made(tmp_path / "bomb.mcap", [("/camera/ir", bytes(layout.MAX_MESSAGE_BYTES + 2 * 1024 * 1024))])
    assert path.stat().st_size < 100_000
    with pytest.raises(CameraNotFoundError, match="a chunk of"):
        RecordingCamera(path)


def test_a_recording_without_consent_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RecordingWriteError, match="consent"):
        RecordingWriter(tmp_path / "a.mcap", " ")
    assert not (tmp_path / "a.mcap").exists()


def test_a_recording_is_private_and_never_overwrites(tmp_path: Path, synthetic_frames: Make) -> None:
    path = write(tmp_path / "a.mcap", synthetic_frames(1))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RecordingWriteError, match="File exists"):
        RecordingWriter(path, CONSENT)
    assert RecordingCamera(path).consent == CONSENT


def test_a_recording_holds_one_camera_and_finite_numbers(tmp_path: Path, synthetic_frames: Make) -> None:
    frame = synthetic_frames(1)[0]
    with RecordingWriter(tmp_path / "a.mcap", CONSENT) as writer:
        writer.write(frame)
        with pytest.raises(RecordingWriteError, match="one camera"):
            writer.write(replace(frame, camera=msgspec.structs.replace(frame.camera, serial="other")))
        with pytest.raises(RecordingWriteError, match="impossible"):
            writer.write(replace(frame, gain=math.nan))
    with pytest.raises(RecordingWriteError, match="closed"):
        writer.write(frame)


@pytest.mark.parametrize(
    "wrong", [{"fx": 0.0}, {"fy": -1.0}, {"cx": math.nan}, {"fx": math.inf}, {"width": layout.MAX_SIDE_PX + 1}]
)
def test_a_geometry_no_camera_has_is_not_written_and_not_believed(
    tmp_path: Path, synthetic_frames: Make, wrong: dict[str, float]
) -> None:
    frame = synthetic_frames(1)[0]
    intrinsics = msgspec.structs.replace(frame.intrinsics, **wrong)
    width = intrinsics.width
    bent = replace(
        frame,
        intrinsics=intrinsics,
        ir=np.zeros((480, width), np.uint8),
        ambient=None,
        depth_mm=np.zeros((480, width), np.float32),
    )
    with (
        RecordingWriter(tmp_path / "a.mcap", CONSENT) as writer,
        pytest.raises(RecordingWriteError, match="impossible"),
    ):
        writer.write(bent)
    with pytest.raises(CameraNotFoundError, match="damaged after 0"):
        RecordingCamera(hand_made(tmp_path / "b.mcap", list(parts_of(bent).items())))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, synthetic_frames: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(os, "open", lambda *_: os.dup(full.fileno()))
        writer = RecordingWriter(tmp_path / "a.mcap", CONSENT)
        with pytest.raises(RecordingWriteError, match="No space left"), writer:
            writer.write(synthetic_frames(1)[0])


class Clock:
    """A clock that moves when somebody sleeps."""

    now_ns = 7 * 10**9

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def test_real_time_paces_and_stamps_with_the_present(tmp_path: Path, synthetic_frames: Make) -> None:
    recorded = synthetic_frames(4)
    clock = Clock()
    camera = RecordingCamera(write(tmp_path / "a.mcap", recorded), True, clock, clock.sleep)
    camera.start()
    begin_ns = clock.now_ns
    for frame in recorded[:3]:
        seen = camera.read(1.0)
        assert seen.timestamp_ns - begin_ns == frame.timestamp_ns - recorded[0].timestamp_ns
        assert abs(seen.age_s(clock.now_ns)) < 1e-6
        assert_same(replace(seen, timestamp_ns=frame.timestamp_ns), frame)
    before_ns = clock.now_ns
    with pytest.raises(FrameTimeoutError):
        camera.read(0.01)
    assert clock.now_ns == before_ns + 10_000_000
    assert camera.read(1.0).sequence == 3  # the one that was not yet due is not lost


def test_recorded_times_are_old_and_latest_says_so(tmp_path: Path, synthetic_frames: Make) -> None:
    camera = RecordingCamera(write(tmp_path / "a.mcap", synthetic_frames(3)))
    camera.start()
    with pytest.raises(RecordingEndError):
        camera.latest(0.5, 1.0, clock_ns=lambda: 2 * 10**12)


def test_start_begins_again_and_reading_needs_it(tmp_path: Path, synthetic_frames: Make) -> None:
    camera = RecordingCamera(write(tmp_path / "a.mcap", synthetic_frames(2)))
    with pytest.raises(CameraLostError, match="without start"):
        camera.read(0.0)
    for _ in range(2):
        camera.start()
        assert [frame.sequence for frame in camera.frames()] == [0, 1]
        camera.stop()
    camera.close()
    camera.close()
    with pytest.raises(CameraLostError):
        camera.read(0.0)


@pytest.mark.parametrize("options", [{}, {"path": 1}, {"path": "a", "loop": True}, {"path": "a", "realtime": "yes"}])
def test_options_are_strict(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        open_camera(options)


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + struct.pack("<BQ", 1, 2**62))
    with pytest.raises(CameraNotFoundError, match="a record of"):
        RecordingCamera(path)
