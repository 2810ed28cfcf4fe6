"""Unit vectors by number, and a calibration whose numbers are easy to follow."""

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration, Reading, Threshold
from firmware.vision.networks import template_networks


def unit(seed: int) -> NDArray[np.float32]:
    """(128,) float32, the same for the same number; two of them are nearly at right angles."""
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def towards(there: NDArray[np.float32], cosine: float, seed: int = 999) -> NDArray[np.float32]:
    """(128,) float32 unit vector at `cosine` to `there`."""
    across = unit(seed) - (unit(seed) @ there) * there
    return np.asarray(cosine * there + np.sqrt(1 - cosine**2) * across / np.float32(np.linalg.norm(across)), np.float32)


def reading(slope: float = 20.0, offset: float = -8.0, limit: float = 10.0, floor: float = -4.0) -> Reading:
    """Ratio 0 at cosine 0.4."""
    return Reading(
        about="made up", kind="synthetic", people=1000, comparisons=1_000_000, genuine=5000,
        slope=slope, offset=offset, limit=limit, floor=floor,
    )  # fmt: skip


def calibration() -> Calibration:
    """Both together need 6 at 1e-4 and 9 at 1e-5; infrared alone 5 and 8, depth alone 7."""

    def threshold(modalities: tuple, rate: float, llr: float) -> Threshold:  # type: ignore[type-arg]
        return Threshold(
            about="made up", kind="synthetic", people=1000, comparisons=1_000_000, genuine=5000,
            modalities=modalities, rate=rate, llr=llr, errors=0, bound=rate, misses=10,
        )  # fmt: skip

    return Calibration(
        population="virtual",
        networks=template_networks().hex(),
        ir=reading(),
        depth=reading(),
        thresholds=(
            threshold(("ir", "depth"), 1e-4, 6.0),
            threshold(("ir", "depth"), 1e-5, 9.0),
            threshold(("ir",), 1e-4, 5.0),
            threshold(("ir",), 1e-5, 8.0),
            threshold(("depth",), 1e-4, 7.0),
        ),
    )
