"""`python -m models.train.mean_face`: write `firmware/vision/template.npz`, ICT-FaceKit's mean face as a height map."""

import sys

import numpy as np
from numpy.typing import NDArray

from firmware.vision.canonical import COLUMNS, LEFT_MM, MM_PER_CELL, ROWS, TOP_MM
from hil.people import ict
from hil.sensor.rasteriser import NOTHING, fill

OUT = "firmware/vision/template.npz"
FAR_MM = 500.0  # where the rasteriser, which works in 1/z, is to see the face from
LIP_ROWS, LIP_COLUMNS = slice(75, 95), slice(30, 66)
SLIT_MM = 15.0  # deeper than this between the lips is the inside of the mouth
UNKNOWN = np.iinfo(np.int32).min


def mean_face() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(ROWS, COLUMNS) float32 height in mm, NaN beside the head, lips closed; and its five landmarks (5, 3)."""
    model = ict.model(ict.data_dir_of())
    place = np.stack(
        [
            (model.base[:, 0] - LEFT_MM) / MM_PER_CELL,
            (model.base[:, 1] - TOP_MM) / MM_PER_CELL,
            1 / (model.base[:, 2] + FAR_MM),
        ],
        axis=1,
    ).astype(np.float32)
    nearest = np.zeros((ROWS, COLUMNS), np.float32)
    owner, triangle = np.full(nearest.shape, NOTHING, np.int32), np.empty(nearest.shape, np.int32)
    fill(place, model.mesh.faces, 0, nearest, owner, triangle)
    height = np.where(nearest > 0, 1 / np.maximum(nearest, 1e-9) - FAR_MM, np.nan).astype(np.float32)
    for column in range(LIP_COLUMNS.start, LIP_COLUMNS.stop):
        lips = height[LIP_ROWS, column]
        slit = lips > SLIT_MM
        rows = np.arange(len(lips))
        lips[slit] = np.interp(rows[slit], rows[~slit], lips[~slit])
    return height, model.base[model.mesh.landmarks].astype(np.float32)


def main() -> int:
    """Write the file."""
    height, landmarks = mean_face()
    stored = np.where(np.isfinite(height), np.rint(height * 1000), UNKNOWN).astype(np.int32)
    np.savez_compressed(OUT, height_um=stored, landmarks_mm=landmarks)
    sys.stdout.write(f"{OUT}: {np.isfinite(height).mean():.0%} of the cells are face\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
