"""Which point of which surface each pixel sees: a z-buffer and its geometry image, on one core.

Pixel centres are at integers, as in `Intrinsics`. Depth is interpolated in 1/z, which is linear in the image,
so a plane comes out exact. Triangles seen from behind or nearer than `NEAR_MM` are not drawn.
"""

from dataclasses import dataclass

import numpy as np

from drivers.camera import Intrinsics
from hil.sensor.jit import compiled
from hil.sensor.material import Material
from hil.sensor.scene import WALL_ALBEDO, Scene
from hil.sensor.surface import F32, I32

NEAR_MM = 50.0
NOTHING = -1


@dataclass(frozen=True, eq=False)
class View:
    """The geometry image of a scene, without light or noise.

    Attributes:
        inverse_depth: (H, W) float32, 1/mm along the optical axis, 0 where nothing is.
        normal: (H, W, 3) float32, unit, camera axes.
        albedo: (H, W) float32.
        gloss: (H, W) float32.
        camera_points: per surface its vertices (V, 3) float32 mm in camera axes.
        faces: per surface its faces (F, 3) int32.
        owner: (H, W) int32, which surface, `NOTHING` where the wall or open space is.
        materials: per surface what it is made of.
    """

    inverse_depth: F32
    normal: F32
    albedo: F32
    gloss: F32
    camera_points: tuple[F32, ...]
    faces: tuple[I32, ...]
    owner: I32
    materials: tuple[Material, ...]


def view(scene: Scene, intrinsics: Intrinsics) -> View:
    """Draw `scene` as seen through `intrinsics`."""
    shape = (intrinsics.height, intrinsics.width)
    inverse_depth = np.zeros(shape, np.float32)
    owner = np.full(shape, NOTHING, np.int32)
    triangle = np.empty(shape, np.int32)
    normal = np.zeros((*shape, 3), np.float32)
    albedo = np.zeros(shape, np.float32)
    gloss = np.zeros(shape, np.float32)
    if scene.wall_mm is not None:
        inverse_depth[:] = 1 / scene.wall_mm
        normal[:, :, 2] = -1
        albedo[:] = WALL_ALBEDO
    in_camera = [placed.in_camera() for placed in scene.placed]
    projected = [project(points, intrinsics) for points, _ in in_camera]
    for index, (placed, image) in enumerate(zip(scene.placed, projected, strict=True)):
        fill(image, placed.surface.faces, index, inverse_depth, owner, triangle)
    for index, (placed, image, (_, normals)) in enumerate(zip(scene.placed, projected, in_camera, strict=True)):
        surface = placed.surface
        left, top, right, bottom = _box(image, intrinsics)
        _shade(
            image, surface.faces, normals, surface.uv, surface.gloss, surface.albedo, index,
            left, top, right, bottom, inverse_depth, owner, triangle, normal, albedo, gloss,
        )  # fmt: skip
    points = tuple(points for points, _ in in_camera)
    faces = tuple(placed.surface.faces for placed in scene.placed)
    materials = tuple(placed.surface.material for placed in scene.placed)
    return View(inverse_depth, normal, albedo, gloss, points, faces, owner, materials)


def project(points_mm: F32, intrinsics: Intrinsics) -> F32:
    """(V, 3) float32: pixel column, pixel row and 1/z of `points_mm` (V, 3); 1/z is 0 for what is too near to draw."""
    z = points_mm[:, 2]
    inverse = np.where(z > NEAR_MM, 1 / np.maximum(z, NEAR_MM), 0).astype(np.float32)
    image = np.empty_like(points_mm)
    image[:, 0] = points_mm[:, 0] * inverse * intrinsics.fx + intrinsics.cx
    image[:, 1] = points_mm[:, 1] * inverse * intrinsics.fy + intrinsics.cy
    image[:, 2] = inverse
    return image


def _box(image: F32, intrinsics: Intrinsics) -> tuple[int, int, int, int]:
    low, high = image[:, :2].min(axis=0), image[:, :2].max(axis=0)
    return (
        max(0, int(np.ceil(low[0]))),
        max(0, int(np.ceil(low[1]))),
        min(intrinsics.width - 1, int(np.floor(high[0]))),
        min(intrinsics.height - 1, int(np.floor(high[1]))),
    )


