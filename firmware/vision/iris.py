"""The iris network: lids and iris of one eye, from a crop between its corners.

It was trained on eyes at the left of the image; the other one is mirrored for it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Network
from firmware.vision.mesh import Mesh, three_channels, upright

IRIS_PX = 64
WIDER = 2.3
"""The crop's side over the distance of the eye's corners: MediaPipe's own."""
CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of the right and the left eye in the mesh."""
LOWER, UPPER = (3, 4, 5), (11, 12, 13)
"""The middle of the lower and of the upper lid among the network's 71 points, each above the other."""
OUTER, INNER = 0, 8
LEAST_WIDTH_PX = 6.0
"""Between the corners; less shows no lid."""


@dataclass(frozen=True, slots=True, eq=False)
class Iris:
    """One eye in pixels of the frame.

    Attributes:
        corners_px: (2, 2) float32, outer and inner.
        upper_px: (3, 2) float32, the middle of the upper lid.
        lower_px: (3, 2) float32, the points of the lower lid below them.
        rim_px: (5, 2) float32, middle of the iris and four points of its rim.
    """

    corners_px: NDArray[np.float32]
    upper_px: NDArray[np.float32]
    lower_px: NDArray[np.float32]
    rim_px: NDArray[np.float32]


def find_iris(network: Network, ir: NDArray[np.uint8] | NDArray[np.uint16], mesh: Mesh, eye: int) -> Iris | None:
    """Ask the network about eye 0 (right) or 1 (left) of `mesh`; None where it is too small. Raises NetworkError."""
    matrix = crop_matrix(mesh, eye)
    if matrix is None:
        return None
    contour, rim = network.run(three_channels(upright(ir, matrix, IRIS_PX)))
    inverse = np.linalg.inv(matrix[:, :2])
    lids, iris = (
        ((output.reshape(-1, 3)[:, :2] - matrix[:, 2]) @ inverse.T).astype(np.float32) for output in (contour, rim)
    )
    return Iris(lids[[OUTER, INNER]], lids[list(UPPER)], lids[list(LOWER)], iris)


def crop_matrix(mesh: Mesh, eye: int) -> NDArray[np.float64] | None:
    """(2, 3) from the frame to the crop: outer corner left, inner corner right, whichever eye it is."""
    outer, inner = (mesh.points_px[index, :2].astype(np.float64) for index in CORNERS[eye])
    across = inner - outer
    width = float(np.hypot(*across))
    if not width >= LEAST_WIDTH_PX:
        return None
    cosine, sine = across / width
    # the left eye's outer corner is at the right of the image: mirrored, its face is upright again
    down = np.array([-sine, cosine]) if eye == 0 else np.array([sine, -cosine])
    turned = np.stack([[cosine, sine], down]) * IRIS_PX / (WIDER * width)
    middle = (outer + inner) / 2
    return np.hstack([turned, ((IRIS_PX - 1) / 2 - turned @ middle)[:, None]])
