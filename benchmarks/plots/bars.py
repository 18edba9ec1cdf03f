"""Bar charts: steps against peers, bytes a second against a copy, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.patches import Patch

from benchmarks.plots.style import COLOURS, figure
from benchmarks.report import tables
from benchmarks.results import OURS, Case, Result, median, quartiles
from npbloom.optimizers import BY_NAME

NAMES = {"RowWiseAdagrad": "RowWise-\nAdagrad"}  # too long for one line under its bars


def _groups(axes: Any, cases: list[Case], contenders: list[str], factor: float, ratios: bool) -> None:
    """
    Draw a group of bars a case.

    Whiskers are quartiles; the figure above a bar is its time over npbloom's.
    """
    width = 0.8 / len(contenders)
    for place, case in enumerate(cases):
        present = [contender for contender in contenders if contender in case.samples]
        for number, contender in enumerate(present):
            low, middle, high = (value * factor for value in quartiles(case.samples[contender]))
            x = place + (number - (len(present) - 1) / 2) * width
            axes.bar(x, middle, width * 0.92, color=COLOURS[contender])
            axes.errorbar(x, middle, [[middle - low], [high - middle]], color="#333333", elinewidth=0.8, capsize=0)
            if ratios and contender != OURS:
                words = f"{case.ratio(contender):.1f}x"
                axes.annotate(words, (x, high), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
    axes.set_xticks(range(len(cases)), [NAMES.get(name, name) for name in (_optimizer(case) for case in cases)])
    axes.grid(axis="y")
    axes.margins(y=0.12)
    axes.tick_params(axis="x", length=0)


def _optimizer(case: Case) -> str:
    """Return the name of a case's optimizer."""
    return tables.name(case.labels["optimizer"])


def _legend(drawn: Any, contenders: list[str]) -> None:
    """Draw the names of the contenders under the figure."""
    handles = [Patch(color=COLOURS[contender], label=tables.name(contender)) for contender in contenders]
    drawn.legend(handles=handles, loc="outside lower center", ncols=len(contenders))


def headline(result: Result, path: Path) -> None:
    """Draw steps with every optimizer on both kinds of ids."""
    contenders = [OURS, "fbgemm", "torch"]
    with figure(path, 1, 2, (8.4, 3.6)) as (drawn, ((left, right),)):
        for axes, kind in ((left, "uniform"), (right, "zipf")):
            cases = [result.one(ids=kind, optimizer=each, threads=result.threads) for each in BY_NAME]
            _groups(axes, cases, contenders, 1e3, ratios=True)
            axes.set_title(f"{kind} ids" if kind == "uniform" else "zipf 1.2 ids", loc="left")
        left.set_ylabel("ms a step (median; lower is better)")
        sizes = result.sizes
        batch = f"{sizes['ids a batch']:,} of {sizes['ids']:,} ids"
        words = f"{batch}, k = {sizes['k']}, d = {sizes['d']}, float32, {result.threads} threads"
        drawn.suptitle(f"Forward and update: {words}", fontsize=10.5)
        _legend(drawn, contenders)


def roofline(result: Result, path: Path) -> None:
    """Draw the bytes a second that must move, and the copy of the same rounds as a line."""
    with figure(path, 1, 2, (8.4, 3.2), sharey=True) as (drawn, ((left, right),)):
        for axes, kind in ((left, "uniform"), (right, "zipf")):
            cases = result.all(ids=kind, threads=result.threads)
            for place, case in enumerate(cases):
                rate = case.facts["bytes"] / case.median() / 1e9
                axes.barh(place, rate, 0.7, color=COLOURS[OURS])
                axes.annotate(f"{rate:.1f}", (rate, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
            copied = median([case.facts["copied"] / case.median("copy") / 1e9 for case in cases])
            for share, dashes in ((1.0, "-"), (0.5, ":")):
                axes.axvline(copied * share, color=COLOURS["copy"], linestyle=dashes, linewidth=1.2)
            axes.annotate("half the copy", (copied / 2, -0.75), (3, 0), textcoords="offset points", fontsize=7.5, va="center")
            axes.annotate("copy", (copied, -0.75), (3, 0), textcoords="offset points", fontsize=7.5, va="center")
            names = ["forward" if c.labels["optimizer"] == "none" else f"step, {_optimizer(c)}" for c in cases]
            axes.set_yticks(range(len(cases)), names)
            axes.set(xlabel="GB/s that must move (higher is better)", xlim=(0, copied * 1.15), ylim=(len(cases) - 0.4, -1.1))
            axes.set_title(f"{kind} ids" if kind == "uniform" else "zipf 1.2 ids, part of them from a cache", loc="left")
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
        drawn.suptitle(f"Against the memory's limit, {result.threads} threads", fontsize=10.5)


def memory(result: Result, path: Path) -> None:
    """Draw peaks of memory, a group an optimizer."""
    contenders = [OURS, "fbgemm", "torch", "torch_dense"]
    with figure(path, 1, 1, (6.4, 3.4)) as (drawn, ((axes,),)):
        _groups(axes, result.cases, contenders, 1e-6, ratios=False)
        table = result.cases[0].facts["table"] / 1e6
        axes.axhline(table, color=COLOURS["copy"], linewidth=1, linestyle=":")
        axes.annotate("size of the table", (-0.62, table), (0, 2), textcoords="offset points", fontsize=7.5)
        axes.set_xlim(-0.65, len(result.cases) - 0.4)
        axes.set_ylabel("MB (lower is better)")
        axes.set_title("Peak memory of a step beyond table, state and batch", loc="left")
        _legend(drawn, contenders)
