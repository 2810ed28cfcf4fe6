"""Drawn people for tests of the gallery."""

from pathlib import Path

import numpy as np

from drivers.secure_element.interface import SecureElement
from firmware.gallery.gallery import Gallery
from firmware.gallery.held import DAY_S
from firmware.vision.templates import TEMPLATE_SHAPE, Templates

NOW = 1_790_000_000
UNTIL = NOW + 10 * DAY_S
NETWORKS = bytes(range(32))
CONSENT = b"Ada Lovelace agrees"


def templates(seed: int) -> Templates:
    vectors = np.random.default_rng(seed).normal(size=TEMPLATE_SHAPE).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def opened(path: Path, element: SecureElement) -> Gallery:
    return Gallery(path, element, NETWORKS)


def enrol(
    gallery: Gallery, seed: int = 1, purposes: tuple[str, ...] = ("payment",), used: tuple[bytes, ...] = ()
) -> str:
    return gallery.enrol(
        consent=CONSENT + bytes([seed]),
        purposes=purposes,
        payer=f"payer-{seed}",
        mandate=bytes([seed]) * 16,
        templates=templates(seed),
        retain_until=UNTIL,
        now=NOW,
        used=used,
    )


def is_whole(gallery: Gallery, seed: int, purposes: tuple[str, ...] = ("payment",)) -> bool:
    """Whether the person of `seed` is enrolled for `purposes` with all they were enrolled with."""
    found = gallery.find(f"payer-{seed}", purposes[0], NOW)
    return (
        found is not None
        and found.purposes == purposes
        and found.consent[:-1] == CONSENT
        and bool(np.allclose(found.templates, templates(seed), atol=1e-6))
    )
