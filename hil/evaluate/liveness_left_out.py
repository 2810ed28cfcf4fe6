"""Leave one species out: what cues make of a kind of attack that they were not fitted on.

Rules kept here:
- Only the tables of the cues change: the gates, and the values measured, stay those of the same presentations.
- Whatever got past the gates is weighed by the tables that were fitted without its species, and so are the people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from firmware.liveness.cues import CueCalibration
from firmware.liveness.policy import Policy
from hil.evaluate.cue_fit import fit, load_values, total
from hil.evaluate.judge import Judged
from hil.evaluate.presentation_manifest import BONA_FIDE as LIVING
from hil.evaluate.presentation_tally import Row


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One species.

    Attributes:
        species: that the tables were fitted without.
        pairs: with a response.
        passed: pairs that got past the gates.
        accepted: of these by the shipped tables.
        accepted_without: by the tables fitted without the species.
        people: of the headline, with a response.
        refused: of these by the shipped tables or the gates.
        refused_without: by the tables fitted without the species, or the gates.
    """

    species: str
    pairs: int
    passed: int
    accepted: int
    accepted_without: int
    people: int
    refused: int
    refused_without: int


def left_out(rows: Sequence[Row], policy: Policy) -> list[LeftOut]:
    """Every species that the shipped tables were fitted on and that was presented."""
    values = load_values()
    answered = [row for row in rows if row[1].decision != "non_response"]
    living = [judged for one, judged in answered if one.label == LIVING]
    found = []
    for species in sorted(values.keys() & {one.species for one, _ in answered}):
        attacks = [judged for one, judged in answered if one.species == species]
        fitted = fit(values, leave_out=species)
        found.append(
            LeftOut(
                species=species,
                pairs=len(attacks),
                passed=sum(one.score is not None for one in attacks),
                accepted=sum(one.decision == "accepted" for one in attacks),
                accepted_without=sum(_alive(one, fitted, policy) for one in attacks),
                people=len(living),
                refused=sum(one.decision != "accepted" for one in living),
                refused_without=sum(not _alive(one, fitted, policy) for one in living),
            )
        )
    return found


def _alive(judged: Judged, fitted: CueCalibration, policy: Policy) -> bool:
    if judged.score is None:
        return False
    measured = {name: value for name in policy.cues if (value := judged.cues.get(name)) is not None}
    return total(fitted, measured, policy.cues) >= policy.llr_min
