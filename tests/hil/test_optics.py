"""Energy, lens and pixels of the presets: the light that must come back, and what the sensor makes of it."""

from collections.abc import Callable
from dataclasses import replace
from math import pi
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hil.sensor import stereo
from hil.sensor.lens import Glass
from hil.sensor.optics import light, mirrored
from hil.sensor.pixels import fixed_pattern, read_out
from hil.sensor.presets import HELD_OUT, PRESETS, Lens, Preset, PresetError, preset
from hil.sensor.rasteriser import View, view
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.stereo_noise import BANDS_MM, correlation, recorded, simulated
from hil.sensor.surface import F32, Surface

Board = Callable[[float], Surface]
SENSOR = preset("structured-light")
MIDDLE = (slice(230, 250), slice(310, 330))
FACE_ON = (0.0, 0.0, -1.0)


def seen(board: Surface, z_mm: float = 500, **turned: float) -> View:
    return view(Scene((Placed(board, Pose(z_mm=z_mm, **turned)),), wall_mm=None), SENSOR.intrinsics)


def middle(image: F32) -> float:
    return float(image[MIDDLE].mean())


def in_sun(sensor: Preset, **changed: float | tuple[float, float, float]) -> Preset:
    return msgspec.structs.replace(sensor, ambient=msgspec.structs.replace(sensor.ambient, sun=1.0, **changed))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 800)])
def test_every_preset_comes_in_both_sizes(name: str, width: int, height: int) -> None:
    made = preset(name, width)
    assert (made.name, made.intrinsics.width, made.intrinsics.height) == (name, width, height)
    assert made == preset(name, width)


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(PresetError, match="structured-light"):
        preset("structured_light")
    with pytest.raises(PresetError):
        preset("ideal", 848)


def test_the_held_out_sensor_shares_no_optics_with_the_others() -> None:
    held = preset(HELD_OUT)
    for other in (preset(name) for name in PRESETS if name != HELD_OUT):
        for field in ("intrinsics", "baseline_mm", "flood_w", "projector", "lens", "pixel"):
            assert getattr(held, field) != getattr(other, field), (other.name, field)


def test_one_watt_on_skin_gives_the_electrons_of_the_photon_budget(board: Board) -> None:
    # worked by hand: 3.0 W/m2 at 0.5 m, albedo 0.55, f/2, 3 um, 1 ms
    expected = 1170.0
    sensor = msgspec.structs.replace(SENSOR, flood_w=1.0)
    assert middle(light(seen(board(0.55)), sensor).flood) == pytest.approx(expected, rel=0.02)


def test_flood_falls_with_the_square_of_the_distance(board: Board) -> None:
    near, far = (middle(light(seen(board(0.5), z_mm), SENSOR).flood) for z_mm in (300, 900))
    # the emitter sits 15 mm above the lens: at 300 mm its light arrives 2.9 degrees aslant
    assert near / far == pytest.approx(9.0, rel=0.01)


@pytest.mark.parametrize("yaw_deg", [0, 20, 40, 60])
def test_a_matt_surface_obeys_lambert(board: Board, yaw_deg: float) -> None:
    straight, turned = (middle(light(seen(board(0.5), yaw_deg=yaw), SENSOR).flood) for yaw in (0, yaw_deg))
    assert turned / straight == pytest.approx(np.cos(np.radians(yaw_deg)), rel=0.01)


def test_a_matt_surface_in_the_sun_obeys_lambert_whatever_its_distance(board: Board) -> None:
    sensor = in_sun(SENSOR, towards_sun=FACE_ON, direct=1.0)
    straight = middle(light(seen(board(0.5), 400), sensor).sun)
    assert middle(light(seen(board(0.5), 800), sensor).sun) == pytest.approx(straight, rel=0.01)
    assert middle(light(seen(board(0.5), 400, yaw_deg=50), sensor).sun) == pytest.approx(
        straight * np.cos(np.radians(50)), rel=0.01
    )


def test_the_sun_behind_a_surface_leaves_only_the_sky(board: Board) -> None:
    lit, shaded = (
        middle(light(seen(board(0.5)), in_sun(SENSOR, towards_sun=(0.0, 0.0, side))).sun) for side in (-1.0, 1.0)
    )
    assert shaded / lit == pytest.approx(0.2, rel=0.01)


