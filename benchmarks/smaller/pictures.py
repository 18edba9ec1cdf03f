"""Score against bytes served: a panel for each set, a line for each method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import data
from benchmarks.plots.style import figure
from benchmarks.smaller.catalogue import DECOMPOSITION, FULL_DIMS, NARROW_DECOMPOSITION, POPULARITY, full_name
from benchmarks.smaller.runs import BOTH, NONE
from benchmarks.smaller.summary import Cell, Key

LINES = {  # Okabe and Ito's colours
    "fewer columns": ("#555555", "s", "-"),
    "learned, k=8": ("#0072B2", "o", "-"),
    "learned, k=8, 4 bits": ("#56B4E9", "o", "--"),
    "learned, k=8, not trained": ("#CC79A7", "P", "-"),
    "learned, k=4": ("#009E73", "^", "-"),
    DECOMPOSITION: ("#E69F00", "D", "-"),
    "sum, k=4 (Spotlight)": ("#D55E00", "v", "-"),
}


def points(cells: dict[Key, Cell], name: str, line: str) -> list[Cell]:
    """Return the points of a line, from small to large."""
    if line == "fewer columns":
        keys = [key for key in cells if key[3] == "narrow" and key[1] == BOTH]
        keys += [(name, NONE, 1.0, full_name(dim)) for dim in FULL_DIMS]
    elif line == DECOMPOSITION:
        keys = [key for key in cells if key[3] in (DECOMPOSITION, NARROW_DECOMPOSITION)]
    else:
        keys = [key for key in cells if key[3] == line and key[1] == BOTH]
    found = [cells[key] for key in keys if key in cells and key[0] == name]
    return sorted(found, key=lambda cell: cell.bytes_served or 0)


def _panel(axes: Any, cells: dict[Key, Cell], name: str) -> None:
    """Draw the panel of one set."""
    for line, (colour, marker, style) in LINES.items():
        own = points(cells, name, line)
        if not own:
            continue
        errors = [0.0 if math.isnan(cell.score("hit").error) else cell.score("hit").error for cell in own]
        axes.errorbar(
            [(cell.bytes_served or 0) / 1e6 for cell in own],
            [cell.score("hit").mean for cell in own],
            yerr=errors,
            label=line,
            color=colour,
            marker=marker,
            linestyle=style,
            ms=4,
            linewidth=1.2,
            capsize=2,
        )
    if (cell := cells.get((name, NONE, 1.0, POPULARITY))) is not None:
        axes.axhline(cell.score("hit").mean, color="#999999", linewidth=1, linestyle=":", label=POPULARITY)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.set_title(name, loc="left")
    axes.set_xlabel("megabytes served")
    axes.grid(axis="both")


def draw(cells: dict[Key, Cell], folder: Path) -> Iterator[Path]:
    """Draw the picture if there are results for it, and yield its path."""
    names = [name for name in data.NAMES if any(key[0] == name for key in cells)]
    if not names:
        return
    path = folder / "score.png"
    with figure(path, 1, len(names), (1.2 + 3.1 * len(names), 3.9)) as (drawn, axes):
        for each, name in zip(axes[0], names, strict=True):
            _panel(each, cells, name)
        axes[0, 0].set_ylabel("hit rate at 100")
        handles = {label: handle for each in axes[0] for handle, label in zip(*each.get_legend_handles_labels(), strict=True)}
        drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    yield path
