"""Who is it, where nobody was claimed: one of the few whose number ends so, or anybody.

"Nobody known" is a normal answer. How many people a look may be compared with is the policy's; more are not compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from firmware.vision.embed import Embedded
from firmware.vision.fusion import NOT_RECOGNISED, Judge, Match
from firmware.vision.search import SearchIndex
from firmware.vision.templates import Templates

DIGITS = 4
TOO_MANY, AMBIGUOUS = "too_many_people", "ambiguous"


@dataclass(frozen=True, slots=True)
class Identified:
    """Who it is: an index into what was searched, or None and why.

    Attributes:
        who: the person, None for nobody known.
        reason: empty where somebody was found, else a short code.
        match: with the best candidate, None where there was none to compare with.
    """

    who: int | None
    reason: str = ""
    match: Match | None = None


def narrow(numbers: Sequence[str], digits: str) -> list[int]:
    """Indices of the `numbers` that end in the four typed `digits`; none unless exactly four digits were typed."""
    if re.fullmatch(rf"[0-9]{{{DIGITS}}}", digits) is None:
        return []
    return [i for i, number in enumerate(numbers) if number.endswith(digits)]


def among(probe: Embedded, people: Sequence[Templates], judge: Judge) -> Identified:
    """Small-N: which of a few is it? Nobody where two could be. Raises TemplateError."""
    if len(people) > judge.mode.most:
        return Identified(None, TOO_MANY)
    matches = [judge.compare(probe, templates) for templates in people]
    return _best(sorted(enumerate(matches), key=_worth, reverse=True), judge)


def everybody(probe: Embedded, index: SearchIndex, judge: Judge) -> Identified:
    """1:N: who of everybody is it? Nobody unless the best beats the second by the margin. Raises TemplateError."""
    if len(index) > judge.mode.most:
        return Identified(None, TOO_MANY)
    hits = index.best(probe, 2)
    return _best([(hit.who, judge.weigh(hit.ratios, hit.cosines)) for hit in hits], judge)


def _worth(candidate: tuple[int, Match]) -> tuple[bool, float]:
    _, match = candidate
    return match.matched, match.llr if match.llr == match.llr else -float("inf")


def _best(candidates: list[tuple[int, Match]], judge: Judge) -> Identified:
    """The first of `candidates`, best first, if it matches and stands out."""
    if not candidates:
        return Identified(None, NOT_RECOGNISED)
    (who, match), *others = candidates
    if not match.matched:
        return Identified(None, match.reason, match)
    if any(other.matched or not match.llr - other.llr >= judge.mode.margin for _, other in others[:1]):
        return Identified(None, AMBIGUOUS, match)
    return Identified(who, "", match)
