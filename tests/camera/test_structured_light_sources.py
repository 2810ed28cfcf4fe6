"""Where exposures come from: folders of files, friendly and hostile, and what V4L2 hands over."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import CameraError, CameraLostError, FrameTimeoutError, RecordingEndError, open_camera
from drivers.camera.structured_light import Exposure, ExposureSource, open_exposures, save_module
from drivers.camera.structured_light.files import INDEX, FileExposures, record_exposures
from drivers.camera.structured_light.grey import MOST_IN_A_ROW, Format, Incomplete, grey
from drivers.camera.structured_light.png import read_png, write_png
from drivers.camera.structured_light.region import LARGEST, lit_region
from drivers.camera.structured_light.v4l2 import Sensor, mid_exposure_ns, serial_of
from hil.sensor.bench import Bench, Target, write_bench
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions, makers_module

OPTIONS = VirtualExposuresOptions(fps=10.0)
MONOTONIC, START_OF_EXPOSURE = 0x2000, 0x10000


class Drawn(ExposureSource):
    """Exposures of noise, a hundred a second."""

    serial, firmware, width, height = "DRAWN-1", "", 96, 64

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def read(self, timeout_s: float) -> Exposure:
        self.count += 1
        image = np.random.default_rng(self.count).integers(0, 256, (64, 96), np.uint8)
        return Exposure(self.count, self.count * 10_000_000, image, 500, 1.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record_exposures(Drawn(), tmp_path / "exposures", 4)
    return tmp_path / "exposures"


def played(folder: Path) -> FileExposures:
    source = FileExposures(folder, clock_ns=lambda: 5_000_000_000, sleep=lambda _: None)
    source.start()
    return source


def test_a_folder_comes_back_as_it_was_recorded(folder: Path) -> None:
    source, again = played(folder), Drawn()
    for place in range(4):
        one, true = source.read(1.0), again.read(1.0)
        assert (one.number, one.exposure_us, one.gain) == (true.number, true.exposure_us, true.gain)
        assert one.timestamp_ns == 5_000_000_000 + place * 10_000_000
        np.testing.assert_array_equal(one.image, true.image)
    with pytest.raises(RecordingEndError):
        source.read(1.0)


def test_what_is_not_due_is_not_handed_out(folder: Path) -> None:
    source = played(folder)
    source.read(0.001)
    with pytest.raises(FrameTimeoutError, match=r"due in 0\.010 s"):
        source.read(0.001)


def test_a_recording_never_overwrites(folder: Path) -> None:
    with pytest.raises(CameraError, match="never overwrites"):
        record_exposures(Drawn(), folder, 1)


def _index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / INDEX).read_text())
    change(content)
    (folder / INDEX).write_text(json.dumps(content))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "no index": lambda f: (f / INDEX).unlink(),
    "not json": lambda f: (f / INDEX).write_bytes(b"\xff\xfe"),
    "nested": lambda f: (f / INDEX).write_bytes(b"[" * 100_000),
    "too large": lambda f: (f / INDEX).write_bytes(b" " * (5 << 20)),
    "a path out": lambda f: _index(f, lambda c: c["exposures"][0].update(file="../../etc/passwd.png")),
    "an absolute path": lambda f: _index(f, lambda c: c["exposures"][0].update(file="/etc/passwd.png")),
    "no exposures": lambda f: _index(f, lambda c: c.update(exposures=[])),
    "a huge picture": lambda f: _index(f, lambda c: c.update(width=100_000)),
    "times going back": lambda f: _index(f, lambda c: c["exposures"].reverse()),
    "no exposure time": lambda f: _index(f, lambda c: c["exposures"][1].update(exposure_us=0)),
    "not a number": lambda f: _index(f, lambda c: c["exposures"][1].update(gain=float("nan"))),
    "unknown key": lambda f: _index(f, lambda c: c.update(run="rm")),
}


LEADS_AWAY: dict[str, Callable[[Path], object]] = {
    "a link out of the folder": lambda path: path.symlink_to("/etc/passwd"),
    "a pipe nobody writes to": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("put", LEADS_AWAY.values(), ids=list(LEADS_AWAY))
@pytest.mark.parametrize("name", [INDEX, "00000.png"])
def test_what_is_no_plain_file_is_refused_and_never_waited_for(
    folder: Path, put: Callable[[Path], object], name: str
) -> None:
    (folder / name).unlink()
    put(folder / name)
    with pytest.raises(CameraError, match=name):
        played(folder).read(1.0)


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_index_is_refused_by_name(folder: Path, attack: Callable[[Path], object]) -> None:
    attack(folder)
    with pytest.raises(CameraError, match=INDEX):
        FileExposures(folder)


def _bomb(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG whose header says this and whose content is a little of nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" + b"\0" * 40, _bomb(60_000, 60_000), _bomb(96, 64, 16), _bomb(96, 64, 8, 2), _bomb(96, 64)[:40]],
    ids=["empty", "another kind", "bomb", "16 bits", "colour", "cut off"],
)
def test_a_hostile_picture_is_refused_before_it_is_decoded(folder: Path, data: bytes) -> None:
    (folder / "00000.png").write_bytes(data)
    with pytest.raises(CameraLostError) as caught:
        played(folder).read(1.0)
    assert caught.value.cause == "partial"


@given(st.binary(max_size=300))
def test_no_bytes_are_a_picture_by_accident(data: bytes) -> None:
    whole = write_png(np.zeros((64, 96), np.uint8))
    for attempt in (data, whole[: len(data)], whole[:40] + data):
        try:
            image = read_png(attempt, 96, 64)
        except ValueError:
            continue
        assert image.shape == (64, 96)


def test_a_folder_is_a_camera_once_it_has_a_calibration(tmp_path: Path) -> None:
    """The virtual module's exposures, recorded, through the plug-in that an integrator uses."""
    bench = tmp_path / "bench.json"
    write_bench(bench, Bench(target=Target(450)))
    now_ns = [10**12]

    def wait(seconds: float) -> None:
        now_ns[0] += round(seconds * 1e9)

    source = VirtualExposures(msgspec.structs.replace(OPTIONS, bench=str(bench)), lambda: now_ns[0], wait)
    source.start()
    record_exposures(source, tmp_path / "exposures", 6)
    save_module(tmp_path / "module.json", makers_module(OPTIONS))
    options = {"folder": str(tmp_path / "exposures")}
    with pytest.raises(CameraError, match="tessera camera calibrate") as caught:
        open_camera("structured-light", options)
    assert caught.value.cause == "calibration"
    camera = open_camera("structured-light", {**options, "calibration": str(tmp_path / "module.json")})
    camera.start()
    frames = [camera.read(2.0), camera.read(2.0)]
    assert np.nanmedian(frames[1].depth_mm[200:280, 280:360]) == pytest.approx(450, abs=1)
    with pytest.raises(RecordingEndError):
        camera.read(2.0)
    camera.close()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "either `device`"),
        ({"device": "/dev/video0", "folder": "x"}, "either `device`"),
        ({"device": "/dev/../etc/passwd x"}, "device"),
        ({"device": "/dev/video0", "format": "MJPG"}, "format"),
        ({"folder": "x", "speed": 2}, "unknown field"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, object], word: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=word):
        open_exposures(options)


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(CameraError, match="/dev/video99") as caught:
        open_exposures({"device": "/dev/video99"})
    assert caught.value.cause == "absent"


