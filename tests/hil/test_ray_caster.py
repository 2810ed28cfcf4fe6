"""The rasteriser against trimesh's ray caster, which shares no code, no projection and no arithmetic with it."""

from dataclasses import dataclass

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from hil.people import Head
from hil.sensor.presets import preset
from hil.sensor.rasteriser import view
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.surface import Surface

POSES = (Pose(z_mm=450), Pose(x_mm=60, y_mm=-20, z_mm=320, yaw_deg=35, pitch_deg=-15, roll_deg=12), Pose(z_mm=900))
RAYS = 300


@dataclass(frozen=True)
class Hits:
    """Per ray: depth in mm, infinite for a miss; (R, 3) normal interpolated over the triangle; cosine at the facet."""

    depth_mm: NDArray[np.float64]
    normal: NDArray[np.float64]
    cosine: NDArray[np.float64]


def cast(placed: Placed, rays: NDArray[np.float64]) -> Hits:
    """Follow `rays` (R, 3), z = 1, from the lens to the nearest triangle that faces it."""
    points, normals = (part.astype(float) for part in placed.in_camera())
    mesh = trimesh.Trimesh(points, placed.surface.faces, process=False)
    where, ray, triangle = mesh.ray.intersects_location(np.zeros_like(rays), rays, multiple_hits=True)
    a, b, c = (points[placed.surface.faces[triangle, k]] for k in range(3))
    facet = np.cross(b - a, c - a)
    cosine = -(facet * rays[ray]).sum(axis=1) / np.linalg.norm(facet, axis=1) / np.linalg.norm(rays[ray], axis=1)
    weights = trimesh.triangles.points_to_barycentric(np.stack([a, b, c], axis=1), where)  # type: ignore[no-untyped-call]
    smooth = np.einsum("rk,rkx->rx", weights, normals[placed.surface.faces[triangle]])
    hits = Hits(np.full(len(rays), np.inf), np.zeros((len(rays), 3)), np.zeros(len(rays)))
    for n in np.argsort(-where[:, 2]):  # the nearest is written last
        if cosine[n] > 0:
            hits.depth_mm[ray[n]], hits.cosine[ray[n]] = where[n, 2], cosine[n]
            hits.normal[ray[n]] = smooth[n] / np.linalg.norm(smooth[n])
    return hits


def pixels(camera: Intrinsics, pose: Pose, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(count, 2) rows and columns about the head, and the rays through their centres."""
    rng = np.random.default_rng(5)
    middle = np.array([pose.y_mm, pose.x_mm]) / pose.z_mm * [camera.fy, camera.fx] + [camera.cy, camera.cx]
    around = rng.uniform(-1, 1, (count, 2)) * [130 / pose.z_mm * camera.fy, 100 / pose.z_mm * camera.fx]
    at = np.clip(np.rint(middle + around), 0, [camera.height - 1, camera.width - 1]).astype(np.int64)
    rays = np.stack([(at[:, 1] - camera.cx) / camera.fx, (at[:, 0] - camera.cy) / camera.fy, np.ones(count)], axis=1)
    return at, rays


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize(("name", "width"), [("structured-light", 640), ("d4xx", 1280)])
def test_a_head_is_where_rays_meet_it(person: Head, pose: Pose, name: str, width: int) -> None:
    camera, placed = preset(name, width).intrinsics, Placed(person, pose)
    at, rays = pixels(camera, pose, RAYS)
    hits = cast(placed, rays)
    seen = view(Scene((placed,), wall_mm=None), camera)
    drawn = seen.inverse_depth[at[:, 0], at[:, 1]].astype(float)

    met = np.isfinite(hits.depth_mm)
    assert met.sum() > RAYS / 3
    # a ray through an edge may fall to either side
    assert (met != (drawn > 0)).sum() <= RAYS / 100
    both = met & (drawn > 0) & (hits.cosine > 0.2)
    away_mm = np.abs(1 / drawn[both] - hits.depth_mm[both])
    assert np.quantile(away_mm, 0.99) < 0.02
    normal = seen.normal[at[both, 0], at[both, 1]]
    turned_deg = np.degrees(np.arccos(np.clip((normal * hits.normal[both]).sum(axis=1), -1, 1)))
    assert np.quantile(turned_deg, 0.99) < 0.5


def test_a_ball_behind_a_ball_is_hidden_from_both(ball: Surface) -> None:
    camera = preset("structured-light").intrinsics
    near, far = Placed(ball, Pose(x_mm=-40, z_mm=450)), Placed(ball, Pose(x_mm=60, z_mm=750))
    at, rays = pixels(camera, Pose(z_mm=600), RAYS)
    depth_mm = np.minimum(cast(near, rays).depth_mm, cast(far, rays).depth_mm)
    drawn = view(Scene((far, near), wall_mm=None), camera).inverse_depth[at[:, 0], at[:, 1]].astype(float)
    assert (np.isfinite(depth_mm) != (drawn > 0)).sum() <= RAYS / 100
    both = np.isfinite(depth_mm) & (drawn > 0)
    assert np.quantile(np.abs(1 / drawn[both] - depth_mm[both]), 0.98) < 0.05