def test_a_thing_in_the_sun_casts_its_shadow_where_geometry_says(board: Board) -> None:
    # a board 100 mm nearer than another, the sun 45 degrees to the right: its shadow falls 100 mm to the left
    near, far = Placed(board(0.5), Pose(x_mm=150, z_mm=400)), Placed(board(0.5), Pose(x_mm=-30, z_mm=500))
    drawn = view(Scene((near, far), wall_mm=None), SENSOR.intrinsics)
    sensor = in_sun(SENSOR, towards_sun=(1.0, 0.0, -1.0), direct=1.0)
    row = light(drawn, sensor).sun[240]
    camera = SENSOR.intrinsics
    hidden, rim = camera.cx + (50 / 400) * camera.fx, camera.cx + (50 - 100) / 500 * camera.fx
    left = camera.cx - 130 / 500 * camera.fx
    assert (row[round(rim) + 4 : round(hidden) - 2] == 0).all()
    assert (row[round(left) + 3 : round(rim) - 4] > 0).all()
    assert (row[round(hidden) + 3 : round(hidden) + 200] > 0).all()


def test_the_sun_shades_no_smooth_thing_by_itself(ball: Surface) -> None:
    drawn = seen(ball, 500)
    sensor = in_sun(SENSOR, towards_sun=(0.6, -0.6, -0.5), direct=1.0)
    towards = np.array([0.6, -0.6, -0.5]) / np.linalg.norm([0.6, -0.6, -0.5])
    facing = drawn.normal @ towards
    lit = light(drawn, sensor).sun > 0
    assert lit[facing > 0.15].mean() > 0.995
    assert not lit[(facing < 0) & (drawn.inverse_depth > 0)].any()


def test_full_sun_is_five_and_a_half_times_a_one_watt_flood(board: Board) -> None:
    sensor = msgspec.structs.replace(in_sun(SENSOR, towards_sun=FACE_ON), flood_w=1.0)
    lit = light(seen(board(0.5)), sensor)
    assert middle(lit.sun) / middle(lit.flood) == pytest.approx(5.5, rel=0.03)


def test_the_stereo_cameras_wavelength_gets_more_sun() -> None:
    assert preset("d4xx").ambient.sun_w_m2 / SENSOR.ambient.sun_w_m2 == pytest.approx(3.2)


def test_gloss_shines_where_it_mirrors_and_nowhere_else(board: Board) -> None:
    matt = board(0.5)
    shiny = replace(matt, gloss=np.full_like(matt.gloss, 0.8))
    gain = [
        middle(light(seen(shiny, yaw_deg=yaw), SENSOR).flood) / middle(light(seen(matt, yaw_deg=yaw), SENSOR).flood)
        for yaw in (0.0, 40.0)
    ]
    assert gain[0] > 1.5
    assert gain[1] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("gloss", [0.15, 0.4, 0.8, 1.0])
def test_no_surface_mirrors_more_than_it_is_given(gloss: float) -> None:
    # light from everywhere on the half sphere, seen from 0 and 50 degrees: what is mirrored is F0's few percent
    steps = 200
    for seen_deg in (0, 50):
        vx, vz = np.sin(np.radians(seen_deg)), np.cos(np.radians(seen_deg))
        total = 0.0
        for cosine in (np.arange(steps) + 0.5) / steps:
            sine = np.sqrt(1 - cosine * cosine)
            for turn in (np.arange(steps) + 0.5) * 2 * pi / steps:
                towards = (sine * np.cos(turn), sine * np.sin(turn), cosine)
                total += float(mirrored(*(np.float32(x) for x in (0, 0, 1, *towards, vx, 0, vz, gloss))))
        assert total * 2 * pi / steps**2 / pi < 0.08


