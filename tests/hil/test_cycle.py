"""Dark, flood and dots of moving things, and the depth decoded from them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from hil.people import Head
from hil.sensor import cycle
from hil.sensor.cycle import Cycle, take
from hil.sensor.presets import HELD_OUT, PRESETS, Preset, preset
from hil.sensor.rasteriser import view
from hil.sensor.scene import Performance, Placed, Pose, Scene
from hil.sensor.stage import Person, Stage, write_stage
from hil.sensor.surface import Surface
from hil.sensor.virtual_camera import open_camera

Board = Callable[[float], Surface]
SENSOR = preset("structured-light")
NOW_S = 1.0
FACE = (slice(150, 330), slice(260, 380))


def shot(
    performance: Performance, sensor: Preset = SENSOR, time_s: float = NOW_S, seed: int = 0, **level: float
) -> Cycle:
    return take(performance, time_s, sensor, np.random.default_rng(seed), **level)


def still(surface: Surface, z_mm: float = 500.0, **turned: float) -> Performance:
    return lambda _: (Placed(surface, Pose(z_mm=z_mm, **turned)),)


def outdoors(sensor: Preset) -> Preset:
    ambient = msgspec.structs.replace(sensor.ambient, sun=1.0, towards_sun=(0.0, -0.3, -1.0))
    return msgspec.structs.replace(sensor, ambient=ambient)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_sees_a_face_and_its_depth(name: str, person: Head) -> None:
    sensor = preset(name)
    taken = shot(still(person, 450), sensor)
    truth = 1 / view(Scene((Placed(person, Pose(z_mm=450)),)), sensor.intrinsics).inverse_depth
    camera = sensor.intrinsics
    u, v = (person.landmarks[2, :2] / (450 + person.landmarks[2, 2]) * camera.fx + [camera.cx, camera.cy]).astype(int)
    around = (slice(v - 40, v + 30), slice(u - 25, u + 25))
    assert 60 < taken.ir[around].mean() < 250
    assert taken.ambient[around].mean() < 20
    assert np.isfinite(taken.depth_mm[around]).mean() > 0.8
    error = np.abs(taken.depth_mm - truth)[around]
    assert np.nanmedian(error) < (3.0 if name in ("d4xx", HELD_OUT) else 1.5)
    for image in (taken.ir, taken.ambient, taken.dots):
        assert image.dtype == np.uint8
        assert image.shape == (camera.height, camera.width)


def test_the_large_image_has_the_same_face(person: Head) -> None:
    taken = shot(still(person, 500), preset("structured-light", 1280))
    assert taken.ir.shape == taken.depth_mm.shape == (800, 1280)
    assert np.isfinite(taken.depth_mm[320:480, 580:700]).mean() > 0.8


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(person: Head) -> None:
    one, same, other = (shot(still(person), seed=seed) for seed in (3, 3, 4))
    for name in ("ambient", "ir", "dots", "depth_mm"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes(), name
    assert one.ir.tobytes() != other.ir.tobytes()


def test_flat_things_decode_flat_where_they_are(board: Board) -> None:
    for z_mm, limit in ((350.0, 1.0), (500.0, 1.5), (800.0, 4.0)):
        depth_mm = shot(still(board(0.5), z_mm)).depth_mm[215:265, 295:345]
        assert np.isfinite(depth_mm).mean() > 0.9, z_mm
        assert np.nanmedian(np.abs(depth_mm - z_mm)) < limit


def test_a_dimmed_flood_shows_in_the_picture_at_an_unchanged_exposure(person: Head) -> None:
    full, half, none = (shot(still(person), flood_level=level) for level in (1.0, 0.5, 0.0))
    assert full.exposure_us == half.exposure_us == none.exposure_us

    def lit(taken: Cycle) -> float:
        return float((taken.ir[FACE].astype(float) - taken.ambient[FACE]).mean())

    assert lit(half) / lit(full) == pytest.approx(0.5, abs=0.03)
    assert abs(lit(none)) < 1.0


def test_in_the_sun_exposures_shorten_and_the_dark_frame_carries_it(person: Head) -> None:
    indoors, sunny = shot(still(person)), shot(still(person), outdoors(SENSOR))
    assert sunny.exposure_us < indoors.exposure_us / 2
    assert sunny.ambient[FACE].mean() > 60
    assert indoors.ambient[FACE].mean() < 10


def test_lamps_flicker_from_cycle_to_cycle(board: Board) -> None:
    lamps = msgspec.structs.replace(SENSOR.ambient, indoor_w_m2=20.0, flicker=0.9)
    sensor = msgspec.structs.replace(SENSOR, ambient=lamps)
    # the dark exposure lies 8.333 ms before the flood's middle: at the crest and in the trough of 100 Hz
    crest, trough = (shot(still(board(0.5)), sensor, 0.008333 + 0.0025 + late) for late in (0.0, 0.005))
    ratio = crest.ambient[220:260, 300:340].mean() / trough.ambient[220:260, 300:340].mean()
    assert ratio > 8


def edge_width(image: NDArray[np.uint8]) -> float:
    """Columns over which the board's left edge rises from 20 to 80 percent, mean of rows about the middle."""
    profile = image[200:280].astype(float).mean(axis=0)[100:260]
    low, high = profile[:10].mean(), profile[-10:].mean()
    levels = (profile - low) / (high - low)
    first, last = (np.interp(level, np.maximum.accumulate(levels), np.arange(len(levels))) for level in (0.2, 0.8))
    return float(last - first)


