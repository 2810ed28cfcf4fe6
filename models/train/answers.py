"""`python -m models.train.answers`: write what YuNet and SFace answer, in float, to rendered people.

The depth network's answers are written by its export, which has its float parent.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.npu.onnx import open_network
from firmware.vision.align import align
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, EMBEDDER, load_network
from firmware.vision.yunet import CLOSE_PX, brighten
from models.answers import Answers, flat, save_answers
from models.build import exact
from models.manifest import find
from models.train.rendered import AGREEMENT_PEOPLE, probes

CROPS, CLOSE = 20, 3


def faces() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield of each person that no range was measured on SFace's crop and a picture as YuNet's closer look."""
    detector = Detector(load_network(DETECTOR))
    for seed in AGREEMENT_PEOPLE:
        frames = next(probes(seed, 1))
        face = detector.find(frames)
        if isinstance(face, Face):
            x, y, width, height = face.box
            side = 1.6 * max(width, height)
            matrix = np.array([[1, 0, side / 2 - x - width / 2], [0, 1, side / 2 - y - height / 2]]) * CLOSE_PX / side
            close = cv2.warpAffine(brighten(frames.ir), matrix, (CLOSE_PX, CLOSE_PX))
            yield np.rint(align(frames.ir, face.points_px)).astype(np.uint8), close.astype(np.uint8)


def ask(name: str, pictures: list[NDArray[np.uint8]]) -> None:
    """Ask the float parent of network `name` and keep its answers."""
    parent = open_network(exact(find(name)).SerializeToString(), name=f"{name} in float")
    asked = Answers(np.stack(pictures)[:, None], 1.0, 3, np.empty(0, np.float16), f"{len(pictures)} rendered people")
    outputs = [flat(parent.run(asked.tensor(index))) for index in range(len(pictures))]
    path = save_answers(name, replace(asked, outputs=np.stack(outputs).astype(np.float16)))
    sys.stdout.write(f"{path}: {len(pictures)} answers, {path.stat().st_size / 1e3:.0f} kB\n")


def main() -> int:
    """Write both files."""
    made = list(islice(faces(), CROPS))
    ask(EMBEDDER, [crop for crop, _ in made])
    ask(DETECTOR, [close for _, close in made[:CLOSE]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
