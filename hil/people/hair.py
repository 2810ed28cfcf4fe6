"""Where hair grows and how thick it stands: a cap over the skull, in the cylinder's millimetres."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hil.people.atlas import Canvas

OVER_EAR_MM = -16.0


@dataclass(frozen=True)
class Haircut:
    """How the hair is cut, in mm.

    Attributes:
        front_mm: height of the hairline above the eyes, in the middle.
        temple_mm: the same at the temples.
        side_mm: how far below the eyes it comes before the ear.
        nape_mm: and behind.
        part_mm: how far the front line tilts.
        thick_mm: how far the hair stands off the skull.
    """

    front_mm: float
    temple_mm: float
    side_mm: float
    nape_mm: float
    part_mm: float
    thick_mm: float

    @staticmethod
    def drawn(rng: np.random.Generator, may_be_bald: bool = True) -> "Haircut":
        """Anything from shaven to a full head; one in eight is nearly bald in front, of those who may."""
        bald = rng.random() < 0.12 and may_be_bald
        return Haircut(
            front_mm=float(rng.uniform(95, 115)) if bald else float(rng.uniform(52, 84)),
            temple_mm=float(rng.uniform(60, 90)) if bald else float(rng.uniform(28, 70)),
            side_mm=float(rng.uniform(-10, 30)),
            nape_mm=float(rng.choice([60, 75, 110, 150])) + float(rng.normal(0, 6)),
            part_mm=float(rng.normal(0, 9)),
            thick_mm=float(rng.uniform(0.5, 4)) if bald else float(rng.choice([2, 6, 12, 20]) + rng.uniform(0, 5)),
        )

    def cover(
        self, across: NDArray[np.floating], down: NDArray[np.floating], softness_mm: float
    ) -> NDArray[np.float32]:
        """0..1, how much hair there is at points of the cylinder, broadcast over `across` and `down` (mm)."""
        # the hairline's height round the head: middle, temples (about 50 degrees), before the ear, over it, nape
        places = np.array([0.0, 35.0, 75.0, 97.0, 103.0, 140.0, 152.0, 283.0])
        front, temple, side, nape = -self.front_mm, -self.temple_mm, self.side_mm, self.nape_mm
        heights = np.array([front, front * 0.96, temple, side, OVER_EAR_MM, OVER_EAR_MM, nape, nape])
        line = np.interp(np.abs(across), places, heights) + self.part_mm * np.tanh(across / 25) * np.exp(
            -((across / 60) ** 2)
        )
        return np.asarray(1 / (1 + np.exp(np.clip(4 * (down - line) / softness_mm, -40, 40))), np.float32)

    def volume(self, across: NDArray[np.floating], down: NDArray[np.floating]) -> NDArray[np.float32]:
        """0..1, how far of `thick_mm` the hair stands off: soft, and nothing on the neck, where the mesh would fold."""
        cropped = replace(self, side_mm=min(self.side_mm, OVER_EAR_MM), nape_mm=min(self.nape_mm, 30.0))
        return cropped.cover(across, down, softness_mm=22.0)

    def on(self, canvas: Canvas) -> NDArray[np.float32]:
        """(rows, columns) cover of a canvas."""
        return self.cover(canvas.across.astype(np.float64), canvas.down.astype(np.float64), softness_mm=7.0)
