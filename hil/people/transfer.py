"""The real scan james made to move, by *landmark transfer*: a named, simple stand-in for his own expressions.

Each movement shifts some of the scan's 68 landmarks by millimetres written down here; between landmarks the skin
follows by a normalised Gaussian kernel, and what lies far from all of them stays. The jaw turns about the ears. Upper
and lower lip are kept apart along the lip line, and the triangles that join them are left out while the mouth is open.
What it is not: nobody measured how this man smiles; his eyes are one with his skin, so they have lids but no gaze.
The shifts come from neither generator, so james stays independent of what is trained on.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hil.people.actor import MOVEMENTS, Actor
from hil.people.atlas import Atlas
from hil.people.filling import throat
from hil.people.head import Head, PeopleError
from hil.people.puppet import Body, Mesh, Puppet
from hil.people.scan import james, james_marks
from hil.people.sliders import Wearable
from hil.people.units import Offsets, sparse
from hil.people.worn import wear
from hil.sensor.surface import F32

# the file's own order of its points, read off their coordinates
JAW, RIGHT_LID, LEFT_LID, RIGHT_BROW, LEFT_BROW = range(17), (18, 19), (24, 25), range(29, 34), range(43, 48)
RIGHT_UNDER, LEFT_UNDER, NOSTRILS = (21, 22), (27, 28), (38, 42)
CORNERS, UPPER_LIP, LOWER_LIP = (48, 54, 60, 64), (49, 50, 51, 52, 53, 61, 62, 63), (55, 56, 57, 58, 59, 65, 66, 67)

HINGE_MM = np.array([0, 15, 75], np.float32)  # of the jaw, between the ears
JAW_DEG = 18.0  # brings the chin 40 mm down and back
# how wide a landmark draws the skin along with it, in mm, and how strongly skin far from all landmarks holds still
LID_MM, LIP_MM, REST_MM, STILL = 4.0, 9.0, 16.0, 0.15

Shift = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class _Marks:
    """`points` (M, 3): the 68, two on each cheek, and `reach` (M,) of each in mm."""

    points: F32
    reach: F32

    @staticmethod
    def of(marks: F32) -> "_Marks":
        cheeks = [(marks[corner] * 0.55 + marks[under] * 0.45) + np.array([side * 8, 0, 4])
                  for corner, under, side in ((48, 22, -1), (54, 27, 1))]  # fmt: skip
        reach = np.full(len(marks) + 2, REST_MM)
        reach[list(range(17, 29))] = LID_MM
        reach[[*CORNERS, *UPPER_LIP, *LOWER_LIP]] = LIP_MM
        return _Marks(np.concatenate([marks, cheeks]).astype(np.float32), reach.astype(np.float32))


CHEEKS = (68, 69)


def moving_james(data_dir: Path, worn: tuple[Wearable, ...] = (), seed: int = 0) -> Actor:
    """The scan as an actor; `seed` decides how what is `worn` is cut.

    Raises:
        PeopleError: the scan is missing from `data_dir`/scans or is not what is expected.
    """
    head, points = james(data_dir), james_marks(data_dir)
    if points.shape != (68, 3):
        raise PeopleError(f"{data_dir}: the scan has {len(points)} landmarks, expected 68")
    marks = _Marks.of(points)
    spread = _spread(head.vertices_mm, marks, points)
    moves = {name: _transferred(name, marks, spread) for name in MOVEMENTS}
    count = len(head.vertices_mm)
    nearest = [int(np.linalg.norm(head.vertices_mm - mark, axis=1).argmin()) for mark in head.landmarks]
    mesh = Mesh(
        faces=head.faces,
        layout=Atlas(np.arange(count, dtype=np.int32), head.faces, head.uv),
        movements=moves,
        eyes=(),
        lids=(),
        landmarks=np.array(nearest, np.int32),
        web=_web(head, points),
    )
    body = Body(head.vertices_mm, head.albedo, head.gloss, 1.0)
    rng = np.random.default_rng([seed, 0x7A3E5])
    return Puppet("james", mesh, body, lambda bare: (*throat(bare), *wear(worn, bare, rng)))


def _spread(vertices: F32, marks: _Marks, points: F32) -> F32:
    """(V, M): how much of each mark's shift each vertex takes."""
    apart = np.linalg.norm(vertices[:, None] - marks.points[None], axis=2)
    weight = np.exp(-((apart / marks.reach) ** 2) / 2)
    below = _below_lips(vertices, points)
    weight[np.ix_(below, np.array(UPPER_LIP))] = 0
    weight[np.ix_(~below, np.array(LOWER_LIP))] = 0
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(weight / (total + STILL), np.float32)


