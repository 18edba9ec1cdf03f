"""
Grids of time by dimension and probes, one for each dtype, kind of work and number of threads.

A cliff would show in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.plots.style import figure
from benchmarks.results import OURS, Result

WORKS = ("forward", "Adagrad step")


def nanoseconds(result: Result, labels: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """
    Return nanoseconds for each id, probe and column, and torch's time over npbloom's.

    Rows are dimensions, columns are probes.
    """
    dims, probes = result.sizes["d"], result.sizes["k"]
    cases = [[result.one(d=dim, k=k, **labels) for k in probes] for dim in dims]
    values = np.array([[case.median(OURS) / int(case.labels["d"]) / int(case.labels["k"]) for case in line] for line in cases])
    return values / result.sizes["ids a batch"] * 1e9, np.array([[case.ratio("torch") for case in line] for line in cases])


def sweep(result: Result, path: Path) -> None:
    """Draw all grids, with one colour scale for each kind of work."""
    columns = [(dtype, threads) for dtype in result.values("dtype") for threads in result.values("threads")]
    with figure(path, 2, len(columns), (3.0 * len(columns), 6.4), sharex=True, sharey=True) as (drawn, grid):
        for line, work in zip(grid, WORKS, strict=True):
            found = [nanoseconds(result, {"work": work, "dtype": dtype, "threads": threads}) for dtype, threads in columns]
            norm = LogNorm(min(values.min() for values, _ in found), max(values.max() for values, _ in found))
            for axes, (dtype, threads), (values, ratios) in zip(line, columns, found, strict=True):
                image = axes.imshow(values, cmap="viridis_r", norm=norm, aspect="auto")
                for (row, column), value in np.ndenumerate(values):
                    dark = norm(value) > 0.55
                    words = f"{value:.2f}\n{ratios[row, column]:.1f}x"
                    axes.text(column, row, words, ha="center", va="center", fontsize=7, color="white" if dark else "black")
                axes.set_title(f"{work}, {dtype}, {threads} thread{'s' * (threads != 1)}", loc="left", fontsize=9)
                axes.set_xticks(range(len(result.sizes["k"])), [f"k = {k}" for k in result.sizes["k"]])
                axes.set_yticks(range(len(result.sizes["d"])), [f"d = {d}" for d in result.sizes["d"]])
                axes.tick_params(length=0)
            scale = drawn.colorbar(image, ax=line, label="ns an id, probe and column", pad=0.01)
            scale.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            scale.ax.yaxis.set_minor_locator(NullLocator())
            scale.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        words = f"{result.sizes['ids a batch']:,} uniform ids, {result.sizes['rows']:,} rows"
        drawn.suptitle(
            f"npbloom's time for each id, probe and column, and how many times as long torch takes; {words}", fontsize=10.5
        )
