"""The dot exposure against the physics it claims, and the way from dots to depth. Simulated."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from drivers.camera.structured_light import Decoder
from hil.people import Head
from hil.rig import bench_structured_light
from hil.rig.bench import bench
from hil.sensor.dots import calibration, expose_dots, pattern, reference
from hil.sensor.lens import glass
from hil.sensor.material import (
    CLOTH,
    GLASS,
    HAIR,
    PAINT,
    PAPER,
    PLASTIC_OPAQUE,
    RESIN_TRANSLUCENT,
    SILICONE,
    SKIN,
    Material,
    gaussians,
)
from hil.sensor.pixels import read_out
from hil.sensor.presets import PRESETS, Preset, preset
from hil.sensor.rasteriser import NOTHING, view
from hil.sensor.scene import WALL_ALBEDO, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface

IDEAL = preset("ideal", 640)
MODULE = preset("structured-light", 640)
MIDDLE = (slice(160, 320), slice(240, 400))


def light(sensor: Preset, *placed: Placed, wall_mm: float | None = None) -> F32:
    return expose_dots(view(Scene(placed, wall_mm), sensor.intrinsics), sensor, np.random.default_rng(1))


@lru_cache
def decoder(sensor: Preset) -> Decoder:
    return Decoder(reference(sensor), calibration(sensor))


def with_dots(sensor: Preset, **changes: object) -> Preset:
    return msgspec.structs.replace(sensor, projector=msgspec.structs.replace(sensor.projector, **changes))


def test_a_dot_on_skin_at_half_a_metre_is_some_34000_electrons() -> None:
    """The budget: 33 uW, 1 ms, f/2, albedo 0.55; that camera's f is 2.35 mm, quantum efficiency 0.3."""
    sensor = msgspec.structs.replace(preset("structured-light", 1280), dot_exposure_us=1000, scattering=False)
    camera = sensor.intrinsics
    around = (slice(300, 500), slice(540, 740))  # near the axis, where no cosine matters
    rays = pattern(sensor).rays
    columns = camera.cx + camera.fx * (rays[:, 0] + sensor.baseline_mm / 500)
    rows = camera.cy + camera.fy * rays[:, 1]
    inside = (columns > 539.5) & (columns < 739.5) & (rows > 299.5) & (rows < 499.5)
    per_dot = light(sensor, wall_mm=500)[around].sum() / inside.sum() * 0.55 / WALL_ALBEDO
    assert per_dot == pytest.approx(34_000, rel=0.06)


def test_light_falls_with_the_square_of_distance() -> None:
    """The camera sees as many dots on a near wall as on a far one."""
    sums = [light(IDEAL, wall_mm=z_mm)[MIDDLE].sum() for z_mm in (350, 700)]
    assert sums[0] / sums[1] == pytest.approx(4, rel=0.05)


def test_light_falls_with_the_cosine_of_the_view(board: Callable[[float], Surface]) -> None:
    matt = replace(board(0.6), material=PAPER)
    around = (slice(200, 280), slice(280, 360))
    sums = [light(IDEAL, Placed(matt, Pose(z_mm=450, pitch_deg=turn)))[around].sum() for turn in (0, 50)]
    assert sums[1] / sums[0] == pytest.approx(np.cos(np.radians(50)), rel=0.06)


SPREADING = [SKIN, SILICONE, RESIN_TRANSLUCENT, PLASTIC_OPAQUE, PAPER, PAINT, HAIR, CLOTH]


@pytest.mark.parametrize("material", SPREADING, ids=lambda m: m.name)
def test_spread_has_the_materials_radii(material: Material) -> None:
    sums = gaussians(material)
    assert sums[:, 0].sum() == pytest.approx(1)
    assert (sums >= 0).all()
    for radius, share in zip(material.spread_mm, (0.25, 0.5, 0.75), strict=True):
        within = (sums[:, 0] * (1 - np.exp(-(radius**2) / (2 * sums[:, 1] ** 2)))).sum()
        assert within == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("z_mm", [300.0, 600.0])