def test_motion_blurs_and_stillness_does_not(board: Board) -> None:
    surface = board(0.5)

    def sliding(speed_mm_s: float) -> Performance:
        return lambda time_s: (Placed(surface, Pose(x_mm=speed_mm_s * (time_s - NOW_S), z_mm=500)),)

    resting, slow, fast = (shot(sliding(speed)) for speed in (0.0, 5.0, 3000.0))
    assert edge_width(slow.ir) == pytest.approx(edge_width(resting.ir), abs=0.2)
    moved_px = 3000 * 1.2 * fast.exposure_us * 1e-6  # at 500 mm with f = 600 px
    assert 0.5 * moved_px < edge_width(fast.ir) < moved_px


@pytest.mark.parametrize("now_s", [NOW_S, 0.0])
def test_what_moves_between_exposures_is_seen_where_it_was(board: Board, now_s: float) -> None:
    surface = board(0.5)
    taken = shot(lambda time_s: (Placed(surface, Pose(x_mm=1000 * (time_s - now_s), z_mm=500)),), time_s=now_s)
    # the dots come 8.333 ms after the flood: 8.3 mm, 10 px
    lit = np.flatnonzero(taken.ir[240] > 60)[0]
    known = np.flatnonzero(np.isfinite(taken.depth_mm[200:280]).mean(axis=0) > 0.5)[0]
    assert 4 < known - lit < 22


def test_a_still_world_is_drawn_once(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(*arguments: object) -> object:
        drawn.append(arguments)
        return view(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cycle, "view", counted)
    surface = board(0.5)
    shot(still(surface))
    assert len(drawn) == 1
    drawn.clear()
    shot(lambda time_s: (Placed(surface, Pose(x_mm=900 * (time_s - NOW_S), z_mm=400)),))
    assert 3 < len(drawn) <= 13


def test_a_still_performance_is_asked_twice(board: Board) -> None:
    placed, asked = (Placed(board(0.5), Pose(z_mm=500)),), []

    def performance(time_s: float) -> tuple[Placed, ...]:
        asked.append(time_s)
        return placed

    shot(performance, time_s=3.0)
    assert asked == pytest.approx([3.0 - 0.008333, 3.0])


def test_no_performance_is_asked_what_it_was_before_it_began(board: Board) -> None:
    placed, asked = (Placed(board(0.5), Pose(z_mm=500)),), []

    def performance(time_s: float) -> tuple[Placed, ...]:
        asked.append(time_s)
        return placed

    shot(performance, time_s=0.0)
    assert min(asked) == 0.0


def test_a_thing_that_changes_shape_counts_as_moving(ball: Surface) -> None:
    def swelling(time_s: float) -> tuple[Placed, ...]:
        return (
            Placed(replace(ball, vertices_mm=ball.vertices_mm * np.float32(1 + 5 * (time_s - NOW_S))), Pose(z_mm=600)),
        )

    taken = shot(swelling)
    assert np.isfinite(taken.depth_mm[200:280, 280:360]).mean() > 0.5


def test_an_empty_stage_has_no_depth() -> None:
    taken = shot(lambda _: ())
    assert not np.isfinite(taken.depth_mm).any()
    assert taken.ir.mean() < 60


def options(stage: Path, **chosen: object) -> dict[str, object]:
    write_stage(stage, Stage(subject=Person(3)))
    return {"stage": str(stage), **chosen}


@pytest.mark.parametrize(("chosen", "shape"), [({}, (480, 640)), ({"width": 1280}, (800, 1280))])
def test_the_virtual_camera_has_every_exposure_of_its_preset(
    tmp_path: Path, chosen: dict[str, object], shape: tuple[int, int]
) -> None:
    camera = open_camera(options(tmp_path / "stage.json", preset="structured-light", **chosen))
    camera.start()
    frames = camera.read(1.0)
    assert frames.ambient is not None
    assert frames.dots is not None
    assert frames.ir.shape == frames.dots.shape == frames.ambient.shape == shape
    assert (camera.intrinsics.height, camera.intrinsics.width) == shape
    assert np.isfinite(frames.depth_mm).mean() > 0.03
    camera.close()


def test_virtual_cameras_of_different_sensors_have_different_calibrations(tmp_path: Path) -> None:
    chosen: tuple[dict[str, object], ...] = (
        {},
        {"preset": "ideal"},
        {"preset": "held-out"},
        {"preset": "held-out", "width": 1280},
    )
    digests = {open_camera(options(tmp_path / "stage.json", **one)).info.calibration_digest for one in chosen}
    assert len(digests) == 4


@pytest.mark.parametrize("wrong", [{"width": 1280}, {"preset": "webcam"}, {"preset": "ideal", "width": 800}])
def test_the_virtual_camera_refuses_sensors_that_do_not_exist(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        open_camera(options(tmp_path / "stage.json", **wrong))
