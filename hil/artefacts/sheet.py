"""Sheets with the victim's picture: how the picture is taken, printed, and how the sheet is rolled.

    R = R_paper (1 - k (1 - grey)),   k: how black the ink is in the near infrared

k is 0.8-0.95 for carbon black and toner (the face stays), 0.03-0.15 for dye and coloured inks (the face vanishes).
The picture is a near-infrared one taken by this very sensor: the best an attacker can have.
"""

from dataclasses import replace

import cv2
import numpy as np

from drivers.camera import Intrinsics
from hil.artefacts.instrument import Limit
from hil.artefacts.toner import PAPER_ALBEDO, sheet_mesh
from hil.people.actor import NEUTRAL, Actor
from hil.sensor import flood
from hil.sensor.material import PAPER, Material
from hil.sensor.rasteriser import view
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.surface import F32, Surface, vertex_normals

TONER = Limit(0.6, 0.95, 0.85)
DYE = Limit(0.03, 0.15, 0.08)
SCALE = Limit(0.6, 1.2, 1.0, "of life size")
RADIUS = Limit(50, 200, 90, "mm")
A4_MM, A4_BORDER_MM = (210.0, 297.0), 5.0
PIXELS_PER_MM = 3.0
EYES_FROM_TOP = 0.42  # of the sheet's height
GRAIN = 0.02  # unevenness of toner and paper, relative

_PORTRAIT = Intrinsics(width=880, height=1000, fx=1200.0, fy=1200.0, cx=439.5, cy=419.5)
_STAND_MM = 500.0


def portrait(victim: Actor, rng: np.random.Generator) -> F32:
    """(1000, 880) float32 grey 0..1: the victim at rest, upright, flood-lit, `_STAND_MM` before `_PORTRAIT`."""
    pose = Pose(z_mm=_STAND_MM)
    scene = Scene(tuple(Placed(part, pose) for part in victim.surfaces(NEUTRAL)), wall_mm=None)
    picture = flood.expose(view(scene, _PORTRAIT), _PORTRAIT, rng).ir
    return np.asarray(picture / np.float32(255), np.float32)


def laid_out(picture: F32, size_mm: tuple[float, float], scale: float, pixels_per_mm: float, border_mm: float) -> F32:
    """(R, C) float32 grey: `picture` at `scale` times life size on a white sheet, eyes at `EYES_FROM_TOP`."""
    columns, rows = (round(side * pixels_per_mm) for side in size_mm)
    step = _PORTRAIT.fx / _STAND_MM / pixels_per_mm / scale
    place = np.array(
        [
            [step, 0, _PORTRAIT.cx - step * (columns - 1) / 2],
            [0, step, _PORTRAIT.cy - step * (EYES_FROM_TOP * rows - 0.5)],
        ]
    )
    grey = cv2.warpAffine(picture, place, (columns, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    white = np.ones((rows, columns), np.float32)
    border = round(border_mm * pixels_per_mm)
    inside = (slice(border, rows - border), slice(border, columns - border))
    white[inside] = np.clip(grey, 0, 1)[inside]
    return white


def inked(grey: F32, k: float, rng: np.random.Generator) -> F32:
    """(R, C) float32 reflectance of paper printed with `grey`, uneven as prints are."""
    grain = 1 + GRAIN * rng.standard_normal(grey.shape, dtype=np.float32)
    return np.asarray(np.clip(PAPER_ALBEDO * (1 - k * (1 - grey)) * grain, 0.01, 0.95), np.float32)


def sheet(
    albedo: F32, size_mm: tuple[float, float], gloss: float, material: Material = PAPER, cell_mm: float = 4.5
) -> Surface:
    """A flat sheet in cells of `cell_mm`, facing the camera, its origin at the printed point between the eyes."""
    vertices, uv, faces = sheet_mesh(round(size_mm[0] / cell_mm), round(size_mm[1] / cell_mm), *size_mm)
    vertices[:, 1] += size_mm[1] * (0.5 - EYES_FROM_TOP)
    return Surface(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=uv,
        albedo=albedo,
        gloss=np.full(len(vertices), gloss, np.float32),
        pivot_mm=np.zeros(3, np.float32),
        material=material,
    )


def rolled(flat: Surface, radius_mm: float) -> Surface:
    """The sheet on an upright cylinder, bulging towards the camera; not stretched."""
    vertices = flat.vertices_mm.copy()
    angle = vertices[:, 0] / radius_mm
    vertices[:, 0] = np.sin(angle) * radius_mm
    vertices[:, 2] += (1 - np.cos(angle)) * radius_mm
    return replace(flat, vertices_mm=vertices, normals=vertex_normals(vertices, flat.faces))


def printed(
    victim: Actor, seed: int, size_mm: tuple[float, float], k: float, scale: float, gloss: float, border_mm: float
) -> Surface:
    """A flat print of the victim."""
    rng = np.random.default_rng([seed, 0x5EE7])
    grey = laid_out(portrait(victim, rng), size_mm, scale, PIXELS_PER_MM, border_mm)
    return sheet(inked(grey, k, rng), size_mm, gloss)
