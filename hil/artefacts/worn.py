"""What is worn before a living face: where it comes to lie, and what of the wearer stays visible.

A worn thing moves with the wearer's skull, never with the wearer's skin. It lies on the face as far forward as the
face pushes it; what is behind it is unseen, so it is pressed back out of the way rather than made to fit.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from hil.artefacts.instrument import Attacker, Hold
from hil.people.actor import NEUTRAL
from hil.sensor.rasteriser import view
from hil.sensor.scene import Performance, Placed, Pose, Scene
from hil.sensor.surface import F32, Surface

SIZE_MM = 400
# A lens so long that a pixel is a millimetre, whatever the depth.
_FAR_MM = 20_000.0
_LENS = Intrinsics(width=SIZE_MM, height=SIZE_MM, fx=_FAR_MM, fy=_FAR_MM, cx=SIZE_MM / 2, cy=SIZE_MM / 2)
_BEHIND_MM = 2.0


def relief(parts: tuple[Surface, ...]) -> F32:
    """(400, 400) float32: z in mm of the foremost surface, a pixel a millimetre, origin in the middle; NaN: nothing."""
    seen = view(Scene(tuple(Placed(part, Pose(z_mm=_FAR_MM)) for part in parts), wall_mm=None), _LENS).inverse_depth
    return np.where(seen > 0, 1 / np.maximum(seen, 1e-9) - _FAR_MM, np.nan).astype(np.float32)


def moved(part: Surface, z_mm: float) -> Surface:
    """Nearer by `z_mm` if negative; it still turns about the wearer's neck."""
    return replace(part, vertices_mm=part.vertices_mm + np.array([0, 0, z_mm], np.float32))


def put_on(part: Surface, wearer: tuple[Surface, ...], pressing: float, thickness_mm: float) -> Surface:
    """`part` as far forward as it lies on the wearer's face at rest; the share `pressing` of it presses into skin."""
    inside, face = relief((part,)), relief(wearer)
    both = np.isfinite(inside) & np.isfinite(face)
    gap = float(np.quantile((inside - face)[both], 1 - pressing)) if both.any() else 0.0
    return replace(moved(part, -gap - thickness_mm), pivot_mm=wearer[0].pivot_mm)


def tucked(part: Surface, cover: F32) -> Surface:
    """The wearer's `part` (head axes), pressed back where the worn thing, `cover` = its `relief`, would hide it."""
    columns = np.clip(np.round(part.vertices_mm[:, 0] + SIZE_MM / 2).astype(int), 0, SIZE_MM - 1)
    rows = np.clip(np.round(part.vertices_mm[:, 1] + SIZE_MM / 2).astype(int), 0, SIZE_MM - 1)
    least = np.nan_to_num(cover[rows, columns] + _BEHIND_MM, nan=-np.inf)
    vertices = part.vertices_mm.copy()
    vertices[:, 2] = np.maximum(vertices[:, 2], least)
    return replace(part, vertices_mm=vertices)


def worn(part: Surface, attacker: Attacker, hold: Hold, pressing: float, thickness_mm: float) -> Performance:
    """`part` put on the attacker's wearer, who lives on behind it.

    Raises:
        ArtefactError: nobody wears it.
    """
    wearer = attacker.worn_by()
    mask = put_on(part, wearer.surfaces(NEUTRAL), pressing, thickness_mm)
    cover = relief((mask,))

    def at(time_s: float) -> tuple[Placed, ...]:
        expression, pose = attacker.act(hold, time_s)
        behind = (tucked(skin, cover) for skin in wearer.surfaces(expression))
        return (Placed(mask, pose), *(Placed(skin, pose) for skin in behind))

    return at


def cut(part: Surface, keep: NDArray[np.bool_]) -> Surface:
    """The triangles of `part` whose three vertices are all to `keep` (V,) bool."""
    return replace(part, faces=np.ascontiguousarray(part.faces[keep[part.faces].all(axis=1)]))


def outside_eyes(points_mm: F32, eyes: F32, half_wide_mm: float) -> NDArray[np.bool_]:
    """(V,) bool: not within the almond holes about `eyes` (2, 3)."""
    keep = np.ones(len(points_mm), bool)
    for eye in eyes:
        x, y = (points_mm[:, :2] - eye[:2]).T
        keep &= (x / half_wide_mm) ** 2 + (y / (0.6 * half_wide_mm)) ** 2 > 1
    return keep


def inside_face(points_mm: F32, landmarks: F32, scale: float = 1.0) -> NDArray[np.bool_]:
    """(V,) bool: within the oval from hairline to chin of the face with these five points."""
    unit = np.linalg.norm(landmarks[1] - landmarks[0]) * scale
    chin = landmarks[3:, 1].mean() * 1.75
    top = -1.0 * unit
    middle, half = (top + chin) / 2, (chin - top) / 2
    inside: NDArray[np.bool_] = (points_mm[:, 0] / (1.12 * unit)) ** 2 + ((points_mm[:, 1] - middle) / half) ** 2 < 1
    return inside
