"""Colours that all eyes tell apart (Okabe and Ito's), and the style and format of every figure."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

COLOURS = {"npbloom": "#0072B2", "fbgemm": "#E69F00", "torch": "#D55E00", "torch_dense": "#CC79A7", "copy": "#555555"}
MACHINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # in the order of their folders
MARKERS = {"npbloom": "o", "fbgemm": "s", "torch": "^"}
SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 150,
}


@contextmanager
def figure(path: Path, rows: int, columns: int, size: tuple[float, float], **options: Any) -> Iterator[tuple[Figure, Any]]:
    """
    Yield a figure with a grid of axes, and save it.

    The file has no date, so the same results give the same file.
    """
    with mpl.rc_context(SETTINGS):
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.subplots(rows, columns, squeeze=False, **options)
        yield drawn, axes
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png")
    # 128 colours are enough for every picture here and make a file a quarter of the size.
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, format="PNG", optimize=True)
