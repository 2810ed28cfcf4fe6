"""People from ICT-FaceKit: statistical faces of 100 modes, and 57 expressions. For training and tuning.

The file is `heads/ict_head_100.npz` under TESSERA_DATA (MIT, Copyright (c) 2020 USC Institute for Creative
Technologies). It holds the first 17,202 vertices of the meshes under `FaceXModel/` of
https://github.com/ICT-VGL/ICT-FaceKit: `generic_neutral_mesh.obj` as `base` (cm) and `faces`, `identity000.obj` to
`identity099.obj` and the expressions as 16-bit differences from it (`id_q`, `id_scale`, `ex_q`, `ex_scale`,
`ex_names`). Only the file of this digest is read, so a training run names its data.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hil.people.atlas import cylinder_place, unrolled
from hil.people.head import PeopleError
from hil.people.puppet import Mesh
from hil.people.units import movements
from hil.sensor.surface import F32

FILE = Path("heads/ict_head_100.npz")
SHA256 = "b781aa543006ca1f4535056de981b991c182b959c43a1e82b9d8bedb9a92c55e"
SIGMA = 1.3  # of each mode: the surface distance between people is then nearest to that between real heads (3.1 mm)
MODES = 100
CM_MM = 10.0
# vertex ranges of the model's own parts
MOUTH, LEFT_EYE, RIGHT_EYE = slice(11248, 13294), slice(14062, 15632), slice(15632, 17202)
# of the model's list of 68 points: nose tip, right and left mouth corner
LANDMARKS = (4857, 5708, 6213)
LIP_LINE_MM, PAINTED_LIP_LINE_MM = 69.5, 67.0  # below the eyes: here, and where `skin` paints it
LID_REACH_MM = 22.0


@dataclass(frozen=True, eq=False)
class Model:
    """`base` (V, 3) float32 mm in camera axes from between the eyes, `modes` (100, V, 3), and the mesh."""

    base: F32
    modes: F32
    mesh: Mesh
    eye: NDArray[np.int8]

    def shape(self, rng: np.random.Generator) -> F32:
        """(V, 3): an adult, each mode drawn with `SIGMA`."""
        weights = rng.normal(0, SIGMA, MODES).astype(np.float32)
        return np.asarray(self.base + np.tensordot(weights, self.modes, 1), np.float32)


def data_dir_of(environment: dict[str, str] | os._Environ[str] = os.environ) -> Path:
    """TESSERA_DATA. Raises PeopleError if it is not set."""
    folder = environment.get("TESSERA_DATA")
    if not folder:
        raise PeopleError("ICT people need TESSERA_DATA, the folder that holds heads/ict_head_100.npz")
    return Path(folder)


@lru_cache(maxsize=1)
def model(data_dir: Path) -> Model:
    """Read the model.

    Raises:
        PeopleError: the file is missing or is not the one of `SHA256`.
    """
    path = data_dir / FILE
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PeopleError(f"{path}: {error.strerror}; see docs/people.md for where it comes from") from error
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise PeopleError(f"{path}: not the file of digest {SHA256[:16]}...; see docs/people.md")
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        base_cm, faces = stored["base"], np.ascontiguousarray(stored["faces"], np.int32)
        modes = stored["id_q"] * stored["id_scale"][:, None, None].astype(np.float32)
        units = stored["ex_q"] * stored["ex_scale"][:, None, None].astype(np.float32)
        names = [str(name) for name in stored["ex_names"]]
    eye = np.zeros(len(base_cm), np.int8)
    eye[RIGHT_EYE], eye[LEFT_EYE] = 1, 2
    base = _to_camera(base_cm)
    marks = np.array([_front(base, eye == 1), _front(base, eye == 2), *LANDMARKS], np.int32)
    base = (base - base[marks[:2]].mean(axis=0)).astype(np.float32)
    inside = np.zeros(len(base), bool)
    inside[MOUTH] = True
    across, down = cylinder_place(base)
    painted = np.where(down > 0, down * (PAINTED_LIP_LINE_MM / LIP_LINE_MM), down)
    mesh = Mesh(
        faces=faces,
        layout=unrolled(base, faces, eye, (across, painted), inside),
        movements=movements(lambda name: _to_camera(units[names.index(name)])),
        eyes=(np.flatnonzero(eye == 1).astype(np.int32), np.flatnonzero(eye == 2).astype(np.int32)),
        lids=(lids_near(base, eye, 1), lids_near(base, eye, 2)),
        landmarks=marks,
    )
    return Model(base, _to_camera(modes), mesh, eye)


def lids_near(base: F32, eye: NDArray[np.int8], mark: int) -> NDArray[np.int32]:
    """Vertices of the skin round eyeball `mark`, in front of its middle."""
    ball = base[eye == mark]
    middle = (ball.min(axis=0) + ball.max(axis=0)) / 2
    near = (np.linalg.norm(base - middle, axis=1) < LID_REACH_MM) & (base[:, 2] < middle[2]) & (eye == 0)
    return np.flatnonzero(near).astype(np.int32)


def _front(base: F32, part: NDArray[np.bool_]) -> int:
    here = np.flatnonzero(part)
    return int(here[base[here, 2].argmin()])


def _to_camera(centimetres: F32) -> F32:
    """Half a turn about x: y up, z to the front becomes y down, z away from the camera; windings stay."""
    return np.ascontiguousarray(centimetres * np.array([CM_MM, -CM_MM, -CM_MM], np.float32), np.float32)
