"""What each preset sees of the same virtual person: run `python -m hil.sensor.sheet --out docs/sensor.jpg`."""

import argparse
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from hil.people import virtual_person
from hil.sensor.cycle import Cycle, take
from hil.sensor.presets import Preset, preset
from hil.sensor.scene import Placed, Pose
from hil.sensor.surface import F32

PERSON = 91
POSE = Pose(z_mm=450, yaw_deg=12)
TILE_MM = (260.0, 250.0)  # of the scene, so that every preset shows the face at the same size
TILE_PX = (300, 288)
ABOVE_MM = 110.0
DEPTH_MM = (380.0, 560.0)
COLUMNS = ("dark", "flood", "dots", "depth, 380-560 mm")


def sheet() -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a row for each sensor and light, a column for each exposure and the depth."""
    rows = [_row(sensor, label) for label, sensor in _sensors().items()]
    return np.asarray(np.concatenate(rows), np.uint8)


def _sensors() -> dict[str, Preset]:
    plain = preset("structured-light")
    ambient = msgspec.structs.replace(plain.ambient, sun=0.5)
    return {
        "structured-light": plain,
        "structured-light, half sun": msgspec.structs.replace(plain, ambient=ambient),
        "d4xx": preset("d4xx"),
        "held-out": preset("held-out"),
        "ideal": preset("ideal"),
    }


def _row(sensor: Preset, label: str) -> NDArray[np.uint8]:
    person = virtual_person(PERSON)
    taken: Cycle = take(lambda _: (Placed(person, POSE),), 0.0, sensor, np.random.default_rng(0))
    tiles = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in (taken.ambient, taken.ir, taken.dots)]
    tiles = [_tile(image, sensor) for image in (*tiles, _coloured(taken.depth_mm))]
    for tile, column in zip(tiles, COLUMNS, strict=True):
        cv2.putText(tile, f"{label}: {column}", (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(np.concatenate(tiles, axis=1), np.uint8)


def _coloured(depth_mm: F32) -> NDArray[np.uint8]:
    near, far = DEPTH_MM
    shares = np.nan_to_num((far - depth_mm) / (far - near), nan=0.0)
    colours = cv2.applyColorMap((np.clip(shares, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    colours[np.isnan(depth_mm)] = 0
    return np.asarray(colours, np.uint8)


def _tile(image: NDArray[np.generic], sensor: Preset) -> NDArray[np.uint8]:
    camera = sensor.intrinsics
    left, top = (camera.cx - TILE_MM[0] / 2 / POSE.z_mm * camera.fx, camera.cy - ABOVE_MM / POSE.z_mm * camera.fy)
    scale = TILE_PX[0] / (TILE_MM[0] / POSE.z_mm * camera.fx)
    moved = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.warpAffine(np.asarray(image, np.uint8), moved, TILE_PX, flags=way), np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A contact sheet of the sensor presets, simulated.")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    cv2.imwrite(str(parser.parse_args().out), sheet())
