"""The real head: the scan `james` of menpo3d (BSD-3-Clause), turned to face the camera, its photograph as texture.

The photograph is a visible one. Its red channel, scaled so that skin reflects as skin does at 940 nm, stands in for
near infrared: real shape, real features, approximate reflectance. It is used as coded, not made linear: the
studio's light is in it, and the steeper curve would count that light twice.
A scan does not move: it is evidence of geometry, not of life.
"""

from pathlib import Path

import cv2
import numpy as np

from hil.people.head import NECK_PIVOT_MM, Head, PeopleError
from hil.sensor.surface import F32, vertex_normals

SKIN_ALBEDO = 0.53
SKIN_GLOSS = 0.2
# The file's own order of its 68 points, read off their coordinates: it is not the usual one.
RIGHT_EYE, LEFT_EYE, NOSE_TIP, RIGHT_MOUTH, LEFT_MOUTH = range(17, 23), range(23, 29), 37, 48, 54


def james(data_dir: Path) -> Head:
    """Load the scan from `data_dir`/scans.

    Raises:
        PeopleError: a file is missing or not what is expected.
    """
    scan, picture = data_dir / "scans" / "james.npz", data_dir / "scans" / "james_texture.jpg"
    try:
        with np.load(scan, allow_pickle=False) as stored:
            vertices, faces, uv = stored["vertices_m"] * 1000, stored["faces"], stored["uv"]
            marks = stored["landmarks68_m"] * 1000
    except (OSError, KeyError, ValueError) as error:
        raise PeopleError(f"{scan}: not the scan of menpo3d's james: {error}; set TESSERA_DATA") from error
    image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if image is None:
        raise PeopleError(f"{picture}: cannot be read as a picture; set TESSERA_DATA")
    points = _five(marks)
    turn, origin = _facing(points)
    landmarks = np.asarray((points - origin) @ turn.T, np.float32)
    vertices = np.asarray((vertices - origin) @ turn.T, np.float32)
    texture_uv = np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32)
    faces = np.ascontiguousarray(faces, np.int32)
    return Head(
        vertices_mm=vertices,
        normals=vertex_normals(vertices, faces),
        faces=faces,
        uv=texture_uv,
        albedo=_near_infrared(image, texture_uv, vertices, landmarks),
        gloss=np.full(len(vertices), SKIN_GLOSS, np.float32),
        pivot_mm=NECK_PIVOT_MM,
        landmarks=landmarks,
    )


def james_marks(data_dir: Path) -> F32:
    """(68, 3) float32 mm: the scan's landmarks in the coordinates of `james`, in the file's own order.

    Raises:
        PeopleError: the scan is missing.
    """
    scan = data_dir / "scans" / "james.npz"
    try:
        with np.load(scan, allow_pickle=False) as stored:
            marks = stored["landmarks68_m"] * 1000
    except (OSError, KeyError, ValueError) as error:
        raise PeopleError(f"{scan}: not the scan of menpo3d's james: {error}; set TESSERA_DATA") from error
    turn, origin = _facing(_five(marks))
    return np.asarray((marks - origin) @ turn.T, np.float32)


def _five(marks: F32) -> F32:
    eyes = [marks[list(eye)].mean(axis=0) for eye in (RIGHT_EYE, LEFT_EYE)]
    return np.array([*eyes, marks[NOSE_TIP], marks[RIGHT_MOUTH], marks[LEFT_MOUTH]])


def _facing(points: F32) -> tuple[F32, F32]:
    """The turn (3, 3) into the camera's axes and the origin (3,), from the five points of an upright face."""
    origin = points[:2].mean(axis=0)
    right = points[1] - points[0]
    right /= np.linalg.norm(right)
    down = points[3:].mean(axis=0) - origin
    down -= right * (down @ right)
    down /= np.linalg.norm(down)
    return np.stack([right, down, np.cross(right, down)]), origin


def _near_infrared(image: np.ndarray, uv: F32, vertices: F32, landmarks: F32) -> F32:
    """Red, scaled to skin's reflectance by the median over the cheeks between eyes and mouth."""
    red = image[:, :, 2].astype(np.float32)
    cheeks = (landmarks[:2] + landmarks[3:]) / 2
    near = np.min(np.linalg.norm(vertices[:, None] - cheeks[None], axis=2), axis=1) < 15
    rows = (uv[near, 1] * image.shape[0]).astype(int)
    columns = (uv[near, 0] * image.shape[1]).astype(int)
    return np.asarray(np.clip(red * (SKIN_ALBEDO / np.median(red[rows, columns])), 0.02, 0.9), np.float32)
