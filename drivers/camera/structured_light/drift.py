"""Watches what slowly ruins depth, and says so before it does: rows that drift, dots that fade.

Rules kept here:
- Advice comes while depth still lives, the fault when it dies: `ADVISE_PX` before `FAULT_PX`, `ADVISE_DOTS` before
  `FAULT_DOTS`.
- Rows that are off are named first: they take the depth that weak dots would.
- The dots' light is weighed against the flood's, so that neither distance nor skin changes it. A flood that is
  commanded dimmer makes them look stronger, never weaker, so the low end of the last frames counts.
"""

from collections import deque

import numpy as np

from drivers.camera.interface import CameraLostError
from drivers.camera.structured_light.sorter import Sorted

# Of rows, measured by the simulated face at 0.5 m (docs/structured-light.md): half a pixel costs little, one pixel a
# fifth of the face and more, two nearly all of it.
ADVISE_PX, FAULT_PX = 0.3, 0.8
# Of the dots' light when calibrated. Simulated at 0.5 m, a fifth of it still decodes indoors, but daylight drowns it.
ADVISE_DOTS, FAULT_DOTS = 0.6, 0.3
KEPT = 8  # frames that are averaged: half a second
SURE = 4  # frames before anything is said
LIT = 0.35  # of the flood's bright end: what is near


class Drift:
    """Takes whole cycles; its figures are of the last `KEPT`."""

    def __init__(self, dots_per_flood: float) -> None:
        """`dots_per_flood`: of the module's calibration."""
        self._dots_per_flood = dots_per_flood
        self._rows_px, self._dots = deque[float](maxlen=KEPT), deque[float](maxlen=KEPT)

    def add(self, cycle: Sorted) -> None:
        """Look at one more cycle."""
        self._rows_px.append(cycle.dots.look.rows_px)
        strength = dots_per_flood(cycle)
        if strength is not None:
            self._dots.append(strength / self._dots_per_flood)

    @property
    def rows_px(self) -> float | None:
        """How much lower dots are than in the reference, pixels; None before any frame."""
        return float(np.median(self._rows_px)) if self._rows_px else None

    @property
    def dots(self) -> float | None:
        """Light of the dots, relative to when calibrated; None before any frame."""
        return float(np.percentile(self._dots, 25)) if self._dots else None

    @property
    def advice(self) -> str:
        """What to mend before it becomes a fault; empty while all is well."""
        rows_px, dots = self.rows_px, self.dots
        if len(self._rows_px) < SURE:
            return ""
        if rows_px is not None and abs(rows_px) > ADVISE_PX:
            return f"Rows have drifted by {rows_px:+.1f} px: calibrate before depth is lost."
        if dots is not None and dots < ADVISE_DOTS:
            return f"The dots have {dots:.0%} of their light: clean the window, check the projector's supply."
        return ""

    def check(self) -> None:
        """Raise CameraLostError (`row_drift`, `weak_dots`) where depth cannot be relied on any more."""
        rows_px, dots = self.rows_px, self.dots
        if len(self._rows_px) < SURE:
            return
        if rows_px is not None and abs(rows_px) > FAULT_PX:
            raise CameraLostError(f"rows are off by {rows_px:+.1f} px, more than {FAULT_PX}", "row_drift")
        if len(self._dots) >= SURE and dots is not None and dots < FAULT_DOTS:
            raise CameraLostError(f"the dots have {dots:.0%} of their light, less than {FAULT_DOTS:.0%}", "weak_dots")


def dots_per_flood(cycle: Sorted) -> float | None:
    """Mean light of the dots over mean light of the flood, both per millisecond and gain, where the flood is bright.

    None where too little light comes back to say.
    """
    dark, flood, dots = cycle.dark, cycle.flood, cycle.dots
    without = dark.small * np.float32(dark.light)
    flooded = flood.small * np.float32(flood.light) - without
    near = flooded > LIT * np.percentile(flooded, 98)
    strength = float(flooded[near].mean()) if near.any() else 0.0
    if strength <= 0:
        return None
    return float((dots.small * np.float32(dots.light) - without)[near].mean()) / strength
