"""How a made head is coloured: one plain material, or paint that follows the victim's own reflectance."""

from dataclasses import replace

import numpy as np

from hil.people.head import Head
from hil.sensor.material import CLOTH, GLASS, Material
from hil.sensor.surface import F32, Surface


def skin_tone(head: Head) -> float:
    """Median reflectance of the cheeks, between eyes and mouth."""
    cheeks = (head.landmarks[:2] + head.landmarks[3:]) / 2
    near = np.min(np.linalg.norm(head.vertices_mm[:, None] - cheeks[None], axis=2), axis=1) < 20
    rows, columns = head.albedo.shape
    v = np.clip((head.uv[near, 1] % 1 * rows).astype(int), 0, rows - 1)
    u = np.clip((head.uv[near, 0] % 1 * columns).astype(int), 0, columns - 1)
    return float(np.median(head.albedo[v, u]))


def solid(parts: tuple[Surface, ...]) -> tuple[Surface, ...]:
    """What a cast or a print of a head keeps: neither glasses nor clothes."""
    return tuple(part for part in parts if part.material not in (GLASS, CLOTH))


def plain(part: Surface, albedo: float, gloss: float, material: Material) -> Surface:
    """All of one reflectance."""
    texture = np.full((2, 2), albedo, np.float32)
    return replace(part, albedo=texture, gloss=np.full(len(part.gloss), gloss, np.float32), material=material)


def painted(part: Surface, own_tone: float, tone: float, contrast: float, gloss: float, material: Material) -> Surface:
    """In the victim's own pattern: `own_tone` becomes `tone`, and contrast about it is `contrast` times as strong."""
    pattern = 1 + np.float32(contrast) * (part.albedo / np.float32(own_tone) - 1)
    albedo: F32 = np.clip(np.float32(tone) * pattern, 0.02, 0.95)
    return replace(part, albedo=albedo, gloss=np.full(len(part.gloss), gloss, np.float32), material=material)


def scaled(part: Surface, scale: float) -> Surface:
    """Larger or smaller about the point between the eyes."""
    factor = np.float32(scale)
    return replace(part, vertices_mm=part.vertices_mm * factor, pivot_mm=part.pivot_mm * factor)


def layered(below: Material, above: Material, cover: float) -> Material:
    """Paint of opacity `cover` over a body: light takes either way, so radii and surface share mix."""
    near, half, far = ((1 - cover) * b + cover * a for b, a in zip(below.spread_mm, above.spread_mm, strict=True))
    sharp = (1 - cover) * below.sharp + cover * above.sharp
    return Material(f"{above.name} over {below.name}", (near, half, far), sharp)
