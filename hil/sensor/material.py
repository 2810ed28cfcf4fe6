"""What a surface does with a dot of near infrared: how far it carries the light inside before letting it go again.

The radii at 940 nm come from Monte Carlo transport over published scattering and absorption coefficients. They are
inputs of the simulation: nothing simulated can prove that a sensor tells these materials apart.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_SIGMAS = np.array([0.2, 0.45, 1.0, 4.0])  # of the half-light radius: a core, a body and a tail


@dataclass(frozen=True)
class Material:
    """One material.

    Attributes:
        name: as printed beside figures.
        spread_mm: radii within which a quarter, a half and three quarters of the light that went inside leaves again.
        sharp: share of a dot's returned light, 0..1, that the surface itself sent back, unspread. On skin 0-0.35,
            the sheen of its oil film: without it dots on skin would nearly vanish.
    """

    name: str
    spread_mm: tuple[float, float, float]
    sharp: float

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        quarter, half, three_quarters = self.spread_mm
        if not 0 <= quarter <= half <= three_quarters <= 20:
            raise ValueError(f"material {self.name}: spread_mm is {self.spread_mm}, expected rising radii of 0-20 mm")
        if not 0 <= self.sharp <= 1:
            raise ValueError(f"material {self.name}: sharp is {self.sharp}, expected 0-1")


SKIN = Material("skin", (1.0, 2.1, 3.9), 0.2)
SILICONE = Material("silicone", (0.8, 1.9, 3.7), 0.1)
RESIN_TRANSLUCENT = Material("translucent resin", (1.0, 2.1, 3.9), 0.15)
PLASTIC_OPAQUE = Material("opaque plastic", (0.32, 0.73, 1.5), 0.1)
PAPER = Material("paper", (0.03, 0.08, 0.14), 0.0)
PAINT = Material("titanium white paint", (0.04, 0.08, 0.18), 0.0)
GLASS = Material("glass", (0.0, 0.0, 0.0), 1.0)  # nothing enters: what little returns is mirrored
HAIR = Material("hair", (0.1, 0.3, 1.0), 0.1)  # guess: light wanders between strands, most of it is absorbed
CLOTH = Material("cloth", (0.1, 0.25, 0.6), 0.0)  # guess: between paper and opaque plastic


@cache
def gaussians(material: Material) -> NDArray[np.float64]:
    """(4, 2): weight and sigma in mm of each Gaussian of a sum with the material's three radii; weights sum to 1.

    Exact for every material here; where radii would need a negative weight, it is left out and they are met roughly.
    """
    radii = np.array(material.spread_mm)
    if radii[1] == 0:
        return np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    sigmas = _SIGMAS * radii[1]
    within = 1 - np.exp(-(radii[:, None] ** 2) / (2 * sigmas**2))
    weights = np.linalg.lstsq(np.vstack([within, np.ones(4)]), np.array([0.25, 0.5, 0.75, 1.0]))[0]
    weights = np.maximum(weights, 0)
    return np.stack([weights / weights.sum(), sigmas], axis=1)
