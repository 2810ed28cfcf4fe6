"""What each simulated sensor says of its flood and dots is what its pictures show. Simulated."""

import msgspec
import numpy as np
import pytest

from drivers.camera import CameraInfo, Emitter, FrameSet
from drivers.camera.structured_light.dot_size import dot_sigma_px as size_of_dots
from firmware.liveness.patch import patch
from firmware.vision.face import Face
from hil.sensor.bench import Target
from hil.sensor.capture import capture
from hil.sensor.cycle import take
from hil.sensor.dots import dot_sigma_px, reference
from hil.sensor.flood import FLOOD_RESPONSE
from hil.sensor.optics import flood_response
from hil.sensor.presets import preset
from hil.sensor.scene import INTRINSICS, Scene
from hil.sensor.virtual_exposures import TARGET_ALBEDO, flat_target


def board(distance_mm: float, name: str | None, sun: float, level: float) -> FrameSet:
    """The flat target, matt white, before a sensor: a preset, or the plain one."""
    rng, target = np.random.default_rng(5), flat_target(Target(distance_mm), np.eye(3))
    emitter = Emitter(level, 1.0, 0)
    if name is None:
        plain = capture(Scene((target,)), rng, flood_level=level)
        info = CameraInfo("", "", "", True, FLOOD_RESPONSE)
        return FrameSet(
            0, 0, plain.ir, plain.depth_mm, INTRINSICS, emitter, plain.exposure_us, plain.gain, info, plain.ambient
        )
    sensor = preset(name)
    sensor = msgspec.structs.replace(sensor, ambient=msgspec.structs.replace(sensor.ambient, sun=sun))
    cycle = take(lambda _: (target,), 0.0, sensor, rng, level)
    info = CameraInfo("", "", "", True, flood_response(sensor), dot_sigma_px(sensor))
    return FrameSet(
        0, 0, cycle.ir, cycle.depth_mm, sensor.intrinsics, emitter, cycle.exposure_us, cycle.gain, info,
        cycle.ambient, cycle.dots,
    )  # fmt: skip


def held_at(frames: FrameSet, distance_mm: float) -> Face:
    """A face's five points in the middle of the picture."""
    k = frames.intrinsics
    mm = np.array([[-31, -30], [31, -30], [0, 0], [-25, 35], [25, 35]])
    points_px = (mm * k.fx / distance_mm + [k.cx, k.cy]).astype(np.float32)
    points_mm = np.column_stack([mm, np.full(5, distance_mm)]).astype(np.float32)
    return Face((0.0, 0.0, 1.0, 1.0), points_px, 1.0, distance_mm, points_mm, 0.0, 0.0, 0.0, 62.0)


@pytest.mark.parametrize("distance_mm", [300.0, 500.0, 800.0])
@pytest.mark.parametrize(
    ("name", "sun", "level"),
    [(None, 0.0, 1.0), (None, 0.0, 0.512), ("structured-light", 0.0, 0.512), ("structured-light", 1.0, 1.0)],
)
def test_the_albedo_of_a_matt_board_is_found_indoors_and_in_sun(
    name: str | None, sun: float, level: float, distance_mm: float
) -> None:
    frames = board(distance_mm, name, sun, level)
    found = patch(frames, held_at(frames, distance_mm))
    assert found is not None
    assert frames.camera.flood_response is not None
    albedo = found.lit / (frames.camera.flood_response * level * found.expected)
    assert float(np.nanmedian(albedo[found.inside])) == pytest.approx(TARGET_ALBEDO, rel=0.05)
    assert np.isfinite(albedo[found.inside]).mean() > 0.95


@pytest.mark.parametrize("name", ["ideal", "structured-light", "d4xx"])
def test_dots_are_of_the_size_the_sensor_says(name: str) -> None:
    """Its pictures show them up to an eighth larger: rectifying them blurs a little."""
    sensor = preset(name)
    found = size_of_dots(reference(msgspec.structs.replace(sensor, scattering=False)))
    assert found is not None
    assert 0.95 * dot_sigma_px(sensor) < found < 1.13 * dot_sigma_px(sensor)


def test_a_sensor_without_a_flood_says_so() -> None:
    assert flood_response(msgspec.structs.replace(preset("d4xx"), flood_w=0.0)) is None
