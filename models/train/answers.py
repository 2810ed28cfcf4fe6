"""`python -m models.train.answers [NETWORK ...]`: write what foreign networks answer, in float, to rendered people.

The depth network's answers are written by its export, which has its float parent. Crops for mesh and iris are turned,
shifted and scaled: points of faces that stand where they should differ too little for exchanged answers to be seen.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from drivers.npu.onnx import open_network
from firmware.vision.align import align, similarity
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.iris import IRIS_PX, crop_matrix
from firmware.vision.mesh import MESH_PX, TEMPLATE, find_mesh, upright
from firmware.vision.networks import DETECTOR, EMBEDDER, IRIS, MESH, load_network
from firmware.vision.yunet import CLOSE_PX, brighten
from models.answers import Answers, flat, save_answers
from models.build import exact
from models.manifest import find
from models.train.rendered import AGREEMENT_PEOPLE, probes

CROPS, CLOSE, MESHES, EYES = 20, 3, 6, 12
Grey = NDArray[np.uint8]


def faces() -> Iterator[tuple[FrameSet, Face]]:
    """Yield one frame of each person that no range was measured on."""
    detector = Detector(load_network(DETECTOR))
    for seed in AGREEMENT_PEOPLE:
        frames = next(probes(seed, 1))
        face = detector.find(frames)
        if isinstance(face, Face):
            yield frames, face


def for_embedder(frames: FrameSet, face: Face) -> Grey:
    """SFace's crop."""
    return np.rint(align(frames.ir, face.points_px)).astype(np.uint8)


def for_detector(frames: FrameSet, face: Face) -> Grey:
    """A picture as YuNet's closer look."""
    x, y, width, height = face.box
    side = 1.6 * max(width, height)
    matrix = np.array([[1, 0, side / 2 - x - width / 2], [0, 1, side / 2 - y - height / 2]]) * CLOSE_PX / side
    return cv2.warpAffine(brighten(frames.ir), matrix, (CLOSE_PX, CLOSE_PX)).astype(np.uint8)


def for_mesh(frames: FrameSet, face: Face) -> Grey:
    """The mesh network's crop, somewhere else."""
    return _grey(frames, _moved(similarity(face.points_px, TEMPLATE), MESH_PX, face), MESH_PX)


def for_iris(frames: FrameSet, face: Face) -> Grey:
    """The iris network's crop of an eye, somewhere else."""
    mesh, eye = find_mesh(load_network(MESH), frames.ir, face.points_px), round(face.points_px[0, 0]) % 2
    matrix = crop_matrix(mesh, eye)
    if matrix is None:
        raise ValueError("an eye is too small")
    return _grey(frames, _moved(matrix, IRIS_PX, face), IRIS_PX)


def _moved(matrix: NDArray[np.float64], side_px: int, face: Face) -> NDArray[np.float64]:
    """Turn, scale and shift a crop, differently for every face."""
    rng = np.random.default_rng(face.points_px.astype(np.int64).ravel())
    turn, scale, shift = rng.uniform(-0.7, 0.7), rng.uniform(0.5, 1.1), rng.uniform(-0.35, 0.35, 2) * side_px
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = rotation @ matrix
    moved[:, 2] += side_px / 2 - rotation @ [side_px / 2, side_px / 2] + shift
    return moved


def _grey(frames: FrameSet, matrix: NDArray[np.float64], side_px: int) -> Grey:
    return np.rint(255 * upright(frames.ir, matrix, side_px)).astype(np.uint8)


WANTED: Final[dict[str, tuple[Callable[[FrameSet, Face], Grey], int, float]]] = {
    EMBEDDER: (for_embedder, CROPS, 1.0),
    DETECTOR: (for_detector, CLOSE, 1.0),
    MESH: (for_mesh, MESHES, 1 / 255),
    IRIS: (for_iris, EYES, 1 / 255),
}
"""Of each network: how its pictures are made, how many, and what 1 in them is to it."""


def ask(name: str, pictures: list[Grey], unit: float) -> None:
    """Ask the float parent of network `name` and keep its answers."""
    parent = open_network(exact(find(name)).SerializeToString(), name=f"{name} in float")
    asked = Answers(np.stack(pictures)[:, None], unit, 3, np.empty(0, np.float16), f"{len(pictures)} rendered people")
    outputs = [flat(parent.run(asked.tensor(index))) for index in range(len(pictures))]
    path = save_answers(name, replace(asked, outputs=np.stack(outputs).astype(np.float16)))
    sys.stdout.write(f"{path}: {len(pictures)} answers, {path.stat().st_size / 1e3:.0f} kB\n")


def main() -> int:
    """Write the files of the networks named, or of all."""
    names = sys.argv[1:] or list(WANTED)
    made = list(islice(faces(), max(WANTED[name][1] for name in names)))
    for name in names:
        picture, count, unit = WANTED[name]
        ask(name, [picture(*one) for one in made[:count]], unit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
