"""The canonical face: the same head gives the same map wherever it stands; size counts; nothing is invented."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drivers.camera import Intrinsics
from firmware.vision.canonical import COLUMNS, LEFT_MM, MM_PER_CELL, ROWS, TOP_MM, Canonical, canonical, template
from hil.people import Head, virtual_person
from hil.sensor.rasteriser import view
from hil.sensor.scene import INTRINSICS, Placed, Pose, Scene
from hil.sensor.surface import Surface

F32 = np.typing.NDArray[np.float32]
STRAIGHT = Pose(z_mm=500)
SMALL = Intrinsics(width=160, height=120, fx=150.0, fy=150.0, cx=79.5, cy=59.5)


def seen(surface: Surface, landmarks: F32, pose: Pose) -> tuple[F32, F32]:
    """Exact depth, and the landmarks in camera axes."""
    inverse = view(Scene((Placed(surface, pose),), wall_mm=None), INTRINSICS).inverse_depth
    depth = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), np.nan).astype(np.float32)
    moved = (landmarks - surface.pivot_mm) @ pose.rotation().T + surface.pivot_mm
    return depth, (moved + np.array([pose.x_mm, pose.y_mm, pose.z_mm])).astype(np.float32)


def face(head: Head, pose: Pose) -> Canonical:
    depth, points = seen(head, head.landmarks, pose)
    found = canonical(depth, INTRINSICS, points)
    assert found is not None
    return found


def apart_mm(one: Canonical, other: Canonical) -> float:
    """Mean difference where both are known, above the mouth."""
    both = one.known & other.known
    both[66:] = False
    return float(np.abs(one.relief_mm - other.relief_mm)[both].mean())


@pytest.fixture(scope="module")
def mean_head() -> tuple[Surface, F32]:
    """The template itself as a surface."""
    mean = template()
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
    points = np.stack([x * MM_PER_CELL + LEFT_MM, y * MM_PER_CELL + TOP_MM, mean.height_mm], -1).reshape(-1, 3)
    whole = np.isfinite(mean.height_mm)
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    square = (whole[:-1, :-1] & whole[:-1, 1:] & whole[1:, :-1] & whole[1:, 1:]).ravel()
    faces = np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3)[square], np.stack([b, c, d], -1).reshape(-1, 3)[square]]
    )
    filled = np.nan_to_num(points, nan=0).astype(np.float32)
    surface = Surface(
        vertices_mm=filled,
        normals=np.tile(np.array([0, 0, -1], np.float32), (len(filled), 1)),
        faces=faces.astype(np.int32),
        uv=np.zeros((len(filled), 2), np.float32),
        albedo=np.full((4, 4), 0.5, np.float32),
        gloss=np.zeros(len(filled), np.float32),
        pivot_mm=np.zeros(3, np.float32),
    )
    return surface, mean.landmarks_mm


@pytest.mark.parametrize(
    "pose",
    [
        STRAIGHT,
        Pose(z_mm=320, yaw_deg=20),
        Pose(z_mm=700, yaw_deg=-25, pitch_deg=10),
        Pose(x_mm=50, z_mm=450, pitch_deg=-20, roll_deg=15),
    ],
)
def test_the_mean_face_has_no_relief_from_wherever_it_is_seen(mean_head: tuple[Surface, F32], pose: Pose) -> None:
    surface, landmarks = mean_head
    depth, points = seen(surface, landmarks, pose)
    scattered = points + np.random.default_rng(1).normal(0, 2.5, points.shape).astype(np.float32)
    found = canonical(depth, INTRINSICS, scattered)
    assert found is not None
    assert found.known[20:90, 20:76].mean() > 0.85
    assert np.median(np.abs(found.relief_mm[found.known])) < 0.15
    assert np.percentile(np.abs(found.relief_mm[found.known]), 90) < 0.6


def test_the_same_head_is_nearer_to_itself_in_another_pose_than_to_another_head() -> None:
    heads = [virtual_person(seed) for seed in (901, 902, 903)]
    turned = Pose(z_mm=400, yaw_deg=18, pitch_deg=-8, roll_deg=6)
    straight, other = [face(head, STRAIGHT) for head in heads], [face(head, turned) for head in heads]
    for k in range(3):
        nearest = min(range(3), key=lambda j: apart_mm(straight[k], other[j]))
        assert nearest == k
        assert apart_mm(straight[k], other[k]) < 1.0


def test_a_small_face_is_not_made_large() -> None:
    """A doll's head of the same shape must not become its model."""
    head = virtual_person(904)
    doll = replace(head, vertices_mm=head.vertices_mm * 0.8, landmarks=head.landmarks * 0.8)
    assert apart_mm(face(head, STRAIGHT), face(doll, STRAIGHT)) > 3.0


def test_what_was_not_measured_stays_a_hole() -> None:
    head = virtual_person(905)
    depth, points = seen(head, head.landmarks, STRAIGHT)
    whole = canonical(depth, INTRINSICS, points)
    u, v = (round(float(c)) for c in points[2, :2] / points[2, 2] * 600 + np.array([319.5, 239.5]))
    depth[v - 15 : v + 15, u - 15 : u + 15] = np.nan
    holed = canonical(depth, INTRINSICS, points)
    assert whole is not None
    assert holed is not None
    lost = whole.known & ~holed.known
    assert 200 < lost.sum() < 900  # 30 x 30 pixels are 25 x 25 mm, that is 280 cells, and more where it slopes
    assert not holed.relief_mm[~holed.known].any()
    assert not holed.slope[~holed.known].any()
    assert holed.channels().shape == (1, 4, ROWS, COLUMNS)
    assert np.abs(holed.channels()).max() <= 1


@settings(max_examples=60)
@given(
    depth=arrays.arrays(
        np.float32,
        (120, 160),
        elements=st.one_of(
            st.floats(200, 1200, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -5.0, 1e30, 1e-30])
        ),
    ),
    points=arrays.arrays(np.float32, (5, 3), elements=st.floats(-2000, 2000, width=32)),
)
def test_no_depth_whatever_raises_or_leaves_the_range(depth: F32, points: F32) -> None:
    found = canonical(depth, SMALL, points)
    if found is not None:
        assert np.isfinite(found.channels()).all()
        assert np.abs(found.channels()).max() <= 1
