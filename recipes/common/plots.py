"""Plots of the studies: lines with bands over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codec.extras import require


def figure(columns: int, rows: int = 1, width: float = 5.0, height: float = 3.8) -> tuple[Any, Any]:
    """A figure that needs no display, and its axes ``[rows, columns]``; close it with `save`."""
    require("matplotlib", extra="train").use("agg")
    pyplot = require("matplotlib.pyplot", extra="train")
    size = (width * columns, height * rows)
    return pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")


def band(axes: Any, x: Sequence[float], values: Sequence[Sequence[float]], label: str, **style: Any) -> None:
    """One line of means over seeds, with the span of the middle 95 % around it.

    The span goes from the 2.5 % to the 97.5 % quantile (linear interpolation), as the published bands do;
    a position with several seeds between such of one has a bar. Positions of a single seed are points, and
    positions without any are left out.

    Args:
        axes: of matplotlib.
        x: positions.
        values: for each position the values of its seeds.
        label: for the legend.
        style: of the line, as matplotlib names it.
    """
    known = [(at, seeds) for at, seeds in zip(x, values, strict=True) if len(seeds)]
    if not known:
        return
    positions = np.array([at for at, _ in known])
    axes.plot(positions, [np.mean(seeds) for _, seeds in known], label=label, marker=".", **style)
    several = np.array([len(seeds) > 1 for _, seeds in known])
    low, high = np.array([np.quantile(seeds, (0.025, 0.975)) for _, seeds in known]).T
    shade = {"color": axes.lines[-1].get_color(), "alpha": 0.2}
    axes.fill_between(positions, low, high, where=several, lw=0, **shade)
    # Between two such positions there is an area; one by itself has a bar.
    beside = np.pad(several, 1)
    alone = several & ~beside[:-2] & ~beside[2:]
    axes.vlines(positions[alone], low[alone], high[alone], lw=4, **shade)


def save(plot: Any, path: Path) -> None:
    """Write a figure of `figure` to a file and close it."""
    plot.savefig(path, dpi=110)
    require("matplotlib.pyplot", extra="train").close(plot)