@pytest.mark.parametrize("material", [SKIN, PLASTIC_OPAQUE], ids=lambda m: m.name)
def test_the_picture_of_a_dot_has_the_materials_radii(
    board: Callable[[float], Surface], material: Material, z_mm: float
) -> None:
    """A few dots far apart; a dot's own size adds to the radii in quadrature."""
    unspeckled = with_dots(msgspec.structs.replace(MODULE, scattering=True), count=12, speckle=0.0)
    matt = replace(board(0.5), material=replace(material, sharp=0.0))
    exposure = light(unspeckled, Placed(matt, Pose(z_mm=z_mm)))
    camera = MODULE.intrinsics
    rays = pattern(unspeckled).rays
    columns = camera.cx + camera.fx * (rays[:, 0] + MODULE.baseline_mm / z_mm)
    rows = camera.cy + camera.fy * rays[:, 1]
    reach = 45.0
    alone = [
        (x, y)
        for x, y in zip(columns, rows, strict=True)
        if np.hypot(columns - x, rows - y)[(columns != x) | (rows != y)].min() > 2 * reach
        and max(abs(x - camera.cx), abs(y - camera.cy)) + reach < camera.fx * 100 / z_mm
    ]
    assert alone
    x, y = alone[0]
    row, column = np.mgrid[0 : camera.height, 0 : camera.width]
    distance = np.hypot(column - x, row - y)
    total = exposure[distance < reach].sum()
    for radius_mm, share in zip(material.spread_mm[1:], (0.5, 0.75), strict=True):
        radius_px = np.hypot(radius_mm * camera.fx / z_mm, 1.18 * MODULE.projector.sigma_px)
        assert exposure[distance < radius_px].sum() / total == pytest.approx(share, abs=0.07)


@given(
    radii=st.tuples(*[st.floats(0.01, 20)] * 3).map(sorted).map(tuple),
)
def test_any_radii_make_a_sum_of_positive_weights(radii: tuple[float, float, float]) -> None:
    sums = gaussians(Material("any", radii, 0.1))
    assert np.isfinite(sums).all()
    assert (sums[:, 0] >= 0).all()
    assert sums[:, 0].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("spread_mm", "sharp"), [((1.0, 0.5, 2.0), 0.1), ((-1.0, 0.5, 2.0), 0.1), ((1.0, 2.0, 3.0), 1.1), ((1, 2, 30), 0.1)]
)
def test_an_impossible_material_is_refused(spread_mm: tuple[float, float, float], sharp: float) -> None:
    with pytest.raises(ValueError, match="material odd"):
        Material("odd", spread_mm, sharp)


def test_light_that_spreads_is_not_lost(board: Callable[[float], Surface]) -> None:
    pose = Pose(z_mm=450)
    skin, paper = (light(MODULE, Placed(replace(board(0.5), material=m), pose))[MIDDLE].sum() for m in (SKIN, PAPER))
    assert skin == pytest.approx(paper, rel=0.03)


def test_dots_on_skin_fade_without_the_sharp_term(board: Callable[[float], Surface]) -> None:
    def contrast(material: Material) -> float:
        image = light(MODULE, Placed(replace(board(0.5), material=material), Pose(z_mm=500)))[MIDDLE]
        return float(image.std() / image.mean())

    assert contrast(replace(SKIN, sharp=0.0)) < 0.65 * contrast(SKIN)
    assert contrast(SKIN) < 0.65 * contrast(PAPER)


def test_what_stands_before_the_projector_shades_what_is_behind(board: Callable[[float], Surface]) -> None:
    """The projector is on the right: the shadow lies left of the board, as wide as the two disparities differ."""
    near_mm, wall_mm = 450.0, 900.0
    exposure = light(IDEAL, Placed(replace(board(0.5), material=PAPER), Pose(z_mm=near_mm)), wall_mm=wall_mm)
    camera = IDEAL.intrinsics
    left = camera.cx - camera.fx * 100 / near_mm
    shadow = camera.fx * IDEAL.baseline_mm * (1 / near_mm - 1 / wall_mm)
    row = slice(150, 330)
    shaded = exposure[row, int(left - shadow) + 4 : int(left) - 3]
    beside = exposure[row, int(left - 2 * shadow) : int(left - shadow) - 4]
    assert shaded.max() < 0.01 * beside.max()
    assert beside.mean() > 0


def test_glass_returns_next_to_nothing(board: Callable[[float], Surface]) -> None:
    turned = Pose(z_mm=450, yaw_deg=15)
    glassy = replace(board(0.035), material=GLASS, gloss=np.ones_like(board(0.035).gloss))
    dark = light(MODULE, Placed(glassy, turned))[MIDDLE]
    paper = light(MODULE, Placed(replace(board(0.8), material=PAPER), turned))[MIDDLE]
    assert dark.mean() < 0.1 * paper.mean()


def test_missing_dots_are_missing_and_the_rest_unmoved() -> None:
    whole, part = (with_dots(IDEAL, missing=share) for share in (0.0, 0.3))
    assert len(pattern(part).rays) == pytest.approx(0.7 * len(pattern(whole).rays), rel=0.02)
    assert {*map(bytes, pattern(part).rays)} <= {*map(bytes, pattern(whole).rays)}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("width", [640, 1280])
