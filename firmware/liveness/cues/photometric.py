"""Cue `photometric`: how much of the light is left when the shape is taken for its cause, and reflectance for smooth.

    value = spread of log(light / light expected of the shape), between 4 and 30 mm

Spread is the 60th percentile about the median: a relative amount, 0.1 is ten percent, and highlights do not decide.

A head of one colour is explained too well: once its shading is divided out, little varies. Living skin has brows, lips,
lids and patches. What is explained worse than any face, a shape that does not belong to its light, speaks against life
too. A print is not told from a face here: its picture is left over, as a face's features are; its flatness is a gate's.
Depth noise makes shading of its own and raises every value with distance; below 4 mm it is averaged away.
Source: shape from shading (Horn, Robot Vision, chapter 11) read backwards, the shape being measured.
"""

import math

import numpy as np

from firmware.liveness.cues.ground import Ground

FINE_MM, SMOOTH_MM = 4.0, 30.0
SPREAD = 60.0  # percentile
LEAST_CELLS = 200


def photometric(ground: Ground) -> float:
    """The spread left, nats; NaN without a dark exposure, without depth, or on too small a face."""
    reflectance = ground.reflectance
    known = ground.patch.inside & np.isfinite(reflectance)
    if int(np.count_nonzero(known)) < LEAST_CELLS:
        return math.nan
    left = ground.between(reflectance, known, FINE_MM, SMOOTH_MM)[known]
    return float(np.percentile(np.abs(left - np.median(left)), SPREAD))
