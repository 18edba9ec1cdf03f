"""Style of the lessons: colours that all eyes tell apart, drawings, and checks of exercises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke

# Okabe and Ito's colours.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, YELLOW, BLACK, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#000000", "#767676"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PINK, GREY)

#: From vermilion (negative) over white (zero) to blue (positive).
SIGNED = LinearSegmentedColormap.from_list("signed", [VERMILION, "#FFFFFF", BLUE])
#: From white (zero) to blue.
AMOUNT = LinearSegmentedColormap.from_list("amount", ["#FFFFFF", BLUE])

SETTINGS = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.figsize": (7.5, 3.6),
    "font.size": 10,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


def apply() -> None:
    """Set the style for every picture that follows, and print arrays with three digits."""
    if shell := get_ipython():
        shell.run_line_magic("matplotlib", "inline")  # Matplotlib 3.8 prints words without it
    plt.rcParams.update(SETTINGS)
    np.set_printoptions(precision=3, suppress=True, linewidth=100)


def grid(
    axes: Axes,
    values: Any,
    *,
    title: str = "",
    rows: Iterable[Any] | None = None,
    columns: Iterable[Any] | None = None,
    text: str | None = "{:g}",
    limit: float | None = None,
    marked: Sequence[int] = (),
) -> None:
    """
    Draw a table as a grid of coloured cells: blue is positive, vermilion negative, white zero.

    `rows` and `columns` are labels; without them nothing is written at the edge. `text` is the
    format of the number in each cell (None: only colours), `limit` the size that gets the full
    colour (default: the largest), and rows in `marked` are framed.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    high, wide = values.shape
    full = limit or max(float(np.abs(values).max(initial=0)), 1e-300)
    signed = bool((values < 0).any())
    norm = TwoSlopeNorm(0, -full, full) if signed else plt.Normalize(0, full)
    looks = {"edgecolors": "#BBBBBB", "linewidth": 0.6, "clip_on": False}
    axes.pcolormesh(values, cmap=SIGNED if signed else AMOUNT, norm=norm, **looks)
    blank(axes, title)
    axes.set(xlim=(0, wide), ylim=(high, 0), aspect="equal")
    for (row, column), value in np.ndenumerate(values if text is not None else values[:0]):
        ink = "white" if abs(value) > 0.6 * full else "black"
        _centred(axes, column + 0.5, row + 0.5, str(text).format(value), color=ink)
    if columns is not None:
        axes.set_xticks(np.arange(wide) + 0.5, [*map(str, columns)])
    if rows is not None:
        axes.set_yticks(np.arange(high) + 0.5, [*map(str, rows)])
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    frame = {"fill": False, "edgecolor": BLACK, "linewidth": 2, "clip_on": False, "zorder": 3}
    for row in marked:
        axes.add_patch(Rectangle((0, row), wide, 1, **frame))


def _centred(axes: Axes, across: float, down: float, words: str, **looks: Any) -> None:
    axes.text(across, down, words, ha="center", va="center", fontsize=9, **looks)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = BLUE,
    bend: float = 0.0,
) -> None:
    """Draw an arrow in the coordinates of the data; `bend` bows it, to a side by its sign."""
    looks = {"arrowstyle": "-|>", "mutation_scale": 11, "color": colour, "linewidth": 1.6}
    bow = f"arc3,rad={bend}"
    gaps = {"shrinkA": 2, "shrinkB": 2, "clip_on": False}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=bow, **looks, **gaps))


def cell(
    axes: Axes,
    corner: tuple[float, float],
    words: object,
    *,
    size: tuple[float, float] = (1, 1),
    **looks: Any,
) -> None:
    """Draw one box with words in it; `looks` are the box's, `facecolor` and the like."""
    (left, bottom), (wide, high) = corner, size
    looks = {"facecolor": "white", "edgecolor": "#888888", "linewidth": 0.9, **looks}
    axes.add_patch(Rectangle(corner, wide, high, **looks))
    _centred(axes, left + wide / 2, bottom + high / 2, str(words), zorder=4)


