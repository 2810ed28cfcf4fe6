"""Is it the person? Log-likelihood ratios of both modalities add; the sum must reach a threshold of a known rate.

Rules kept here:
- More alike in any modality never turns a yes into a no, and NaN is never a yes.
- A missing modality is a no in `payment`; at a door the other one must reach its own threshold of the same rate, and
  more by the policy's `raise_by` than both together would have needed.
- A modality that speaks against the person beyond its floor is a no whatever the other says: one perfect copy, of a
  picture or of a shape, does not outweigh the wrong other.
"""

import math
from dataclasses import dataclass

from firmware.vision.calibration import Calibration, CalibrationError
from firmware.vision.embed import MODALITIES, Embedded, Modality
from firmware.vision.match import llr_of
from firmware.vision.policy import Mode, Policy
from firmware.vision.templates import Templates

MISSING, DISAGREE, NOT_RECOGNISED = "modality_missing", "modalities_disagree", "not_recognised"


@dataclass(frozen=True, slots=True)
class Match:
    """How one comparison ended.

    Attributes:
        reason: empty for a match, or a code of `core.reasons.SENTENCES`.
        llr: sum of the log-likelihood ratios; NaN where nothing could be compared.
        threshold: the least `llr` that would have been a match; infinite where none would.
        cosines: of the modalities both sides have.
        ratios: their log-likelihood ratios.
    """

    reason: str
    llr: float
    threshold: float
    cosines: dict[Modality, float]
    ratios: dict[Modality, float]

    @property
    def matched(self) -> bool:
        """Whether it is the person."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class Judge:
    """What cosines mean and what is asked of them. `mode` says at which false-match rate."""

    calibration: Calibration
    policy: Policy
    mode: Mode

    def __post_init__(self) -> None:
        """Refuse a rate the calibration has no evidence for. Raises CalibrationError."""
        self.calibration.threshold(self.mode.rate)

    @property
    def bound(self) -> float:
        """What may be claimed of the false-match rate of a match on both modalities."""
        return self.calibration.threshold(self.mode.rate).bound

    def compare(self, probe: Embedded, templates: Templates) -> Match:
        """Compare a probe with one person's templates. Raises TemplateError."""
        both = llr_of(probe, templates, self.calibration)
        return self.weigh(
            {modality: ratio for modality, (_, ratio) in both.items()},
            {modality: cosine for modality, (cosine, _) in both.items()},
        )

    def weigh(self, ratios: dict[Modality, float], cosines: dict[Modality, float] | None = None) -> Match:
        """Decide on log-likelihood ratios, by modality; what is no finite number is missing."""
        there = {modality: ratios[modality] for modality in MODALITIES if math.isfinite(ratios.get(modality, math.nan))}
        llr = sum(there.values()) if there else math.nan
        threshold = self.threshold(tuple(there))
        if len(there) < len(MODALITIES) and not (there and self.policy.missing == "raise"):
            reason = MISSING
        elif any(ratio < self.calibration.of(modality).floor for modality, ratio in there.items()):
            reason = NOT_RECOGNISED if llr < threshold else DISAGREE
        else:
            reason = "" if llr >= threshold else NOT_RECOGNISED
        return Match(reason, llr, threshold, cosines or {}, there)

    def threshold(self, modalities: tuple[Modality, ...]) -> float:
        """Least sum of ratios of these modalities that is a match; infinite where none is."""
        both = self.calibration.threshold(self.mode.rate).llr
        if modalities == MODALITIES:
            return both
        if not modalities or self.policy.missing == "refuse":
            return math.inf
        try:
            alone = self.calibration.threshold(self.mode.rate, modalities).llr
        except CalibrationError:
            return math.inf  # no evidence that one alone keeps the rate
        return max(alone, both + self.policy.raise_by)
