"""Pictures of the results, all in one style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plots import bars, grids, lines
from benchmarks.results import Result


@dataclass(frozen=True)
class Plot:
    """Picture of one benchmark's result."""

    benchmark: str
    words: str  # alternative text
    draw: Callable[[Result, Path], None]


PLOTS = {
    "headline.png": Plot("steps", "Time of a training step, npbloom, FBGEMM and torch", bars.headline),
    "roofline.png": Plot("roofline", "Bytes a second of each step, beside a copy", bars.roofline),
    "table-size.png": Plot("table_size", "Step time against the number of rows", lines.table_size),
    "sweep.png": Plot("sweep", "Time for each id, probe and column at other sizes", grids.sweep),
    "memory.png": Plot("memory", "Peak memory of a step beyond table and state", bars.memory),
}
