"""What people wear: glasses, sunglasses, a mask over mouth and nose, a cap or a beanie; each fitted to the head.

A clear lens passes near infrared but for the few per cent it mirrors, and is left out: what glasses cost the sensor
here is their frame. Sunglasses are drawn opaque, the worst case: many pass 940 nm almost freely.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from hil.people.head import Head
from hil.people.puppet import Worn, fast_normals
from hil.people.relief import MIDDLE_MM, Relief, grid_faces, relief
from hil.people.sliders import Wearable
from hil.sensor.material import CLOTH, GLASS, PLASTIC_OPAQUE, Material
from hil.sensor.surface import F32, I32, Surface

CARRIERS = 12  # cloth averages over this many vertices of the face beneath


def wear(things: tuple[Wearable, ...], head: Head, rng: np.random.Generator) -> tuple[Worn, ...]:
    """Put `things` on `head` at rest."""
    shape = relief(head)
    return tuple(piece for thing in things for piece in _MAKERS[thing](head, shape, rng))


def plain(vertices: F32, faces: I32, albedo: float, material: Material, pivot_mm: F32, gloss: float = 0.0) -> Surface:
    """A surface of one tone."""
    texture = np.full((4, 4), albedo, np.float32)
    return Surface(
        vertices_mm=np.ascontiguousarray(vertices, np.float32),
        normals=fast_normals(vertices, faces),
        faces=faces,
        uv=np.full((len(vertices), 2), 0.5, np.float32),
        albedo=texture,
        gloss=np.full(len(vertices), gloss, np.float32),
        pivot_mm=pivot_mm,
        material=material,
    )


def _glasses(head: Head, shape: Relief, rng: np.random.Generator) -> tuple[Worn, ...]:
    # black acetate is often bright at 940 nm, metal and printed frames dark
    frame = _Frame(head, shape, rng)
    return (Worn(plain(*frame.tubes(), float(rng.uniform(0.05, 0.6)), PLASTIC_OPAQUE, head.pivot_mm, 0.5)),)


def _sunglasses(head: Head, shape: Relief, rng: np.random.Generator) -> tuple[Worn, ...]:
    frame = _Frame(head, shape, rng, larger_mm=3.0)
    tubes = plain(*frame.tubes(), float(rng.uniform(0.05, 0.3)), PLASTIC_OPAQUE, head.pivot_mm, 0.5)
    lenses = plain(*frame.lenses(), float(rng.uniform(0.03, 0.08)), GLASS, head.pivot_mm, 0.9)
    return Worn(tubes), Worn(lenses)


class _Frame:
    """The curves of a pair of spectacles: a rim round each eye, a bridge, and temples to the ears."""

    def __init__(self, head: Head, shape: Relief, rng: np.random.Generator, larger_mm: float = 0.0) -> None:
        eyes = head.landmarks[:2]
        wide = float(rng.uniform(22, 26)) * float(eyes[1, 0] - eyes[0, 0]) / 63 + larger_mm
        high, square = float(rng.uniform(15, 20)) + larger_mm, float(rng.uniform(2.0, 3.5))
        self.thick_mm = float(rng.uniform(0.8, 2.4))
        turn = np.linspace(0, 2 * np.pi, 44, endpoint=False)
        out = (np.abs(np.cos(turn)) ** square + np.abs(np.sin(turn)) ** square) ** (-1 / square)
        self.rims = []
        for eye in eyes:
            x, y = eye[0] + wide * out * np.cos(turn), eye[1] + 3 + high * out * np.sin(turn)
            self.rims.append(np.stack([x, y, 0.0028 * x * x], axis=1))
        both = np.concatenate(self.rims)
        # as near to the face as nothing of it allows: lashes, brows and cheeks stay 2 mm behind
        ahead = self._face_depth(head, both[:, :2]) - both[:, 2]
        forward = np.float32(min(ahead.min() - 2 - self.thick_mm, eyes[:, 2].min() - 10))
        for rim in self.rims:
            rim[:, 2] += forward
        right, left = self.rims
        bridge = np.linspace(right[np.abs(turn - 0.25).argmin()], left[np.abs(turn - np.pi + 0.25).argmin()], 8)
        bridge[:, 1] -= 3 * np.sin(np.linspace(0, np.pi, 8)) + 8
        bridge[:, 2] -= 2 * np.sin(np.linspace(0, np.pi, 8))
        ears = shape.points(np.array([[-88.0, 88.0]], np.float32), np.array([[-4.0, -4.0]], np.float32), 1.5)[0]
        hinges = right[np.argmin(right[:, 0])], left[np.argmax(left[:, 0])]
        temples = [np.linspace(hinge, ear, 12) for hinge, ear in zip(hinges, ears, strict=True)]
        for temple, side in zip(temples, (-1, 1), strict=True):
            temple[1:, 0] += side * 4 * np.sin(np.linspace(0.4, np.pi, 11))
        self.open = [bridge, *temples]

    @staticmethod
    def _face_depth(head: Head, places: F32) -> F32:
        """(N,) the nearest z of the face within 4 mm of each place (N, 2)."""
        face = head.vertices_mm[head.vertices_mm[:, 2] < 60]
        apart = np.linalg.norm(face[None, :, :2] - places[:, None], axis=2)
        return np.asarray(np.where(apart < 4, face[None, :, 2], np.inf).min(axis=1), np.float32)

    def tubes(self) -> tuple[F32, I32]:
        """Vertices and faces of rims, bridge and temples."""
        return _joined([_tube(rim, self.thick_mm, closed=True) for rim in self.rims]
                       + [_tube(line, self.thick_mm, closed=False) for line in self.open])  # fmt: skip

    def lenses(self) -> tuple[F32, I32]:
        """Vertices and faces of two lenses, seen from the front."""
        parts = []
        for rim in self.rims:
            count = len(rim)
            ring = np.arange(count)
            faces = np.stack([np.full(count, count), (ring + 1) % count, ring], axis=1).astype(np.int32)
            parts.append((np.concatenate([rim, rim.mean(axis=0, keepdims=True)]).astype(np.float32), faces))
        return _joined(parts)


def _tube(line: F32, radius: float, closed: bool) -> tuple[F32, I32]:
    """A tube (N * 6 vertices) about a line (N, 3)."""
    ahead = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0) if closed else np.gradient(line, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    first = np.cross(ahead, [0.1, 0.2, 1.0])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(ahead, first)
    turn = np.linspace(0, 2 * np.pi, 7)[:, None, None]
    around = line[None] + radius * (np.cos(turn) * first[None] + np.sin(turn) * second[None])  # (7, N, 3)
    if closed:
        around = np.concatenate([around, around[:, :1]], axis=1)
    return around.reshape(-1, 3).astype(np.float32), grid_faces(7, around.shape[1])


def _joined(parts: list[tuple[F32, I32]]) -> tuple[F32, I32]:
    start = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = np.concatenate([faces + offset for (_, faces), offset in zip(parts, start, strict=False)])
    return np.concatenate([vertices for vertices, _ in parts]), faces.astype(np.int32)


def _mask(head: Head, shape: Relief, rng: np.random.Generator) -> tuple[Worn, ...]:
    """Cloth from the bridge of the nose to under the chin, from cheek to cheek; it moves as the face beneath does."""
    rows, columns = 40, 60
    side = np.linspace(-1, 1, columns, dtype=np.float32)
    chin = _elevation(head.landmarks[2]) + np.float32(rng.uniform(38, 44))
    top = _elevation(head.landmarks[2]) - np.float32(rng.uniform(6, 10)) * (1 - 0.7 * np.abs(side) ** 1.5)
    bottom = chin - 16 * np.abs(side) ** 2
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    elevation = np.asarray(top + (bottom - top) * share, np.float32)
    azimuth = np.asarray(np.broadcast_to(side * np.float32(rng.uniform(48, 56)), elevation.shape), np.float32)
    pleats = 0.5 * np.sin(share * 2 * np.pi * 4) * (1 - side**2)
    lies_on = np.minimum(1, 4 * np.minimum(1 - np.abs(side), 1))  # the edge touches the cheek
    points = shape.widened(44).points(azimuth, elevation, np.asarray(1.2 + 2.5 * lies_on + pleats, np.float32))
    vertices = points.reshape(-1, 3)
    cloth = plain(vertices, grid_faces(rows, columns), float(rng.uniform(0.45, 0.75)), CLOTH, head.pivot_mm)
    return (Worn(cloth, carriers(vertices, head)),)


def carriers(vertices: F32, head: Head) -> I32:
    """(V, 12) int32: the vertices of the head nearest to each of `vertices`."""
    front = np.flatnonzero(head.vertices_mm[:, 2] < 80)[::2]
    _, nearest = cKDTree(head.vertices_mm[front]).query(vertices, CARRIERS)
    return np.asarray(front[nearest], np.int32)


def _elevation(point: F32) -> np.float32:
    from_middle = point - MIDDLE_MM
    return np.float32(np.degrees(np.arctan2(from_middle[1], np.hypot(from_middle[0], from_middle[2]))))


def _crown(head: Head, shape: Relief, front_deg: float, back_deg: float, off_mm: float, albedo: float) -> Worn:
    rows, columns = 24, 73
    azimuth = np.linspace(-180, 180, columns, dtype=np.float32)
    line = front_deg + (back_deg - front_deg) * (1 - np.cos(np.radians(azimuth))) / 2
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    elevation = np.asarray(-89.5 + (line + 89.5) * share, np.float32)
    around = np.asarray(np.broadcast_to(azimuth, elevation.shape), np.float32)
    points = shape.widened(12).points(around, elevation, off_mm)
    return Worn(plain(points.reshape(-1, 3), grid_faces(rows, columns), albedo, CLOTH, head.pivot_mm))


def _beanie(head: Head, shape: Relief, rng: np.random.Generator) -> tuple[Worn, ...]:
    """A knitted hat down to the brows."""
    front, back = float(rng.uniform(-27, -22)), float(rng.uniform(5, 15))
    return (_crown(head, shape, front, back, float(rng.uniform(4, 8)), float(rng.uniform(0.2, 0.7))),)


def _cap(head: Head, shape: Relief, rng: np.random.Generator) -> tuple[Worn, ...]:
    """A cap with a peak that shades the brows from above, not from the flood beside the lens."""
    front, albedo = float(rng.uniform(-32, -27)), float(rng.uniform(0.2, 0.7))
    crown = _crown(head, shape, front, -2.0, float(rng.uniform(3, 6)), albedo)
    columns, rows = 31, 8
    azimuth = np.linspace(-52, 52, columns, dtype=np.float32)[None]
    rim = shape.widened(12).points(azimuth, np.full_like(azimuth, front + 1), 3.0)[0]
    reach = float(rng.uniform(50, 70)) * np.sqrt(np.clip(1 - (azimuth[0] / 54) ** 2, 0, 1))
    share = np.linspace(0, 1, rows)[:, None]
    peak = np.repeat(rim[None], rows, axis=0)
    peak[:, :, 2] -= share * reach
    peak[:, :, 1] += share * 12 + 6 * (share * azimuth / 52) ** 2
    vertices, faces = peak.reshape(-1, 3).astype(np.float32), grid_faces(rows, columns)
    above = np.concatenate([vertices, vertices + np.array([0, 1.5, 0], np.float32)])
    both = np.concatenate([faces, faces[:, ::-1] + len(vertices)]).astype(np.int32)
    return crown, Worn(plain(above, both, albedo, CLOTH, head.pivot_mm))


_MAKERS: dict[Wearable, Callable[[Head, Relief, np.random.Generator], tuple[Worn, ...]]] = {
    "glasses": _glasses,
    "sunglasses": _sunglasses,
    "mask": _mask,
    "cap": _cap,
    "beanie": _beanie,
}
