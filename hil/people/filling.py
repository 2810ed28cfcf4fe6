"""What a head's data leave out: neck and shoulders in cloth, and the dark at the back of an open mouth."""

import numpy as np

from hil.people.head import Head
from hil.people.puppet import Worn
from hil.people.relief import grid_faces
from hil.people.skin import MOUTH_ALBEDO
from hil.people.worn import plain
from hil.sensor.material import CLOTH, SKIN

# rings from the collar down: height below the eyes, half width, half depth, and how far the middle lies behind the eyes
RINGS_MM = np.array(
    [(142, 66, 66, 92), (150, 70, 68, 94), (168, 84, 72, 98), (186, 122, 80, 104), (208, 162, 92, 108),
     (235, 184, 102, 110), (280, 192, 108, 112)], np.float32
)  # fmt: skip


def torso(head: Head, size: float, rng: np.random.Generator) -> tuple[Worn, ...]:
    """A sweater; `size` 1 for an adult."""
    turn = np.linspace(-np.pi, np.pi, 61, dtype=np.float32)
    down, wide, deep, back = (RINGS_MM[:, k, None] * np.float32(size) for k in range(4))
    down = down * np.float32(size) ** 0.5  # a child's neck is short
    x, z = wide * np.sin(turn), back - deep * np.cos(turn)
    y = np.broadcast_to(down, x.shape) + 12 * size * np.cos(turn)  # lower in front
    vertices = np.stack([x, y, z], axis=2).reshape(-1, 3).astype(np.float32)
    faces = grid_faces(*x.shape)
    return (Worn(plain(vertices, faces, float(rng.uniform(0.25, 0.65)), CLOTH, head.pivot_mm)),)


def throat(head: Head) -> tuple[Worn, ...]:
    """A dark wall behind the teeth: through the lips one would else see the neck, or the wall behind the person."""
    right, left = head.landmarks[3], head.landmarks[4]
    middle, half = (right + left) / 2, (left[0] - right[0]) / 2
    across, down = np.meshgrid(np.linspace(-0.75, 0.75, 5), np.linspace(-0.6, 0.95, 5))
    bowl = half * (1.15 - 0.4 * (across**2 + down**2))
    off = np.stack([across * half, down * half, bowl], axis=2)
    vertices = (middle + off.reshape(-1, 3)).astype(np.float32)
    return (Worn(plain(vertices, grid_faces(5, 5), MOUTH_ALBEDO, SKIN, head.pivot_mm)),)
