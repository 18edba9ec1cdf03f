"""
Pictures of the scores relative to the full table: a row for each method, dots with standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.models import trained_as
from benchmarks.accuracy_study.runs import MAIN_RATIO, SIDES
from benchmarks.accuracy_study.summary import PLACES, SUM, Cell, Key
from benchmarks.plots.style import figure

PAPER, COUNTED = "the paper's ranking", "popularity counted"
LOOKS = {  # Okabe and Ito's colours, markers, and offsets within a row
    SIDES[0]: ("#D55E00", "o", -0.14),
    SIDES[1]: ("#0072B2", "s", 0.14),
    PAPER: ("#D55E00", "o", -0.14),
    COUNTED: ("#0072B2", "s", 0.14),
}
LEGENDS = {
    "factorization": "compressed (dotted: the sum's; dashed: popularity alone)",
    "network": "ranked by (dashed: popularity alone)",
}
SHORT = {"factorization": "BPR factorization", "network": "network"}
Found = dict[Key, dict[str, Cell]]


def _series(found: Found, model: str, name: str) -> dict[str, dict[str, Cell]]:
    """
    Return the series drawn side by side: both sides of a factorization, or both rankings of a
    network.
    """
    if model == "factorization":
        return {side: found.get((name, model, side, MAIN_RATIO), {}) for side in SIDES}
    table = found.get((name, model, SIDES[1], MAIN_RATIO), {})
    return {
        PAPER: {method: cell for method, cell in table.items() if method == trained_as(method)},
        COUNTED: {trained_as(method): cell for method, cell in table.items() if method != trained_as(method)},
    }


def _dots(axes: Any, tables: dict[str, dict[str, Cell]], methods: list[str]) -> None:
    """Draw a row for each method. Error bars are standard errors over seeds."""
    for name, table in tables.items():
        colour, marker, shift = LOOKS[name]
        rows = [(place + shift, table[method].kept("hit")) for place, method in enumerate(methods) if method in table]
        errors = [0.0 if math.isnan(kept.error) else kept.error for _, kept in rows]
        means, places = [kept.mean for _, kept in rows], [place for place, _ in rows]
        style: dict[str, Any] = {"fmt": marker, "color": colour, "ms": 4.5, "elinewidth": 1.2, "capsize": 2}
        axes.errorbar(means, places, xerr=errors, label=name, **style)
        if SUM in table:
            axes.axvline(table[SUM].kept("hit").mean, color=colour, linewidth=0.8, linestyle=":")
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def at_main_ratio(found: Found, popular: dict[str, dict[str, Any]], model: str, path: Path) -> bool:
    """Draw one panel for each set, and return False if there is nothing to draw."""
    names = [name for name in data.NAMES if any(key[:2] == (name, model) and key[3] == MAIN_RATIO for key in found)]
    if not names:
        return False
    tables = {name: _series(found, model, name) for name in names}
    some = {method for series in tables.values() for table in series.values() for method in table}
    methods = [method for method in PLACES if method in some]
    size = 2.2 + 2.3 * len(names), 1.4 + 0.27 * len(methods)
    with figure(path, 1, len(names), size, sharex=True, sharey=True) as (drawn, axes):
        for each, name in zip(axes[0], names, strict=True):
            _dots(each, tables[name], methods)
            if name in popular:
                cell = next(cell for table in tables[name].values() for cell in table.values())
                each.axvline(popular[name]["hit"] / cell.whole("hit").mean, color="#555555", linewidth=0.9, linestyle="--")
            each.set_title(name, loc="left")
            each.set_xlabel("hit rate at 100, full table = 1")
        handles = axes[0, 0].get_legend_handles_labels()
        drawn.legend(*handles, loc="outside lower center", ncols=2, title=LEGENDS[model])
        drawn.suptitle(
            f"What a {SHORT[model]} keeps at a fifth of the parameters; bars: standard errors, none for one seed", fontsize=10
        )
    return True


CURVES = {  # methods that the document's advice is about
    SUM: ("#D55E00", "o"),
    "one hash": ("#CC79A7", "v"),
    "concat, k=4": ("#E69F00", "^"),
    "frequent half exact, one hash": ("#0072B2", "s"),
    "frequent half exact, concat k=4": ("#009E73", "P"),
    "low rank": ("#555555", "D"),
    "Bloom, k=4": ("#000000", "X"),
    "CBE, k=4": ("#882255", "*"),
    "Bloom, k=4, popularity": ("#56B4E9", "d"),
}


def by_ratio(found: Found, path: Path) -> bool:
    """
    Draw curves over ratios for everything that was run at three ratios or more.

    Return False if there is nothing.
    """
    panels = [
        (name, model, side)
        for name in data.NAMES
        for model in SHORT
        for side in SIDES
        if len({key[3] for key in found if key[:3] == (name, model, side)}) > 2
    ]
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with figure(path, rows, columns, (3.1 * columns + 0.4, 2.7 * rows + 0.7)) as (drawn, axes):
        handles: dict[str, Any] = {}
        for each in axes.flat[len(panels) :]:
            each.set_visible(False)
        for each, (name, model, side) in zip(axes.flat, panels, strict=False):
            for method, (colour, marker) in CURVES.items():
                points = [
                    (key[3], cell.kept("hit"))
                    for key, table in sorted(found.items(), key=lambda pair: pair[0][3])
                    if key[:3] == (name, model, side) and (cell := table.get(method)) is not None
                ]
                if len(points) > 1:
                    errors = [0.0 if math.isnan(kept.error) else kept.error for _, kept in points]
                    handles[method] = each.errorbar(
                        [ratio for ratio, _ in points],
                        [kept.mean for _, kept in points],
                        yerr=errors,
                        color=colour,
                        marker=marker,
                        ms=4,
                        linewidth=1.1,
                        capsize=2,
                    )
            each.axhline(1.0, color="#555555", linewidth=0.8)
            each.set_xscale("log")
            each.set_xticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
            each.minorticks_off()
            each.grid(axis="both")
            each.set_title(f"{name}, {SHORT[model]},\n{side}", loc="left", fontsize=8.5)
            each.set_xlabel("ratio")
            each.set_ylabel("S/S0, hit rate")
        drawn.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return True


def draw(found: Found, popular: dict[str, dict[str, Any]], folder: Path) -> Iterator[Path]:
    """Draw the pictures that have results, and yield their paths."""
    for model, name in (("factorization", "kept.png"), ("network", "network.png")):
        if at_main_ratio(found, popular, model, folder / name):
            yield folder / name
    if by_ratio(found, folder / "ratios.png"):
        yield folder / "ratios.png"
