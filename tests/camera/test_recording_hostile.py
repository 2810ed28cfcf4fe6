"""Files that somebody made to hurt the reader: each is refused with one error, before it costs memory."""

import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import foxglove
import msgspec
import numpy as np
import pytest
import zstandard
from foxglove.mcap import MCAPWriteOptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.opcode import Opcode

from drivers.camera import FrameSet
from drivers.camera.recording import (
    DamagedError,
    RecordingCamera,
    RecordingFileError,
    RecordingReader,
    TruncatedError,
    layout,
    read_recording,
)
from drivers.camera.recording.messages import MAX_CHANNELS, MAX_CHUNK_RECORDS
from drivers.camera.recording.reader import Item
from drivers.camera.recording.schemas import RawImage
from drivers.camera.recording.session import MAX_JSON_BYTES

Make = Callable[[int], list[FrameSet]]
MAGIC = b"\x89MCAP0\r\n"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "recording.md"
SPENT_BYTES = 8 * 1024 * 1024  # what refusing a file may cost at most


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def record(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def channel(number: int, topic: str, encoding: str) -> bytes:
    return record(Opcode.CHANNEL, struct.pack("<HH", number, 0) + text(topic) + text(encoding) + struct.pack("<I", 0))


def message(number: int, data: bytes) -> bytes:
    return record(Opcode.MESSAGE, struct.pack("<HIQQ", number, 0, 1, 1) + data)


def chunk(content: bytes, packed: bytes | None = None, size: int | None = None, compression: str = "zstd") -> bytes:
    packed = zstandard.compress(content) if packed is None else packed
    head = struct.pack("<QQQI", 1, 1, len(content) if size is None else size, zlib.crc32(content))
    return record(Opcode.CHUNK, head + text(compression) + struct.pack("<Q", len(packed)) + packed)


HEADER = MAGIC + record(Opcode.HEADER, text(layout.PROFILE) + text("attacker"))
FOOTER = record(Opcode.FOOTER, bytes(20)) + MAGIC


def on(topic: str, data: bytes, encoding: str | None = None) -> bytes:
    """A chunk with one message."""
    encoding = encoding or ("json" if topic in ("/camera/frame", "/session", "/truth") else "protobuf")
    number = zlib.crc32(topic.encode()) & 0xFFFF
    return chunk(channel(number, topic, encoding) + message(number, data))


def drain(path: Path, into: list[Item]) -> None:
    reader = RecordingReader(path)
    try:
        while (item := reader.next_item()) is not None:
            into.append(item)
    finally:
        reader.close()


@contextmanager
def cheaply() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < SPENT_BYTES
    finally:
        tracemalloc.stop()


def zeros(size: int, with_size: bool) -> bytes:
    """A zstd frame of `size` zeros, made in pieces."""
    packer = zstandard.ZstdCompressor(write_content_size=with_size).compressobj(size if with_size else -1)
    piece = bytes(1 << 20)
    return b"".join([*(packer.compress(piece) for _ in range(size >> 20)), packer.flush()])


BOMB = 256 << 20
RAW = {"frame_id": "camera", "encoding": "mono8", "timestamp": {"seconds": 1}}

ATTACKS: dict[str, Callable[[], bytes]] = {
    "a record of exabytes": lambda: struct.pack("<BQ", Opcode.CHUNK, 2**62),
    "a metadata record of megabytes": lambda: record(Opcode.METADATA, bytes(1 << 20)),
    "a string longer than its record": lambda: record(Opcode.METADATA, struct.pack("<I", 2**32 - 1)),
    "a bomb that says so": lambda: chunk(b"", zeros(BOMB, True), BOMB),
    "a bomb that hides its size": lambda: chunk(b"", zeros(BOMB, False), 1 << 20),
    "a bomb that lies": lambda: chunk(b"", zeros(BOMB, True), 1 << 20),
    "more inside than stated": lambda: chunk(b"", zstandard.compress(bytes(100)), 10),
    "something after the bomb": lambda: chunk(bytes(9), zstandard.compress(bytes(9)) + zeros(1 << 20, True)),
    "another compression": lambda: chunk(b"", compression="lz4"),
    "no compression": lambda: chunk(message(1, b""), message(1, b""), compression=""),
    "not zstd at all": lambda: chunk(b"", b"\0" * 64, 64),
    "a wrong checksum": lambda: chunk(b"abc", zstandard.compress(b"abd")),
    "more messages than a chunk may hold": lambda: chunk(
        channel(1, "/other", "json") + message(1, b"") * MAX_CHUNK_RECORDS
    ),
    "a record that overruns its chunk": lambda: chunk(struct.pack("<BQ", Opcode.MESSAGE, 2**63)),
    "a message too short for its header": lambda: chunk(channel(1, "/session", "json") + record(Opcode.MESSAGE, b"x")),
    "a message on no channel": lambda: chunk(message(7, b"")),
    "a message outside a chunk": lambda: channel(1, "/session", "json") + message(1, b"{}"),
    "channels without end": lambda: b"".join(channel(n, f"/{n}", "json") for n in range(MAX_CHANNELS + 1)),
    "a channel that changes": lambda: channel(1, "/session", "json") + channel(1, "/truth", "json"),
    "a session of another encoding": lambda: on("/session", b"\x80", "msgpack"),
    "JSON of megabytes": lambda: on("/session", b'{"kind":"note","at_ns":1,"text":"' + b"x" * (1 << 20) + b'"}'),
    "JSON nested without end": lambda: on("/truth", b"[" * (MAX_JSON_BYTES - 1)),
    "JSON nested before its kind is known": lambda: on("/session", b'{"x":' + b"[" * (MAX_JSON_BYTES - 9)),
    "a number beyond all numbers": lambda: on("/session", b'{"kind":"clock","at_ns":1,"unix_ns":1' + b"0" * 999 + b"}"),
    "an event of no kind": lambda: on("/session", b'{"at_ns":1}'),
    "an event that says more": lambda: on("/session", b'{"kind":"note","at_ns":1,"text":"","face":1}'),
    "truth of no frame": lambda: on("/truth", b'{"sequence":0}'),
    "not UTF-8": lambda: on("/session", b'{"kind":"note","at_ns":1,"text":"\xff"}'),
    "half a frame": lambda: on("/camera/ir", b""),
    "calibrations of megabytes": lambda: on("/camera/calibration", bytes(1 << 20)),
    "a frame of nothing": lambda: on("/camera/frame", b"{}"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_file_is_one_cheap_error(tmp_path: Path, attack: str) -> None:
    path = tmp_path / "hostile.mcap"
    path.write_bytes(HEADER + ATTACKS[attack]() + FOOTER)
    items: list[Item] = []
    with cheaply(), pytest.raises(RecordingFileError, match=r"hostile\.mcap: (damaged|truncated) after 0 whole frames"):
        drain(path, items)
    assert items == []


def parts_of(frame: FrameSet) -> dict[str, bytes]:
    images = layout.images_of(frame)
    kept = layout.FrameRecord(frame.sequence, frame.timestamp_ns, frame.emitter, 1, 1.0, frame.camera, tuple(images))
    return {
        layout.CALIBRATION: layout.encode_calibration(frame.intrinsics, 1),
        **{layout.topic(name): layout.encode_image(image, 1) for name, image in images.items()},
        layout.FRAME: msgspec.json.encode(kept),
    }


@pytest.mark.parametrize(
    "claim",
    [
        {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
        {"width": 65536, "height": 65536, "step": 65536},
        {"width": 0, "height": 480, "step": 0},
        {"width": 640, "height": 480, "step": 640},
        {"width": 640, "height": 0, "step": 640},
        {"width": 640, "height": 480, "step": 640, "encoding": "rgb8"},
    ],
)
def test_an_image_that_claims_a_size_it_has_not_is_refused(
    tmp_path: Path, synthetic_frames: Make, claim: dict[str, Any]
) -> None:
    parts = parts_of(synthetic_frames(1)[0])
    parts["/camera/ir"] = RawImage(**{**RAW, **claim}).SerializeToString()
    path = tmp_path / "claim.mcap"
    path.write_bytes(HEADER + b"".join(on(topic, data) for topic, data in parts.items()) + FOOTER)
    with cheaply(), pytest.raises(DamagedError, match="image"):
        drain(path, [])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_message_changed_within_an_intact_file_is_a_frame_or_one_error(
    tmp_path: Path, data: st.DataObject, synthetic_frames: Make
) -> None:
    whole = synthetic_frames(1)[0]
    intrinsics = msgspec.structs.replace(whole.intrinsics, width=3, height=2)
    frame = FrameSet(
        0, 5, np.full((2, 3), 7, np.uint8), np.ones((2, 3), np.float32), intrinsics, whole.emitter, 1, 1.0, whole.camera
    )
    parts = parts_of(frame)
    topic = data.draw(st.sampled_from(list(parts)))
    changed = bytearray(parts[topic])
    at = data.draw(st.integers(0, len(changed)))
    changed[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    parts[topic] = bytes(changed)
    path = tmp_path / "changed.mcap"
    path.write_bytes(HEADER + b"".join(on(topic, part) for topic, part in parts.items()) + FOOTER)
    items: list[Item] = []
    try:
        drain(path, items)
    except DamagedError:
        assert items == []
    else:
        assert len(items) == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=200))
def test_noise_after_the_header_is_one_error(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "noise.mcap"
    path.write_bytes(HEADER + noise)
    with pytest.raises((TruncatedError, DamagedError)):
        drain(path, [])


def test_the_writer_in_the_docs_makes_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], str(DOCS), "exec"), {})
    frames = [item for item in read_recording(tmp_path / "render.mcap") if isinstance(item, FrameSet)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert [int(frame.ir.max()) for frame in frames] == [90, 91, 92]
    assert frames[0].depth_mm.mean() == 500.0
    camera = RecordingCamera(tmp_path / "render.mcap")
    assert camera.consent == "simulated: nobody is in it"


def test_a_recording_by_foxgloves_own_writer_with_big_chunks_is_read(tmp_path: Path, synthetic_frames: Make) -> None:
    path = tmp_path / "rust.mcap"
    options = MCAPWriteOptions(profile=layout.PROFILE, chunk_size=4 << 20)
    context = foxglove.Context()
    with foxglove.open_mcap(path, writer_options=options, context=context) as out:
        out.write_metadata(layout.CONSENT, {"consent": "nobody"})
        channels: dict[str, foxglove.Channel] = {}
        for frame in synthetic_frames(3):
            for topic, data in parts_of(frame).items():
                if topic not in channels:
                    encoding = "json" if topic == layout.FRAME else "protobuf"
                    described = foxglove.Schema(name=topic, encoding=encoding, data=b"")
                    channels[topic] = foxglove.Channel(
                        topic, message_encoding=encoding, schema=described, context=context
                    )
                channels[topic].log(data, log_time=frame.timestamp_ns)
    frames = [item for item in read_recording(path) if isinstance(item, FrameSet)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert frames[2].ir.tobytes() == synthetic_frames(3)[2].ir.tobytes()