@compiled
def fill(image: F32, faces: I32, index: int, inverse_depth: F32, owner: I32, triangle: I32) -> None:
    """Z-buffer the triangles of one surface into `inverse_depth`, `owner` (surface index) and `triangle`, in place."""
    height, width = inverse_depth.shape
    for t in range(faces.shape[0]):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        xa, ya, za = image[a, 0], image[a, 1], image[a, 2]
        xb, yb, zb = image[b, 0], image[b, 1], image[b, 2]
        xc, yc, zc = image[c, 0], image[c, 1], image[c, 2]
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area >= -1e-7 or za <= 0 or zb <= 0 or zc <= 0:
            continue
        left, right = max(0, int(np.ceil(min(xa, xb, xc)))), min(width - 1, int(np.floor(max(xa, xb, xc))))
        top, bottom = max(0, int(np.ceil(min(ya, yb, yc)))), min(height - 1, int(np.floor(max(ya, yb, yc))))
        scale = np.float32(1) / area
        # weights of b and c, and how they change along a row
        bx, by = (yc - ya) * scale, -(xc - xa) * scale
        cx, cy = -(yb - ya) * scale, (xb - xa) * scale
        slope = bx * (zb - za) + cx * (zc - za)
        for j in range(top, bottom + 1):
            px, py = np.float32(left) - xa, np.float32(j) - ya
            wb, wc = px * bx + py * by, px * cx + py * cy
            inverse = za + wb * (zb - za) + wc * (zc - za)
            for i in range(left, right + 1):
                if wb >= 0 and wc >= 0 and wb + wc <= 1 and inverse > inverse_depth[j, i]:
                    inverse_depth[j, i] = inverse
                    owner[j, i] = index
                    triangle[j, i] = t
                wb += bx
                wc += cx
                inverse += slope


@compiled
def _texel(texture: F32, u: float, v: float) -> float:
    """Bilinear, wrapping."""
    height, width = texture.shape
    x, y = (u - np.floor(u)) * width - np.float32(0.5), (v - np.floor(v)) * height - np.float32(0.5)
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - np.float32(x0), y - np.float32(y0)
    x1, y1 = x0 + 1 if x0 + 1 < width else 0, y0 + 1 if y0 + 1 < height else 0
    x0, y0 = x0 if x0 >= 0 else width - 1, y0 if y0 >= 0 else height - 1
    upper = texture[y0, x0] * (np.float32(1) - fx) + texture[y0, x1] * fx
    lower = texture[y1, x0] * (np.float32(1) - fx) + texture[y1, x1] * fx
    return upper * (np.float32(1) - fy) + lower * fy  # type: ignore[no-any-return]


@compiled
def _shade(
    image: F32, faces: I32, normals: F32, uv: F32, shine: F32, texture: F32, index: int,
    left: int, top: int, right: int, bottom: int,
    inverse_depth: F32, owner: I32, triangle: I32, normal: F32, albedo: F32, gloss: F32,
) -> None:  # fmt: skip
    """Interpolate what surface `index` carries into the pixels it owns; the texture is averaged over four samples."""
    quarter = np.float32(0.25)
    for j in range(top, bottom + 1):
        for i in range(left, right + 1):
            if owner[j, i] != index:
                continue
            t = triangle[j, i]
            a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
            xa, ya = image[a, 0], image[a, 1]
            abx, aby, acx, acy = image[b, 0] - xa, image[b, 1] - ya, image[c, 0] - xa, image[c, 1] - ya
            scale = np.float32(1) / (abx * acy - acx * aby)
            px, py = np.float32(i) - xa, np.float32(j) - ya
            z = np.float32(1) / inverse_depth[j, i]
            wb = (px * acy - py * acx) * scale * image[b, 2] * z
            wc = (abx * py - aby * px) * scale * image[c, 2] * z
            wa = np.float32(1) - wb - wc
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            unit = np.float32(1) / max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-6))
            normal[j, i, 0], normal[j, i, 1], normal[j, i, 2] = nx * unit, ny * unit, nz * unit
            gloss[j, i] = wa * shine[a] + wb * shine[b] + wc * shine[c]
            total = np.float32(0)
            for k in range(4):
                qx, qy = px + quarter * np.float32(2 * (k & 1) - 1), py + quarter * np.float32((k & 2) - 1)
                # a sample beyond the triangle is taken at its rim: slivers would throw it to infinity
                vb = max((qx * acy - qy * acx) * scale, np.float32(0))
                vc = max((abx * qy - aby * qx) * scale, np.float32(0))
                over = max(vb + vc, np.float32(1))
                vb, vc = vb / over, vc / over
                za = (np.float32(1) - vb - vc) * image[a, 2]
                zb, zc = vb * image[b, 2], vc * image[c, 2]
                near = np.float32(1) / (za + zb + zc)
                total += _texel(
                    texture,
                    (za * uv[a, 0] + zb * uv[b, 0] + zc * uv[c, 0]) * near,
                    (za * uv[a, 1] + zb * uv[b, 1] + zc * uv[c, 1]) * near,
                )
            albedo[j, i] = total * quarter