def probes(
    axes: Axes,
    ids: Sequence[Any],
    rows: Any,
    num_rows: int,
    *,
    title: str = "",
    reserved: int | None = None,
) -> None:
    """
    Draw ids on the left, the table's rows on the right, and an arrow for every probe.

    `rows` has a line of rows for each id. Rows that several ids read are framed, and the row
    `reserved` is hatched.
    """
    rows = np.asarray(rows).reshape(len(ids), -1)
    blank(axes, title)
    room = max(num_rows, len(ids))
    gap, row_gap = room / len(ids), room / num_rows
    axes.set(xlim=(-0.2, 6.2), ylim=(room + 0.2, -0.9))
    readers = [sum(row in line for line in rows.tolist()) for row in range(num_rows)]
    for row in range(num_rows):
        looks: dict[str, Any] = {"facecolor": "#F4F4F4"}
        if row == reserved:
            looks["hatch"] = "///"
        elif readers[row] > 1:
            looks |= {"edgecolor": VERMILION, "linewidth": 2.2, "zorder": 3}
        cell(axes, (4.8, (row + 0.5) * row_gap - 0.42), row, size=(1.2, 0.84), **looks)
    for number, (name, line) in enumerate(zip(ids, rows.tolist(), strict=True)):
        colour, middle = COLOURS[number % len(COLOURS)], (number + 0.5) * gap
        tint = {"facecolor": f"{colour}33", "edgecolor": colour}
        cell(axes, (0, middle - 0.42), name, size=(1.2, 0.84), **tint)
        for probe, row in enumerate(line):
            apart = 0.12 * (probe - (len(line) - 1) / 2)
            arrow(axes, (1.25, middle), (4.75, (row + 0.5) * row_gap + apart), colour)
    axes.text(0.6, -0.25, "id", ha="center", va="bottom", color=GREY)
    axes.text(5.4, -0.25, "row", ha="center", va="bottom", color=GREY)


def label(axes: Axes, places: Any, words: Iterable[str]) -> None:
    """
    Write words beside places, in order of the places: to the right, or else to the left.

    Words that would cover others, or leave the axes, are left out.
    """
    axes.figure.canvas.draw()  # the layout is settled, so that sizes in pixels are known
    looks = {"textcoords": "offset points", "fontsize": 8, "zorder": 4}
    halo = [withStroke(linewidth=2.5, foreground="white")]
    taken: list[Any] = []
    for place, word in zip(np.asarray(places), words, strict=True):
        for across, side in ((4, "left"), (-4, "right")):
            note = axes.annotate(word, place, (across, 3), ha=side, path_effects=halo, **looks)
            box = note.get_window_extent().padded(1)
            if axes.bbox.count_contains(box.corners()) == 4 and not box.count_overlaps(taken):
                taken.append(box)
                break
            note.remove()


def blank(axes: Axes, title: str = "") -> None:
    """Return axes to draw on freely: no frame, no ticks."""
    axes.set(xticks=[], yticks=[], title=title)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def seconds(function: Callable[[], object], repeat: int = 5) -> float:
    """Return the shortest of some timed calls, after one untimed call (it may compile)."""
    function()
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return min(taken)


def check(name: object, answer: Any, expected: Any, close: float = 1e-6) -> None:
    """
    Print the verdict on an exercise's answer.

    Whole numbers and words must be equal; other numbers may differ by `close` times the largest.
    """
    print(f"Exercise {name}: {_verdict(answer, expected, close)}")


def _verdict(answer: Any, expected: Any, close: float) -> str:
    parts = answer if isinstance(answer, list) else [answer]
    if any(part is None or part is ... for part in parts):
        return "no answer yet"
    given, wanted = np.asarray(answer), np.asarray(expected)
    if given.dtype.kind == "O" or wanted.dtype.kind == "O":
        return (
            "right"
            if type(answer) is type(expected) and answer == expected
            else "not yet: something else is expected"
        )
    if given.shape != wanted.shape:
        return f"not yet: its shape is {given.shape}, not {wanted.shape}"
    if wanted.dtype.kind in "fc" and given.dtype.kind in "iufc":
        wrong = ~np.isclose(
            given,
            wanted,
            rtol=close,
            atol=close * float(np.abs(wanted).max(initial=0)),
            equal_nan=True,
        )
    else:
        wrong = np.atleast_1d(given != wanted)
    if not wrong.any():
        return "right"
    where = (
        f", first at position {tuple(int(at) for at in np.argwhere(wrong)[0])}"
        if given.ndim
        else ""
    )
    return f"not yet: {int(wrong.sum())} of {max(given.size, 1)} values differ{where}"
