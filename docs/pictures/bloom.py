"""
Picture of a Bloom embedding, drawn from a layer of npbloom.

``python docs/pictures/bloom.py`` writes bloom.svg beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, FancyBboxPatch

import npbloom as nb

IDS = (3, 141_592, 7)
COLOURS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito's, which colour-blind eyes distinguish
ROWS, COLUMNS, PROBES = 12, 8, 3
HEIGHTS = (9.4, 5.5, 1.6)  # of ids and their vectors
CELL = 0.42  # width in a vector; in the table it is 0.55


def cells(axes: Axes, values: np.ndarray, left: float, bottom: float, width: float, height: float) -> None:
    """Draw one row of numbers as coloured cells."""
    for column, value in enumerate(values):
        colour = plt.colormaps["PuOr"](0.5 + float(np.clip(value, -1, 1)) * 0.45)
        axes.add_patch(
            plt.Rectangle((left + column * width, bottom), width, height, facecolor=colour, edgecolor="white", linewidth=0.8)
        )


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, **style: Any) -> None:
    """Draw a slightly bent arrow between two points."""
    options = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": 1.5, "color": colour, "shrinkB": 1, **style}
    axes.add_patch(ConnectionPatch(start, end, "data", "data", **options))


def draw() -> plt.Figure:
    """Draw the whole picture."""
    layer = nb.BloomEmbedding(1_000_000, COLUMNS, num_rows=ROWS, num_hash_functions=PROBES, padding_idx=None, rng=5)
    table, probes, vectors = 4 * layer.weight, layer.hash_rows(IDS), 2.5 * layer(IDS)
    hit = {row: [i for i, rows in enumerate(probes) if row in rows] for row in range(ROWS)}

    figure, axes = plt.subplots(figsize=(10, 4.6))
    axes.set(xlim=(-0.2, 17.2), ylim=(-1.2, 13.0))
    axes.axis("off")
    left, right = 5.4, 5.4 + COLUMNS * 0.55
    for row in range(ROWS):
        bottom = ROWS - 1 - row
        cells(axes, table[row], left, bottom + 0.08, 0.55, 0.84)
        weight = "bold" if hit[row] else "normal"
        colour = COLOURS[hit[row][0]] if len(hit[row]) == 1 else "black" if hit[row] else "#999999"
        axes.text(left - 0.15, bottom + 0.46, str(row), ha="right", va="center", fontsize=8, color=colour, weight=weight)
    for i, (one_id, height, colour) in enumerate(zip(IDS, HEIGHTS, COLOURS, strict=True)):
        axes.add_patch(
            FancyBboxPatch(
                (0.2, height - 0.4), 2.0, 1.0, boxstyle="round,pad=0.1", facecolor="white", edgecolor=colour, linewidth=1.8
            )
        )
        axes.text(1.2, height + 0.1, f"{one_id:,}", ha="center", va="center", fontsize=11, color=colour)
        for row in probes[i]:
            middle = ROWS - 1 - row + 0.5
            arrow(axes, (2.35, height + 0.1), (left - 0.6, middle), colour)
            arrow(axes, (right + 0.05, middle), (12.0, height + 0.1), colour, linewidth=0.9, alpha=0.75)
        cells(axes, vectors[i], 12.2, height - 0.3, CELL, 0.8)
        terms = " + ".join(str(row) for row in probes[i])
        axes.text(12.2 + COLUMNS * CELL / 2, height - 0.5, f"rows {terms}", ha="center", va="top", fontsize=8.5, color=colour)
    titles = (
        (1.2, "a million ids"),
        (left + COLUMNS * 0.275, "a table of 12 rows"),
        (12.2 + COLUMNS * CELL / 2, "a vector for each id"),
    )
    for x, title in titles:
        axes.text(x, 12.55, title, ha="center", va="center", fontsize=11.5, weight="bold")
    axes.text(3.2, 11.5, "murmurhash3,\n3 probes each", ha="center", va="center", fontsize=8.5, color="#444444")
    axes.text(10.9, 11.3, "sum", ha="center", va="center", fontsize=8.5, color="#444444")
    both = next(row for row, ids in hit.items() if len(ids) > 1)
    note = f"Ids 3 and 7 share row {both}, and are told apart by the others. "
    note += "Gradients go back to the rows that a batch probed, and only those are trained."
    axes.text(8.4, -0.75, note, ha="center", va="center", fontsize=9, color="#444444")
    return figure


def main(path: Path) -> None:
    """Write the picture to a file."""
    matplotlib.rcParams["svg.hashsalt"] = "npbloom"
    figure = draw()
    figure.savefig(path, bbox_inches="tight", facecolor="white", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    matplotlib.use("Agg")
    main(Path(__file__).with_name("bloom.svg"))
