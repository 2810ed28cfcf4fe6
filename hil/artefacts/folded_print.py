"""Folded print: a toner print whose sides are folded back along two creases that are not parallel.

Folding does not stretch paper, yet no single direction of it stays straight: a gate that fits one bent sheet to the
whole face takes it for a face. Found by review, kept so that it stays found.
"""

from dataclasses import replace

import numpy as np

from hil.artefacts.instrument import Attacker, Hold, Limit, Species
from hil.artefacts.sheet import A4_BORDER_MM, A4_MM, SCALE, TONER, printed
from hil.people.actor import Actor
from hil.sensor.scene import Performance, Placed
from hil.sensor.surface import F32, Surface, vertex_normals


def folded(flat: Surface, across_mm: float, tilt_deg: float, fold_deg: float) -> Surface:
    """Both sides of a flat sheet turned back by `fold_deg` about creases `across_mm` from the middle, mirror images.

    `tilt_deg` is how far the creases lean from upright; the sheet is cut off before they meet.
    """
    tilt = np.radians(tilt_deg)
    sides = [_turned(flat.vertices_mm, np.array([side * np.cos(tilt), np.sin(tilt)]), across_mm, fold_deg)
             for side in (1, -1)]  # fmt: skip
    vertices = sides[0][0].copy()
    vertices[sides[1][1]] = sides[1][0][sides[1][1]]
    height = np.sign(tilt_deg) * flat.vertices_mm[flat.faces, 1].max(axis=1)
    meet = 0.98 * across_mm / max(abs(np.sin(tilt)), 1e-6)
    return replace(
        flat, vertices_mm=vertices, normals=vertex_normals(vertices, flat.faces), faces=flat.faces[height < meet]
    )


def _turned(vertices: F32, outward: np.ndarray, across_mm: float, fold_deg: float) -> tuple[F32, np.ndarray]:
    """`vertices` with all beyond a crease turned back about it, and which those are. An isometry of the plane."""
    beyond = vertices[:, :2] @ outward - across_mm
    turn = np.radians(fold_deg)
    moved = beyond > 0
    out = vertices.copy()
    out[moved, :2] += np.outer(beyond[moved] * (np.cos(turn) - 1), outward).astype(np.float32)
    out[moved, 2] += (beyond[moved] * np.sin(turn)).astype(np.float32)
    return out, moved


def held_folded(
    victim: Actor,
    attacker: Attacker,
    hold: Hold,
    *,
    k: float,
    scale: float,
    across_mm: float,
    tilt_deg: float,
    fold_deg: float,
) -> Performance:
    """An A4 print with two creases, held at its edges."""
    print_ = folded(printed(victim, attacker.seed, A4_MM, k, scale, 0.0, A4_BORDER_MM), across_mm, tilt_deg, fold_deg)
    return lambda time_s: (Placed(print_, attacker.hand(hold, time_s)),)


FOLDED = Species(
    name="folded_print",
    kind="complete",
    access="a near-infrared photograph of the face",
    level="A",
    cost_eur=(1, 2),
    not_modelled="the rounding of a crease, the spring of the paper, the hands that hold it",
    make=held_folded,
    shape={
        "k": TONER,
        "scale": SCALE,
        "across_mm": Limit(15, 60, 40, "mm"),
        "tilt_deg": Limit(-35, 35, 20, "deg"),
        "fold_deg": Limit(5, 60, 50, "deg"),
    },
)
