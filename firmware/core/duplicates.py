"""Is this face enrolled for somebody else already?

Rules kept here:
- One face, one account: who could be taken for another payer would pay in their name, and they in his.
- It is asked of every pose, and a face counts as the same where most poses match. The threshold is that of a claimed
  person, and grows with the number of people compared: N people at a false-match rate r are wrong N times as often, and
  ratios are natural logarithms, so ln N keeps the chance of wrongly turning somebody away at r.
- Whoever stands there is told only that it is so, never whose account it is.
"""

import math
from collections.abc import Iterable, Sequence

from firmware.vision.embed import Embedded
from firmware.vision.fusion import Judge
from firmware.vision.templates import Templates


def enrolled_elsewhere(poses: Sequence[Embedded], others: Iterable[Templates], judge: Judge) -> bool:
    """Whether most of `poses` match the templates of one of the `others`. Raises TemplateError."""
    people = list(others)
    stricter = math.log(max(1, len(people)))
    return any(_alike(poses, templates, judge, stricter) for templates in people)


def _alike(poses: Sequence[Embedded], templates: Templates, judge: Judge, stricter: float) -> bool:
    matches = (judge.compare(pose, templates) for pose in poses)
    alike = sum(match.matched and match.llr >= match.threshold + stricter for match in matches)
    return 2 * alike > len(poses)
