"""The virtual sensor of a structured-light module: raw exposures with a count and a clock."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.camera import CameraLostError, Emitter, FrameTimeoutError, open_camera
from drivers.emitter.patterns import by_exposure
from firmware.runtime.config import is_played
from hil.emitter.light import Light, write_light
from hil.sensor.bench import Bench, BenchError, Target, read_bench, write_bench
from hil.sensor.virtual_exposures import VirtualExposures, VirtualExposuresOptions, open_exposures


class Clock:
    now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    write_bench(tmp_path / "bench.json", Bench(target=Target(500)))
    write_light(tmp_path / "light.json", Light(armed=True, levels=by_exposure([Emitter(1.0, 1.0)], "dark-flood-dots")))
    return {name: str(tmp_path / f"{name}.json") for name in ("bench", "light")}


def source(files: dict[str, str], clock: Clock | None = None, **options: object) -> VirtualExposures:
    made = msgspec.convert({"fps": 10.0, **files, **options}, VirtualExposuresOptions)
    clock = clock or Clock()
    opened = VirtualExposures(made, clock, clock.wait)
    opened.start()
    return opened


def test_three_exposures_make_a_cycle_and_numbers_follow_the_clock(files: dict[str, str]) -> None:
    clock = Clock()
    sensor = source(files, clock)
    dark, flood, dots = (sensor.read(1.0) for _ in range(3))
    assert [dark.number, flood.number, dots.number] == [0, 1, 2]
    assert flood.image.mean() > 5 * dark.image.mean()
    assert dots.image.std() > dark.image.std()
    assert flood.timestamp_ns - dark.timestamp_ns == dots.timestamp_ns - flood.timestamp_ns == 8_333_000
    clock.wait(0.45)  # the reader was busy: cycles 1 to 3 are gone
    assert sensor.read(1.0).number == 12


def test_the_same_seed_gives_the_same_bytes(files: dict[str, str]) -> None:
    one, same, other = (source(files, seed=seed).read(1.0).image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_board_that_is_not_armed_leaves_it_dark(files: dict[str, str]) -> None:
    write_light(Path(files["light"]), Light())
    dark, flood, dots = (source(files).read(1.0).image.mean() for _ in range(3))
    assert max(dark, flood, dots) < 10


def test_nothing_is_read_before_its_time_or_before_start(files: dict[str, str]) -> None:
    sensor = source(files)
    for _ in range(3):
        sensor.read(1.0)
    with pytest.raises(FrameTimeoutError):
        sensor.read(0.01)
    sensor.stop()
    with pytest.raises(CameraLostError, match="read before start"):
        sensor.read(1.0)


@pytest.mark.parametrize("name", ["bench", "light"])
def test_a_file_that_vanishes_is_a_lost_sensor(files: dict[str, str], name: str) -> None:
    sensor = source(files)
    Path(files[name]).unlink()
    with pytest.raises(CameraLostError, match=name):
        sensor.read(1.0)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"half": 2}', b'{"target": {"distance_mm": 0}}', b'{"speed": 1}', b"[" * 4000, b" " * 5000]
)
def test_a_malformed_bench_is_refused_by_name(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "bench.json").write_bytes(raw)
    with pytest.raises(BenchError, match=r"bench\.json"):
        read_bench(tmp_path / "bench.json")


def test_it_is_a_plug_in_for_demo_and_rig_only(files: dict[str, str]) -> None:
    camera = open_camera("virtual-exposures", files)
    assert camera.info.serial == open_exposures(files).serial == "VIRTUAL-SL-0001"
    assert camera.info.flood
    assert is_played("virtual-exposures", files)
    assert is_played("structured-light", {"folder": "exposures"})
    assert not is_played("structured-light", {"device": "/dev/video0"})