def test_every_preset_has_its_pattern_at_arms_length(name: str, width: int) -> None:
    sensor = preset(name, width)
    camera, rays = sensor.intrinsics, pattern(sensor).rays
    columns = camera.cx + camera.fx * (rays[:, 0] + sensor.baseline_mm / sensor.reference_mm)
    within = (columns > -0.5) & (columns < camera.width - 0.5)
    expected = sensor.projector.count * (1 - sensor.projector.missing)
    assert within.sum() == pytest.approx(expected, rel=0.05)
    nearest, farthest = calibration(sensor).range_mm
    assert nearest < 295
    assert 1070 <= farthest < 1200


def test_the_reference_is_kept_and_read_only() -> None:
    image = reference(MODULE)
    assert image is reference(MODULE)
    assert 180 < image.max() < 255
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_the_same_generator_gives_the_same_light() -> None:
    np.testing.assert_array_equal(light(MODULE, wall_mm=500), light(MODULE, wall_mm=500))


def _shot(sensor: Preset, electrons: F32) -> np.ndarray:
    through = glass(sensor)
    electrons = through.blurred(electrons)
    electrons *= np.float32(0.85 * sensor.pixel.full_well_e / np.percentile(electrons[electrons > 0], 99.5))
    return through.rectify(read_out(through.bend(electrons), sensor, 1.0, np.random.default_rng(2)))


@pytest.mark.parametrize("name", ["ideal", "structured-light", "held-out"])
@pytest.mark.parametrize("z_mm", [320.0, 500.0, 800.0])
def test_dots_on_a_wall_decode_to_where_it_is(name: str, z_mm: float) -> None:
    sensor = preset(name, 640)
    depth = decoder(sensor).decode(_shot(sensor, light(sensor, wall_mm=z_mm)))[40:-40, 80:-80]
    one_px_mm = z_mm**2 / (sensor.intrinsics.fx * sensor.baseline_mm)
    assert np.isfinite(depth).mean() > 0.95
    misaligned = abs(sensor.lens.misaligned_px[0]) * one_px_mm  # a knocked module errs by as much
    assert abs(np.nanmedian(depth) - z_mm) < misaligned + 0.04 * one_px_mm


def test_dots_on_a_ball_decode_to_a_ball(ball: Surface) -> None:
    seen = view(Scene((Placed(replace(ball, material=PAPER), Pose(z_mm=500)),)), IDEAL.intrinsics)
    truth = 1 / seen.inverse_depth
    depth = decoder(IDEAL).decode(
        _shot(IDEAL, expose_dots(seen, IDEAL, np.random.default_rng(1))), (180, 100, 460, 380)
    )
    front = (seen.owner != NOTHING) & (truth < 455)
    assert np.isfinite(depth[front]).mean() > 0.85
    assert np.nanmedian(np.abs(depth - truth)[front]) < 0.7


def test_a_person_decodes_through_skin_and_distortion(person: Head) -> None:
    seen = view(Scene((Placed(person, Pose(z_mm=450)),)), MODULE.intrinsics)
    truth = 1 / seen.inverse_depth
    depth = decoder(MODULE).decode(_shot(MODULE, expose_dots(seen, MODULE, np.random.default_rng(1))))
    face = np.zeros(depth.shape, bool)
    face[200:340, 250:390] = True
    face &= seen.owner != NOTHING
    assert np.isfinite(depth[face]).mean() > 0.85
    assert np.nanmedian(np.abs(depth - truth)[face]) < 1.0


def test_bench_prints_the_decoders_targets_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy and coverage; CPU time depends on who else computes, so it is only there."""
    monkeypatch.setattr(bench_structured_light, "FRAMES", 1)
    app = typer.Typer()
    app.command()(bench)
    printed = CliRunner().invoke(app, ["--only", "structured-light", "--json"])
    rows = msgspec.json.decode(printed.stdout)["structured_light"]
    assert list(rows) == ["0.3", "0.5", "0.8"]
    for row in rows.values():
        assert row["median_abs_mm"] <= row["target"]["median_abs_mm"]
        assert row["median_abs_mm"] < 0.5 * row["sgbm_alone"]["median_abs_mm"]
        assert row["valid_pct"] >= row["target"]["valid_pct"]
        assert row["cpu_ms"] > 0
        assert row["one_row_off"]["valid_pct"] < row["valid_pct"]
        assert 1 < row["physical"]["median_abs_mm"] / row["median_abs_mm"] < 2.5
