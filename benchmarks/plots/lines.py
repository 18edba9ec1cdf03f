"""Step time against the table's size."""

from __future__ import annotations

from pathlib import Path

from benchmarks.plots.style import COLOURS, MARKERS, figure
from benchmarks.report import tables
from benchmarks.results import Result, quartiles

WORDS = {"plain": "plain table, a row an id", "bloom": "Bloom table, four probes an id"}


def table_size(result: Result, path: Path) -> None:
    """Draw both kinds of layers, both axes logarithmic."""
    with figure(path, 1, 2, (8.4, 3.4), sharey=True) as (drawn, ((left, right),)):
        for axes, kind in ((left, "plain"), (right, "bloom")):
            cases = result.all(layer=kind, threads=result.threads)
            for contender in ("torch", "fbgemm", "npbloom"):
                found = [
                    (int(case.labels["rows"]), quartiles(case.samples[contender])) for case in cases if contender in case.samples
                ]
                if not found:
                    continue
                rows = [height for height, _ in found]
                low, middle, high = ([values[part] * 1e3 for _, values in found] for part in range(3))
                axes.plot(
                    rows, middle, color=COLOURS[contender], marker=MARKERS[contender], markersize=5, label=tables.name(contender)
                )
                axes.fill_between(rows, low, high, color=COLOURS[contender], alpha=0.2, linewidth=0)
            axes.set(xscale="log", yscale="log", xlabel="rows of the table")
            axes.set_title(WORDS[kind], loc="left")
            axes.grid(which="major")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        left.set_ylabel("ms a step (median; lower is better)")
        words = f"{result.sizes['ids a batch']:,} fresh uniform ids a step, d = {result.sizes['d']}, {result.threads} threads"
        drawn.suptitle(f"Adagrad step against the table's size: {words}", fontsize=10.5)
        handles, labels = left.get_legend_handles_labels()
        drawn.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=3)
