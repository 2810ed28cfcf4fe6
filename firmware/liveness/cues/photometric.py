"""Cue `photometric`: how much of the light is explained by the shape, times a reflectance that varies smoothly.

    value = 1 - (spread of what is left / spread of the light)^2

Both are the logarithm of the light with its mean over 30 mm taken away; what is left has the shape's own light divided
out first. Spread is the 60th percentile about the median, so that highlights and eyes do not decide.

A head of one colour is explained too well: all that varies is its shading. A print is explained badly: its shading was
printed. Living skin lies between. Depth noise makes shading of its own, which lowers every value with distance.
Source: shape from shading read backwards (Horn, Robot Vision, chapter 11), with the shape measured.
"""

import math

import numpy as np
from numpy.typing import NDArray

from firmware.liveness.cues.ground import F32, Ground

SMOOTH_MM = 30.0
SPREAD = 60.0  # percentile
LEAST_CELLS = 200


def photometric(ground: Ground) -> float:
    """The explained share, at most 1; NaN without a dark exposure, without depth, or on too small a face."""
    reflectance = ground.reflectance
    known = ground.patch.inside & np.isfinite(reflectance)
    if int(known.sum()) < LEAST_CELLS:
        return math.nan
    left, light = (_spread(one, known) for one in ground.without_mean((reflectance, ground.light), known, SMOOTH_MM))
    return 1 - (left / light) ** 2 if light > 0 else math.nan


def _spread(values: F32, known: NDArray[np.bool_]) -> float:
    own = values[known]
    return float(np.percentile(np.abs(own - np.median(own)), SPREAD))