@pytest.mark.parametrize(("kind", "shift"), [("GREY", 0), ("Y10 ", 2), ("Y16 ", 8)])
@pytest.mark.parametrize("padding", [0, 6])
def test_every_format_becomes_eight_bits(kind: Format, shift: int, padding: int) -> None:
    true = np.random.default_rng(1).integers(0, 256, (5, 8), np.uint8)
    wide = true if kind == "GREY" else (true.astype("<u2") << shift)
    size = 8 * wide.itemsize
    rows = np.zeros((5, size + padding), np.uint8)
    rows[:, :size] = wide.view(np.uint8).reshape(5, size)
    data = rows.tobytes()
    image = grey(data, kind, 8, 5, size + padding)
    assert image is not None
    np.testing.assert_array_equal(image, true)
    # a driver need not pad the last row; a byte less than that and it is not whole
    unpadded = data[: len(data) - padding]
    assert grey(unpadded, kind, 8, 5, size + padding) is not None
    assert grey(unpadded[:-1], kind, 8, 5, size + padding) is None


def test_numbers_beyond_ten_bits_stay_white() -> None:
    image = grey(np.full(4, 0xFFFF, "<u2").tobytes(), "Y10 ", 2, 2, 4)
    assert image is not None
    assert (image == 255).all()


def test_rows_that_cannot_hold_their_pixels_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        grey(b"\0" * 100, "Y16 ", 8, 5, 8)


def test_incomplete_exposures_are_a_fault_only_in_a_row() -> None:
    counted = Incomplete("S")
    for _ in range(3 * MOST_IN_A_ROW):
        counted.another()
        counted.whole()
    for _ in range(MOST_IN_A_ROW - 1):
        counted.another()
    with pytest.raises(CameraLostError) as caught:
        counted.another()
    assert caught.value.cause == "partial"


def test_an_exposure_is_never_called_younger_than_it_is() -> None:
    start = mid_exposure_ns(10, 5, MONOTONIC | START_OF_EXPOSURE, 1000, 8333)
    assert start == 10_000_005_000 + 500_000
    # stamped at the end of a read-out of unknown length: the whole period is reckoned
    assert mid_exposure_ns(10, 5, MONOTONIC, 1000, 8333) == 10_000_005_000 - 8_333_000 - 500_000


@pytest.mark.parametrize("flags", [0, 0x4000])
def test_another_clock_is_refused(flags: int) -> None:
    with pytest.raises(CameraLostError) as caught:
        mid_exposure_ns(10, 5, flags, 1000, 8333)
    assert caught.value.cause == "clock"


def test_a_sensors_serial_is_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "video3" / "device").mkdir(parents=True)
    assert serial_of(Path("/dev/video3"), tmp_path) is None
    (tmp_path / "video3" / "device" / "serial").write_text("OV-77\n")
    assert serial_of(Path("/dev/video3"), tmp_path) == "OV-77"
    assert Sensor("/dev/video3").fps == 120


@given(st.integers(0, 2**32), st.floats(0, 255), st.floats(0, 255))
def test_a_region_lies_in_the_image_and_is_bounded(seed: int, flood: float, dark: float) -> None:
    rng = np.random.default_rng(seed)
    lit, unlit = (rng.random((100, 160)).astype(np.float32) * np.float32(level) for level in (flood, dark))
    left, top, right, bottom = lit_region(lit, unlit)
    assert 0 <= left <= right <= 1280
    assert 0 <= top <= bottom <= 800
    assert (right - left) * (bottom - top) <= LARGEST


def test_a_face_above_shoulders_is_in_the_region() -> None:
    flood = np.zeros((100, 160), np.float32)
    flood[30:50, 70:90], flood[66:100, 50:110] = 150, 150  # the neck lies in shadow
    left, top, right, bottom = lit_region(flood, np.zeros_like(flood))
    assert left <= 560
    assert top <= 240
    assert right >= 720
    assert bottom >= 400
