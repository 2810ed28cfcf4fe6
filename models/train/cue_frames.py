"""Frames kept for the calibration of cues: the face's surroundings, pixel for pixel, and the face found there.

Rules kept here:
- A file holds one presentation and is written whole or not at all.
- A cut-out is a FrameSet like any other: its intrinsics say where the optical axis is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.liveness.surface import HALF_HEIGHT, size_px
from firmware.vision.face import Face

REACH, MARGIN_PX = 1.12, 8
"""The cut-out is so much larger than what is looked at, and a few pixels."""
DEPTH_MM = 0.02  # of one count on disk
_IMAGES = ("ir", "ambient", "dots", "depth")
_NAMES = (*_IMAGES, "facts", "points_px", "points_mm")

_Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame, and the face found in it."""

    frames: FrameSet
    face: Face


def cut(frames: FrameSet, face: Face) -> Seen:
    """The box around the face, and the face in it."""
    k = frames.intrinsics
    middle = (face.points_px[:2].mean(axis=0) + face.points_px[3:].mean(axis=0)) / 2
    reach = int(size_px(face.points_px) * HALF_HEIGHT * REACH) + MARGIN_PX
    x0, x1 = (int(np.clip(middle[0] + side * reach, 0, k.width)) for side in (-1, 1))
    y0, y1 = (int(np.clip(middle[1] + side * reach, 0, k.height)) for side in (-1, 1))
    box = slice(y0, y1), slice(x0, x1)
    return Seen(
        replace(
            frames,
            ir=frames.ir[box].copy(),
            depth_mm=frames.depth_mm[box].copy(),
            ambient=None if frames.ambient is None else frames.ambient[box].copy(),
            dots=None if frames.dots is None else frames.dots[box].copy(),
            intrinsics=msgspec.structs.replace(k, width=x1 - x0, height=y1 - y0, cx=k.cx - x0, cy=k.cy - y0),
        ),
        replace(face, points_px=(face.points_px - [x0, y0]).astype(np.float32)),
    )


def keep(path: Path, presentation: Iterable[Seen]) -> None:
    """Write every frame of one presentation, of a camera that has all three exposures."""
    stored: _Arrays = {}
    for place, seen in enumerate(presentation):
        stored |= {f"{name}{place}": value for name, value in _packed(seen).items()}
    whole = path.with_suffix(".part.npz")
    np.savez_compressed(whole, allow_pickle=False, **stored)
    whole.rename(path)


def kept(path: Path) -> list[Seen]:
    """What `keep` wrote."""
    with np.load(path, allow_pickle=False) as file:
        count = sum(name.startswith("facts") for name in file.files)
        return [_unpacked({name: file[f"{name}{place}"] for name in _NAMES}) for place in range(count)]


def _packed(seen: Seen) -> _Arrays:
    frames, face, k = seen.frames, seen.face, seen.frames.intrinsics
    if frames.ambient is None or frames.dots is None:
        raise ValueError("a dark and a dot exposure are kept too, and these frames have none")
    facts = (
        frames.sequence, frames.timestamp_ns, k.fx, k.fy, k.cx, k.cy, frames.emitter.flood, frames.exposure_us,
        frames.gain, frames.camera.dot_sigma_px or np.nan, face.distance_mm, face.yaw_deg, face.pitch_deg,
        face.roll_deg, face.ipd_mm, face.score,
    )  # fmt: skip
    return {
        "ir": frames.ir,
        "ambient": frames.ambient,
        "dots": frames.dots,
        "depth": np.nan_to_num(frames.depth_mm / DEPTH_MM, nan=0).round().astype(np.uint16),
        "facts": np.array(facts, np.float64),
        "points_px": face.points_px,
        "points_mm": face.points_mm,
    }


def _unpacked(arrays: dict[str, NDArray[np.uint8]]) -> Seen:
    ir, ambient, dots, depth = (arrays[name] for name in _IMAGES)
    facts = [float(fact) for fact in arrays["facts"]]
    height, width = ir.shape
    frames = FrameSet(
        sequence=int(facts[0]),
        timestamp_ns=int(facts[1]),
        ir=ir,
        depth_mm=np.where(depth > 0, depth * np.float32(DEPTH_MM), np.nan).astype(np.float32),
        intrinsics=Intrinsics(width=width, height=height, fx=facts[2], fy=facts[3], cx=facts[4], cy=facts[5]),
        emitter=Emitter(flood=facts[6], dots=1.0),
        exposure_us=int(facts[7]),
        gain=facts[8],
        camera=CameraInfo("SIMULATED", "simulated", "-", True, dot_sigma_px=facts[9]),
        ambient=ambient,
        dots=dots,
    )
    face = Face(
        box=(0.0, 0.0, float(width), float(height)),
        points_px=arrays["points_px"].astype(np.float32),
        score=facts[15],
        distance_mm=facts[10],
        points_mm=arrays["points_mm"].astype(np.float32),
        yaw_deg=facts[11],
        pitch_deg=facts[12],
        roll_deg=facts[13],
        ipd_mm=facts[14],
    )
    return Seen(frames, face)
