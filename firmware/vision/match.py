"""One probe against one template: a cosine, larger is more alike, and what it is worth.

Rules kept here:
- A template is the mean of the enrolled unit embeddings, brought back to unit length.
- Where the calibration has a mean embedding, it is subtracted from both sides and both become unit again.
- A decision is the cosine at the calibration's threshold; the likelihood ratio is for fusion and for people.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration


class MatchError(Exception):
    """An embedding that cannot be compared."""


def make_template(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the (128,) float32 unit template of one or more (128,) unit embeddings. Raises MatchError."""
    if not embeddings:
        raise MatchError("a template needs at least one embedding")
    return _unit(np.mean(np.stack([_unit(embedding) for embedding in embeddings]), axis=0))


def score(probe: NDArray[np.float32], template: NDArray[np.float32], calibration: Calibration) -> float:
    """Return the cosine of two (128,) unit embeddings, -1..1, larger is more alike. Raises MatchError."""
    mean = np.array(calibration.mean or 0.0, np.float32)
    cosine = float(_unit(_unit(probe) - mean) @ _unit(_unit(template) - mean))
    return min(1.0, max(-1.0, cosine))


def llr(cosine: float, calibration: Calibration) -> float:
    """Return the natural-log likelihood ratio same person : another, held to what the trials can show."""
    return min(calibration.llr_limit, max(-calibration.llr_limit, calibration.slope * cosine + calibration.offset))


def is_match(cosine: float, calibration: Calibration) -> bool:
    """Whether a cosine reaches the threshold. NaN does not."""
    return cosine >= calibration.threshold


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    if vector.shape != (128,) or not np.isfinite(length) or length < 1e-6:
        raise MatchError(f"embedding of shape {vector.shape} and length {length} cannot be compared")
    return (vector / np.float32(length)).astype(np.float32)
