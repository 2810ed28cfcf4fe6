"""The secret rotation of one purpose: what a template is turned by before it is sealed.

    turned[modality, view] = template[modality, view] @ Q[purpose, modality]        Q orthogonal, 128 x 128

It lets all templates of a purpose be issued anew, under a new seed, without the people coming back, and two purposes
hold different numbers of one face. It is not the protection: a rotation keeps every angle between templates, so who has
two turned galleries in the clear finds the same people in them (`tessera evaluate linkability`, docs/gallery.md). The
protection is the encryption around it.

Rules kept here:
- The rotation is drawn from all rotations alike (QR of Gaussian numbers, Mezzadri 2007), from 32 secret bytes.
- The numbers come of SHAKE-256 and not of a library's generator, so that a seed means the same rotation for ever.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from firmware.vision.embed import EMBEDDING_SIZE, MODALITIES

SEED_BYTES = 32
_F32 = NDArray[np.float32]


class Transform:
    """The rotations of one purpose, one a modality."""

    def __init__(self, seed: bytes, purpose: str) -> None:
        """`seed` is 32 secret bytes."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        names = (f"tessera-transform-1/{purpose}/{modality}/" for modality in MODALITIES)
        self._rotations = np.stack([_rotation(name.encode() + seed) for name in names])

    def turn(self, templates: _F32, out: _F32) -> None:
        """Write (2, 3, 128) float32 templates, turned, into `out`, another array. Missing ones stay zeros."""
        np.matmul(templates, self._rotations, out=out)

    def turn_back(self, turned: _F32, out: _F32) -> None:
        """Undo `turn`, to the rounding of float32."""
        np.matmul(turned, self._rotations.transpose(0, 2, 1), out=out)

    def close(self) -> None:
        """Forget the rotations."""
        self._rotations[:] = 0


def _rotation(secret: bytes) -> _F32:
    """(128, 128) float32, orthogonal."""
    size = EMBEDDING_SIZE
    words = np.frombuffer(hashlib.shake_256(secret).digest(8 * size * size), "<u8")
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log1p(-uniform[::2])), 2 * math.pi * uniform[1::2]  # Box and Muller
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)]).reshape(size, size)
    q, r = np.linalg.qr(normal)
    return np.asarray(q * np.sign(np.diag(r)), np.float32)