def test_albedo_of_a_patch_is_recovered_within_three_percent(board: Board) -> None:
    """Dark-subtracted numbers, exposure, depth and the module's power give back the reflectance that was put in."""
    for albedo, z_mm in ((0.2, 400), (0.55, 400), (0.55, 800), (0.88, 600)):
        rng = np.random.default_rng(0)
        lit, lens = light(seen(board(albedo), z_mm), SENSOR), Glass(SENSOR)
        ms = 0.5 * SENSOR.pixel.full_well_e / middle(lit.flood + lit.lamps)
        flood, dark = (
            lens.rectify(read_out(lens.bend(lens.blurred(rate) * np.float32(ms)), SENSOR, 1.0, rng)).astype(np.float32)
            for rate in (lit.flood + lit.lamps, lit.lamps)
        )
        electrons = middle(flood - dark) / 255 * SENSOR.pixel.full_well_e
        irradiance = SENSOR.flood_w * 3.0 * (500 / z_mm) ** 2
        # 12 ns per electron: f/2 gathers 1/17 of pi L, 9 um2, 0.28 of the photons of 2.11e-19 J each
        per_w_m2_ms = 9e-12 * 1e-3 / 17 * 0.94 * 0.3 / 2.113e-19
        assert electrons / (ms * irradiance * per_w_m2_ms) == pytest.approx(albedo, rel=0.03), (albedo, z_mm)


def test_an_unknown_patch_is_measured_against_a_known_one(board: Board) -> None:
    known, unknown = (middle(light(seen(board(albedo)), SENSOR).flood) for albedo in (0.5, 0.73))
    assert unknown / known * 0.5 == pytest.approx(0.73, rel=0.001)


def test_shot_noise_grows_with_the_root_of_the_signal() -> None:
    sensor = msgspec.structs.replace(SENSOR, pixel=msgspec.structs.replace(SENSOR.pixel, prnu=0.0, dsnu_e=0.0, hot=0.0))
    for electrons in (1000.0, 4000.0):
        held = np.full((480, 640), electrons, np.float32)
        image = read_out(held, sensor, 1.0, np.random.default_rng(1)).astype(float)
        step_e = sensor.pixel.full_well_e / 255
        expected = np.sqrt(electrons + 16 + step_e**2 / 12) / step_e
        assert image.std() == pytest.approx(expected, rel=0.03)
        assert image.mean() == pytest.approx(electrons / step_e, rel=0.002)


def test_the_fixed_pattern_stays_and_the_noise_does_not() -> None:
    held = np.full((480, 640), 5000.0, np.float32)
    one, two = (read_out(held, SENSOR, 1.0, np.random.default_rng(seed)).astype(float) for seed in (1, 2))
    together = np.corrcoef(one.ravel(), two.ravel())[0, 1]
    assert 0.2 < together < 0.5  # 50 e- of pattern against 71 e- of shot noise
    assert (fixed_pattern(SENSOR).offset_e == SENSOR.pixel.full_well_e).sum() in range(1, 12)


def test_a_full_well_reads_as_the_largest_number_and_nothing_as_zero() -> None:
    rng = np.random.default_rng(0)
    assert (read_out(np.full((480, 640), 1e6, np.float32), SENSOR, 1.0, rng) == 255).all()
    assert np.median(read_out(np.zeros((480, 640), np.float32), SENSOR, 1.0, rng)) == 0


def test_fewer_bits_leave_fewer_levels() -> None:
    sensor = msgspec.structs.replace(SENSOR, pixel=msgspec.structs.replace(SENSOR.pixel, bits=4))
    ramp = np.linspace(0, 8000, 480 * 640, dtype=np.float32).reshape(480, 640)
    assert len(np.unique(read_out(ramp, sensor, 1.0, np.random.default_rng(0)))) == 16


def test_the_lens_keeps_the_light_it_spreads() -> None:
    point = np.zeros((480, 640), np.float32)
    point[240, 320] = 1000
    spread = Glass(SENSOR).blurred(point)
    assert spread.sum() == pytest.approx(1000, rel=1e-4)
    rows = np.arange(480)[:, None] - 240
    assert np.sqrt((spread * rows**2).sum() / 1000) == pytest.approx(SENSOR.lens.psf_px, rel=0.05)


def test_rectification_undoes_the_distortion() -> None:
    rows, columns = np.mgrid[:480, :640].astype(np.float32)
    picture = 120 + 50 * np.sin(columns / 14) + 50 * np.cos(rows / 11)
    lens = Glass(SENSOR)
    bent = lens.bend(picture)
    assert np.abs(bent - picture)[40:440, 40:600].max() > 20
    back = lens.rectify(np.round(bent).astype(np.uint8)).astype(np.float32)
    assert np.abs(back - picture)[10:470, 10:630].max() < 2.5


