"""Is this face enrolled for somebody else already?

Rules kept here:
- One face, one account: who could be taken for another payer would pay in their name, and they in his.
- It is asked of every pose, and a face counts as the same where most poses match. The threshold is that of a claimed
  person, and grows with the number of people compared: N people at a false-match rate r are wrong N times as often, and
  ratios are natural logarithms, so ln N keeps the chance of wrongly turning somebody away at r.
- Whoever stands there is told only that it is so, never whose account it is.

Most of a large gallery is ruled out in blocks; who is left is judged as at a payment.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firmware.vision.embed import MODALITIES, Embedded
from firmware.vision.fusion import Judge
from firmware.vision.match import cosines
from firmware.vision.templates import Templates

BLOCK = 256
ROUNDING = 1e-3  # nats, of sums in float32


def enrolled_elsewhere(poses: Sequence[Embedded], others: Sequence[Templates], judge: Judge) -> bool:
    """Whether most of `poses`, each of both modalities, match the templates of one of the `others`.

    Raises TemplateError.
    """
    stricter = math.log(max(1, len(others)))
    for start in range(0, len(others), BLOCK):
        block = others[start : start + BLOCK]
        if any(_alike(poses, block[who], judge, stricter) for who in _near(poses, block, judge, stricter)):
            return True
    return False


def _alike(poses: Sequence[Embedded], templates: Templates, judge: Judge, stricter: float) -> bool:
    matches = (judge.compare(pose, templates) for pose in poses)
    alike = sum(match.matched and match.llr >= match.threshold + stricter for match in matches)
    return 2 * alike > len(poses)


def _near(poses: Sequence[Embedded], block: Sequence[Templates], judge: Judge, stricter: float) -> list[int]:
    """Who of a block reaches the threshold in most poses; floors are not looked at."""
    least = judge.threshold(MODALITIES) + stricter - ROUNDING
    copied = np.stack(block)
    try:
        near = sum((_ratios(pose, copied, judge) >= least).astype(int) for pose in poses)
    finally:
        copied[:] = 0  # other people's templates
    return [int(who) for who in np.flatnonzero(2 * near > len(poses))]


def _ratios(pose: Embedded, templates: NDArray[np.float32], judge: Judge) -> NDArray[np.float64]:
    """(N,) sums of log-likelihood ratios with (N, 2, 3, 128) templates; NaN where a modality is missing."""
    total = np.zeros(len(templates))
    for i, modality in enumerate(MODALITIES):
        reading, vector = judge.calibration.of(modality), pose.of(modality)
        if vector is None:
            return np.full(len(templates), np.nan)
        cosine = cosines(vector, templates[:, i], reading)
        total += np.clip(reading.slope * cosine + reading.offset, -reading.limit, reading.limit)
    return total
