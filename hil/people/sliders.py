"""Who somebody is, in a few numbers: sex, age, descent, weight; and what they wear.

What each generator makes of them differs: MakeHuman has artists' shapes for all of them. ICT's modes are statistical
and unnamed: there age sets size, proportion and skin, sex sets beard and hair, and descent and weight say nothing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hil.people.skin import Looks

Descent = tuple[float, float, float]
Wearable = Literal["glasses", "sunglasses", "mask", "cap", "beanie"]
WEARABLES: tuple[Wearable, ...] = ("glasses", "sunglasses", "mask", "cap", "beanie")

AGES = (4.0, 90.0)
GROWN_AGE = 18.0


@dataclass(frozen=True)
class Sliders:
    """One person.

    Attributes:
        male: 0 female to 1 male.
        age_years: 4 to 90.
        descent: shares of MakeHuman's three sets of shapes, African, Asian, Caucasian; they sum to 1.
        heavy: -1 thin to 1 heavy.
    """

    male: float = 0.5
    age_years: float = 35.0
    descent: Descent = (1 / 3, 1 / 3, 1 / 3)
    heavy: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not (0 <= self.male <= 1 and -1 <= self.heavy <= 1 and AGES[0] <= self.age_years <= AGES[1]):
            raise ValueError(f"male is 0..1, heavy -1..1, age_years {AGES[0]:g}..{AGES[1]:g}: {self}")
        if min(self.descent) < 0 or abs(sum(self.descent) - 1) > 1e-6:
            raise ValueError(f"descent is three shares that sum to 1: {self.descent}")

    @staticmethod
    def drawn(rng: np.random.Generator) -> "Sliders":
        """Anybody: one in six a child or adolescent of 4 to 18, the others evenly up to 85."""
        age = float(rng.uniform(4, 18) if rng.random() < 1 / 6 else rng.uniform(18, 85))
        african, asian, caucasian = (float(share) for share in rng.dirichlet([0.6, 0.6, 0.6]))
        return Sliders(
            male=float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.1), 0, 1)),
            age_years=age,
            descent=(african, asian, caucasian),
            heavy=float(np.clip(rng.normal(0, 0.4), -0.9, 0.9)),
        )

    @property
    def grown(self) -> bool:
        """Whether the head has its adult size."""
        return self.age_years >= GROWN_AGE

    def looks(self, rng: np.random.Generator) -> Looks:
        """What age and sex do to the skin and hair; greying from thirty on, at a pace of one's own."""
        grey = float(np.clip((self.age_years - 30 - rng.uniform(0, 20)) / 35, 0, 1))
        lined = float(np.clip((self.age_years - 20) / 60 * rng.uniform(0.7, 1.3), 0, 1))
        return Looks(age=lined, beard=self.male > 0.5 and self.age_years >= 17, grey=grey)
