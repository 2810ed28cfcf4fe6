"""Draws the stereo noise model beside a real D435, and prints the figures as JSON.

`python -m hil.sensor.stereo_figure --data ../shared/data --out docs/stereo-noise.png`, with matplotlib (`hil` extra).
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from hil.sensor.stereo_noise import BANDS_MM, Pair, correlation, recorded, simulated
from hil.sensor.surface import F32

LAGS = tuple(range(25))


def draw(real: Pair, model: Pair, out: Path) -> None:
    """Both sides in one picture."""
    mpl.use("Agg")
    figure, axes = plt.subplots(2, 4, figsize=(15, 6.4), layout="constrained")
    for row, (name, pair) in enumerate((("real D435", real), ("simulated", model))):
        _picture(axes[row, 0], pair.first, f"{name}: depth, holes black", "mm", (350, 2300), "viridis")
        _picture(axes[row, 1], pair.change_px(), f"{name}: change between two frames", "px", (-0.4, 0.4), "RdBu")
    middles = [sum(band) / 2 for band in BANDS_MM]
    for name, pair, style in (("real D435", real, "o-"), ("simulated", model, "s--")):
        change = pair.change_px()
        for axis, along in ((1, "columns"), (0, "rows")):
            shares = [correlation(change, lag, axis) for lag in LAGS]
            axes[0, 2 if axis else 3].plot(LAGS, shares, style, markersize=3, label=name)
            axes[0, 2 if axis else 3].set(title=f"correlation of neighbours along {along}", xlabel="pixels")
        inside = [(pair.first > low) & (pair.first < high) for low, high in BANDS_MM]
        sigma_px = [float(np.nanstd(change[band]) / 2**0.5) for band in inside]
        axes[1, 2].plot(middles, sigma_px, style, label=name)
        axes[1, 3].plot(middles, np.array(sigma_px) * np.array(middles) ** 2 / pair.product, style, label=name)
    axes[1, 2].set(title="noise between frames, px of disparity", xlabel="distance, mm", ylim=(0, None))
    axes[1, 3].set(title="noise between frames, mm", xlabel="distance, mm", ylim=(0, None))
    for plot in (*axes[0, 2:], *axes[1, 2:]):
        plot.legend()
        plot.grid(alpha=0.3)
    figure.savefig(out, dpi=80)


def _picture(plot: Axes, image: F32, title: str, unit: str, limits: tuple[float, float], colours: str) -> None:
    plot.set_facecolor("black")
    drawn = plot.imshow(image, vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest")
    plot.set(title=title, xticks=[], yticks=[])
    plot.figure.colorbar(drawn, ax=plot, label=unit, shrink=0.8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stereo noise model beside a real D435.")
    parser.add_argument("--data", type=Path, required=True, help="folder with realsense/")
    parser.add_argument("--out", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    real_pair, lens = recorded(arguments.data)
    model_pair = simulated(real_pair, lens)
    print(json.dumps({"real": real_pair.figures(), "simulated": model_pair.figures()}, indent=2))  # noqa: T201
    if arguments.out:
        draw(real_pair, model_pair, arguments.out)
