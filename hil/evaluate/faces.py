"""From a still picture to an embedding, by the terminal's own detector, aligner and networks.

Rules kept here:
- One face a file. Where a picture shows several, the largest counts: a still has no capture volume to choose by.
- A small picture is enlarged first and looked at with a margin around it: the detector misses faces under 100 pixels
  and faces that touch the border.
- A depth image has no infrared to find a face in: it is lit as a plaster cast would be, and the detector looks at that.
  Where it sees nothing, the nearest point is taken for a nose and the canonical face judges: the start that ends
  nearest to the mean face counts, if it is as near as faces are.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from drivers.npu.interface import Network
from firmware.vision.align import align
from firmware.vision.canonical import Canonical, canonical, template
from firmware.vision.yunet import Candidate, find_candidates, look_closer

NO_FACE, NO_DEPTH, NO_CANONICAL = "no_face", "no_depth", "no_canonical_face"
SMALL_PX, LARGE_PX = 320, 640
MARGINS = (0.0, 0.25, 0.6)
TURNS_DEG = (-20.0, 0.0, 20.0)
LIKE_A_FACE_MM = 3.0
"""Median distance from the mean face; rendered faces end between 0.9 and 2.2, walls and hands beyond."""
LEAST_KNOWN = 0.3  # of the canonical map; rendered faces have 0.5 and more
NOSE_WINDOW_MM = 250.0  # behind the nearest thing: a face and what belongs to it
SHADE_MM = 1.5  # how finely the plaster is smooth
_F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Missed:
    """No face to use, and why."""

    reason: str


def find_face(network: Network, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> Candidate | Missed:
    """The largest face in (H, W) `picture`, its points in that picture's pixels. Raises NetworkError."""
    height, width = picture.shape
    scale = max(1.0, SMALL_PX / max(height, width))
    scale = scale if max(height, width) <= LARGE_PX else LARGE_PX / max(height, width)
    sized: NDArray[Any] = cv2.resize(
        picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR
    )
    for share in MARGINS:
        edge = round(share * max(sized.shape))
        framed: NDArray[Any] = cv2.copyMakeBorder(sized, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        found = find_candidates(network, framed)
        if found:
            largest = max(found, key=lambda face: float(face.box[2] * face.box[3]))
            closer = look_closer(network, framed, largest) or largest
            return _back(closer, edge, (width / sized.shape[1], height / sized.shape[0]))
    return Missed(NO_FACE)


def _back(face: Candidate, edge: int, factors: tuple[float, float]) -> Candidate:
    """`face` in the pixels of the picture before it was sized and framed."""
    factor = np.array(factors, np.float32)
    shift = (factor - 1) / 2  # pixel centres stand at integers in both
    box = np.concatenate([(face.box[:2] - edge) * factor + shift, face.box[2:] * factor])
    points = (face.points_px - edge) * factor + shift
    return Candidate(box.astype(np.float32), points.astype(np.float32), face.score)


def crop_of(network: Network, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> _F32 | Missed:
    """(112, 112) float32, SFace's input. Raises NetworkError."""
    found = find_face(network, picture)
    return found if isinstance(found, Missed) else align(picture, found.points_px)


def shape_of(network: Network, depth_mm: _F32, intrinsics: Intrinsics) -> Canonical | Missed:
    """The canonical face in (H, W) float32 `depth_mm`, NaN where unknown. Raises NetworkError."""
    known = np.isfinite(depth_mm) & (depth_mm > 0)
    if known.sum() < 500:
        return Missed(NO_DEPTH)
    near = float(np.percentile(depth_mm[known], 1))
    whole = np.where(known & (depth_mm < near + NOSE_WINDOW_MM), depth_mm, np.float32(np.nan))
    starts: list[_F32] = []
    found = find_face(network, plaster(whole, intrinsics))
    if isinstance(found, Candidate):
        points = _in_space(found.points_px, whole, intrinsics)
        starts = [points] if np.isfinite(points).all() else []
    made = [canonical(depth_mm, intrinsics, points) for points in [*starts, *_from_nose(whole, intrinsics)]]
    faces = [face for face in made if face and face.residual_mm < LIKE_A_FACE_MM and face.known.mean() > LEAST_KNOWN]
    return min(faces, key=lambda face: face.residual_mm - 10 * face.known.mean(), default=Missed(NO_CANONICAL))


def plaster(depth_mm: _F32, intrinsics: Intrinsics) -> NDArray[np.uint8]:
    """(H, W) uint8: what a matt white cast of the surface would look like, lit from the camera."""
    known = np.isfinite(depth_mm)
    middle = float(np.median(depth_mm[known]))
    sigma = max(0.8, SHADE_MM * intrinsics.fx / middle)
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(known, depth_mm, np.float32(0)), (0, 0), sigma)
    smooth = np.where(weight > 0.3, total / np.maximum(weight, 1e-3), np.float32(np.nan))
    across = np.gradient(smooth, axis=1) * intrinsics.fx / smooth
    down = np.gradient(smooth, axis=0) * intrinsics.fy / smooth
    light = 1 / np.sqrt(1 + across**2 + down**2)
    return np.asarray(np.nan_to_num(light**1.5 * 220, nan=12.0), np.uint8)


def _in_space(points_px: _F32, depth_mm: _F32, camera: Intrinsics) -> _F32:
    """(5, 3) mm; NaN rows where nothing is known around a point."""
    half = max(2, round(0.06 * float(np.linalg.norm(points_px[1] - points_px[0]))))
    rows = []
    for u, v in points_px.tolist():
        left, top = max(round(u) - half, 0), max(round(v) - half, 0)
        patch = depth_mm[top : max(round(v) + half + 1, 0), left : max(round(u) + half + 1, 0)]
        known = patch[np.isfinite(patch)]
        z = float(np.median(known)) if known.size else np.nan
        rows.append([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z])
    return np.array(rows, np.float32)


def _from_nose(depth_mm: _F32, camera: Intrinsics) -> list[_F32]:
    """Landmarks of the mean face hung on the nearest point, turned a few ways."""
    smooth = cv2.blur(np.nan_to_num(depth_mm, nan=float(np.nanmax(depth_mm))), (7, 7))
    v, u = np.unravel_index(int(np.argmin(smooth)), smooth.shape)
    z = float(smooth[v, u])
    nose = np.array([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z])
    marks = template().landmarks_mm.astype(np.float64)
    starts = []
    for yaw in TURNS_DEG:
        for pitch in TURNS_DEG:
            turn, _ = cv2.Rodrigues(np.radians([0.0, yaw, 0.0]))
            nod, _ = cv2.Rodrigues(np.radians([pitch, 0.0, 0.0]))
            starts.append(((marks - marks[2]) @ (nod @ turn).T + nose).astype(np.float32))
    return starts