def test_a_misaligned_lens_shifts_the_picture_by_what_it_says() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (480, 640), dtype=np.uint8)
    moved = Glass(msgspec.structs.replace(SENSOR, lens=Lens(misaligned_px=(1.0, 2.0)))).rectify(picture)
    assert np.array_equal(moved[:-2, :-1], picture[2:, 1:])


def d435() -> Preset:
    return preset("d4xx")


def measured(scene: Scene, sensor: Preset, seed: int, background_e: float = 50.0) -> F32:
    drawn = view(scene, sensor.intrinsics)
    background = np.full(drawn.albedo.shape, background_e, np.float32)
    return stereo.measure(drawn, background, 1.0, sensor, np.random.default_rng(seed))


def test_stereo_noise_is_correlated_and_grows_with_the_square_of_distance() -> None:
    sensor, spread = d435(), []
    for z_mm in (600.0, 1200.0):
        one, two = (measured(Scene(wall_mm=z_mm), sensor, seed) for seed in (1, 2))
        change = (one - two)[50:400, 60:600]
        spread.append(np.nanstd(change))
        near = np.corrcoef(change[:, :-2].ravel(), change[:, 2:].ravel())[0, 1]
        far = np.corrcoef(change[:, :-40].ravel(), change[:, 40:].ravel())[0, 1]
        assert near > 0.8
        assert abs(far) < 0.2
        assert np.nanmedian(one) == pytest.approx(z_mm, rel=0.01)
    assert spread[1] / spread[0] == pytest.approx(4.0, rel=0.25)


def test_stereo_has_steps_of_a_thirty_second_of_a_pixel() -> None:
    depth_mm = measured(Scene(wall_mm=900.0), d435(), 0)
    steps = d435().intrinsics.fx * 50.2 / depth_mm[np.isfinite(depth_mm)] * 32
    np.testing.assert_allclose(steps, np.round(steps), atol=0.02)


def test_what_only_one_lens_sees_is_a_hole(board: Board) -> None:
    scene = Scene((Placed(board(0.5), Pose(z_mm=400)), Placed(board(0.5), Pose(x_mm=-150, z_mm=700))), wall_mm=None)
    depth_mm, sensor = measured(scene, d435(), 0), d435()
    camera = sensor.intrinsics
    edge = round(camera.cx - 100 / 400 * camera.fx)
    hidden = camera.fx * sensor.baseline_mm * (1 / 400 - 1 / 700)
    row = depth_mm[230:250]
    assert np.isnan(row[:, edge - round(hidden) + 3 : edge - 4]).mean() > 0.9
    assert np.isfinite(row[:, edge - round(hidden) - 20 : edge - round(hidden) - 4]).mean() > 0.9
    assert np.isfinite(row[:, edge + 4 : edge + 40]).mean() > 0.95


def test_background_light_drowns_stereo_dots_and_saturation_ends_them(board: Board) -> None:
    scene, sensor = Scene((Placed(board(0.5), Pose(z_mm=900)),), wall_mm=None), d435()
    dark, bright, full = (np.isfinite(measured(scene, sensor, 0, background)).sum() for background in (50, 18e3, 20e3))
    assert dark > 5000
    assert bright <= dark
    assert full == 0
    faint = msgspec.structs.replace(sensor, projector=msgspec.structs.replace(sensor.projector, power_uw=2.0))
    dark, bright = (np.isfinite(measured(scene, faint, 0, background)).sum() for background in (50, 18e3))
    assert bright < dark / 10


def test_stereo_noise_is_that_of_a_real_d435(data_dir: Path) -> None:
    real, lens = recorded(data_dir)
    model = simulated(real, lens)
    for low, high in BANDS_MM:
        noise_px = [
            np.nanstd(pair.change_px()[(pair.first > low) & (pair.first < high)]) / 2**0.5 for pair in (real, model)
        ]
        assert noise_px[1] / noise_px[0] == pytest.approx(1.0, abs=0.3), (low, high)
    for axis in (0, 1):
        for lag in (2, 8, 20):
            along = [correlation(pair.change_px(), lag, axis) for pair in (real, model)]
            assert along[1] == pytest.approx(along[0], abs=0.08), (axis, lag)
    holes = [float(np.isnan(pair.first).mean()) for pair in (real, model)]
    assert holes[1] == pytest.approx(holes[0], rel=0.4)


def test_nobody_stands_in_the_sun_unless_told_to() -> None:
    assert all(preset(name).ambient.sun == 0 for name in PRESETS)
