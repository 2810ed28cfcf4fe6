"""What a measured rate may claim.

Rules kept here:
- A false-match rate is claimed by its bound: the upper end of a one-sided 95 % interval, never the estimate.
- A bound is refused that the counts do not carry: were it the true rate, so few errors would be seen in more than 5 %
  of repetitions. No error in n comparisons claims 3 / n.
- Several pictures of the same two people are not several trials: a rate R needs 3 / R pairs of different people too.
- Nor are the same people put together in other ways: counts of several pairings are credited as those of one.
- A claim is as weak as its weakest part.
"""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["synthetic", "proxy", "site"]
KINDS: tuple[Kind, ...] = ("synthetic", "proxy", "site")
"""Weakest first: people who do not exist; real people, but not this light, camera or network; this very terminal's."""

CHANCE = 0.05
NEEDED = -math.log(CHANCE)
"""2.996: the rule of three."""

Rate = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Natural = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(min_length=1, max_length=1000)]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who was compared with whom.

    Attributes:
        about: what was measured, on what, with which networks, in a sentence or two.
        kind: see `KINDS`.
        people: different people.
        pairings: how often people were put together anew from one person's infrared and another's depth; 1 where
            both are of the same person. It steadies an estimate and is no evidence.
        comparisons: of different people, all pairings together.
        genuine: comparisons of a person with himself.
    """

    about: Text
    kind: Kind
    people: Annotated[int, Meta(ge=2)]
    pairings: Natural = 1
    comparisons: Natural
    genuine: Natural

    @property
    def pairs(self) -> int:
        """Pairs of different people among the comparisons, of one pairing."""
        return min(self.of_one_pairing(self.comparisons), self.people * (self.people - 1) // 2)

    def of_one_pairing(self, count: int) -> int:
        """A count over all pairings as that of one, rounded up."""
        return -(-count // self.pairings)


def chance_of_so_few(errors: int, comparisons: int, rate: float) -> float:
    """Probability of at most `errors` in `comparisons` independent ones at a true `rate`."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return float(errors >= comparisons)
    total = math.lgamma(comparisons + 1)
    terms = (
        math.exp(
            total - math.lgamma(k + 1) - math.lgamma(comparisons - k + 1)
            + k * math.log(rate) + (comparisons - k) * math.log1p(-rate)
        )
        for k in range(errors + 1)
    )  # fmt: skip
    return min(1.0, sum(terms))


def weakest(kinds: tuple[Kind, ...]) -> Kind:
    """The kind of a claim made of several."""
    return min(kinds, key=KINDS.index)
