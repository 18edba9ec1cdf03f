"""The picture of the page for users: for each line the least and the largest ratio to the peer."""

from __future__ import annotations

from pathlib import Path

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.plots.style import MACHINES, figure
from benchmarks.report import tables
from benchmarks.report.overview import Machines, headings, measured

TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def overview(machines: Machines, path: Path) -> None:
    """Draw a row for each line, and in it a bar with a dot for each cell for each machine."""
    lines, names = measured(machines), headings(machines)
    lowest = min(value for line in lines for results in machines.values() for value in line.ratios(results))
    with figure(path, 1, 1, (8.4, 1.4 + (0.2 + 0.11 * len(machines)) * len(lines))) as (drawn, ((axes,),)):
        axes.axvspan(min(TICKS[0], 0.8 * lowest), 1, color="#F3E3D9", linewidth=0)
        axes.axvline(1, color="#333333", linewidth=1)
        for place, line in enumerate(lines):
            for number, results in enumerate(machines.values()):
                values = line.ratios(results)
                if not values:
                    continue
                height = place + 0.22 * (number - (len(machines) - 1) / 2)
                colour = MACHINES[number % len(MACHINES)]
                axes.plot([min(values), max(values)], [height] * 2, color=colour, linewidth=3, alpha=0.35, solid_capstyle="round")
                axes.plot(values, [height] * len(values), "o", color=colour, markersize=3.5)
        axes.set(
            xscale="log",
            ylim=(len(lines) - 0.4, -0.6),
            xlabel="the peer's time in times of npbloom's (shaded: the peer is faster)",
        )
        axes.set_xlim(left=min(TICKS[0], 0.8 * lowest))
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        axes.set_yticks(range(len(lines)), [f"{line.work}, beside {tables.name(line.peer)}" for line in lines])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        handles = [
            Line2D([], [], color=MACHINES[i % len(MACHINES)], marker="o", markersize=4, label=name)
            for i, name in enumerate(names)
        ]
        drawn.legend(handles=handles, loc="outside lower center", ncols=min(2, len(names)))
