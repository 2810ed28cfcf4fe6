"""One probe against one person's templates: per modality a cosine, and the log-likelihood ratio it is worth.

Rules kept here:
- The best of a person's templates counts, in each modality by itself.
- Where the calibration has a mean embedding, it is subtracted from both sides and both become unit again.
- What is missing on either side is NaN, and NaN is never worth anything.
"""

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration, Reading
from firmware.vision.embed import MODALITIES, Embedded, Modality
from firmware.vision.templates import Templates, unit


def cosines(probe: NDArray[np.float32], templates: NDArray[np.float32], reading: Reading) -> NDArray[np.float32]:
    """Best cosine of a probe with each of several people, -1..1, larger is more alike.

    Args:
        probe: (128,) unit vector.
        templates: (N, views, 128) unit vectors, zeros where missing.
        reading: whose mean is subtracted.

    Returns:
        (N,) float32, NaN where a person has no template.

    Raises:
        TemplateError: the probe has no direction.
    """
    moved, there = centred(templates, reading)
    found = np.where(there, moved @ _probe(probe, reading), np.float32(-np.inf)).max(axis=1)
    return np.where(np.isfinite(found), np.clip(found, -1, 1), np.float32(np.nan)).astype(np.float32)


def centred(templates: NDArray[np.float32], reading: Reading) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(..., 128) vectors less the mean, at unit length again, and whether each is there; zeros where not."""
    there = templates.any(axis=-1)
    moved = templates - np.array(reading.mean, np.float32) if reading.mean else templates
    length = np.linalg.norm(moved, axis=-1)
    there &= length > 1e-6  # neither NaN nor the mean itself
    scale = np.where(there, 1 / np.where(there, length, 1), 0).astype(np.float32)
    return np.where(there[..., None], moved * scale[..., None], np.float32(0)).astype(np.float32), there


def _probe(probe: NDArray[np.float32], reading: Reading) -> NDArray[np.float32]:
    return unit(unit(probe) - np.array(reading.mean, np.float32)) if reading.mean else unit(probe)


def llr_of(probe: Embedded, templates: Templates, calibration: Calibration) -> dict[Modality, tuple[float, float]]:
    """Cosine and log-likelihood ratio of each modality that both sides have. Raises TemplateError."""
    found: dict[Modality, tuple[float, float]] = {}
    for i, modality in enumerate(MODALITIES):
        vector, reading = probe.of(modality), calibration.of(modality)
        if vector is not None:
            cosine = float(cosines(vector, templates[i][None], reading)[0])
            if cosine == cosine:
                found[modality] = (cosine, reading.llr(cosine))
    return found