def _below_lips(vertices: F32, points: F32) -> NDArray[np.bool_]:
    line = points[[60, 61, 62, 63, 64]]
    return np.asarray(vertices[:, 1] > np.interp(vertices[:, 0], line[:, 0], line[:, 1]), bool)


def _web(head: Head, points: F32) -> NDArray[np.bool_]:
    """(F,) bool: triangles with corners on both lips."""
    below = _below_lips(head.vertices_mm, points)[head.faces]
    middle = head.vertices_mm[head.faces].mean(axis=1)
    between = (middle[:, 0] > points[60, 0]) & (middle[:, 0] < points[64, 0])
    near = np.abs(middle[:, 1] - points[60:65, 1].mean()) < 8
    front = middle[:, 2] < points[60:65, 2].max() + 15
    return np.asarray(below.any(axis=1) & ~below.all(axis=1) & between & near & front, bool)


def _transferred(name: str, marks: _Marks, spread: F32) -> Offsets:
    shifts = np.zeros_like(marks.points)
    if name in ("mouth_open", "jaw_side"):
        shifts[:] = _jaw(marks.points, name)
    else:
        for where, (outward, down, back) in _SHIFTS[name].items():
            for mark in where:
                side = np.sign(marks.points[mark, 0])
                shifts[mark] += (side * outward, down, back)
    if name in _LIDS:
        for mark, onto in _LIDS[name]:
            shifts[mark] = (marks.points[onto] - marks.points[mark]) * 1.1
    return sparse(spread @ shifts)


def _jaw(points: F32, name: str) -> F32:
    """(M, 3): lower lip and chin go wholly with the jaw, its angle below the ears hardly."""
    share = np.zeros(len(points), np.float32)
    share[list(JAW)] = np.clip((points[list(JAW), 1] - 20) / 80, 0, 1)
    share[list(LOWER_LIP)], share[list(CORNERS)] = 0.9, 0.4
    if name == "jaw_side":
        return np.asarray(share[:, None] * np.array([9, 0, 0]), np.float32)
    turn = np.radians(JAW_DEG) * share
    off = points - HINGE_MM
    down = off[:, 1] * np.cos(turn) - off[:, 2] * np.sin(turn)
    back = off[:, 1] * np.sin(turn) + off[:, 2] * np.cos(turn)
    return np.stack([np.zeros_like(down), down - off[:, 1], back - off[:, 2]], axis=1).astype(np.float32)


_LIDS = {
    "blink_right": ((18, 22), (19, 21)),
    "blink_left": ((24, 28), (25, 27)),
}
_NONE: dict[tuple[int, ...], Shift] = {}
# millimetres outward from the middle line, downwards, and backwards
_SHIFTS: dict[str, dict[tuple[int, ...], Shift]] = {
    "smile": {CORNERS: (7.5, -11, 8), (49, 53, 55, 59): (4, -5, 4), (50, 51, 52): (0, -1.5, 2.5),
              (56, 57, 58): (0, -1.5, 2.5), CHEEKS: (1, -4, -2), (*RIGHT_UNDER, *LEFT_UNDER): (0, -1, 0)},
    "blink_right": _NONE,
    "blink_left": _NONE,
    "brow_raise": {(*RIGHT_BROW, *LEFT_BROW): (0, -9, 0)},
    "brow_lower": {(*RIGHT_BROW, *LEFT_BROW): (-2, 4.5, -1)},
    "squint": {(*RIGHT_UNDER, *LEFT_UNDER): (0, -3, 0), CHEEKS: (0, -4, -1.5)},
    "lips_round": {CORNERS: (-8, 0, -5), (*UPPER_LIP, *LOWER_LIP): (-2, 0, -9)},
    "lips_wide": {CORNERS: (8, 2, 6), (49, 53, 55, 59): (4, 0, 3)},
    "lips_press": {UPPER_LIP: (0, 1.5, 3), LOWER_LIP: (0, -3, 3), (7, 8, 9): (0, -4, 0)},
    "frown": {CORNERS: (1, 7, 2)},
    "nose_wrinkle": {NOSTRILS: (2, -5, 0), CHEEKS: (0, -2, -1)},
    "cheek_puff": {CHEEKS: (7, 2, -7), CORNERS: (0, 0, -3)},
}  # fmt: skip
