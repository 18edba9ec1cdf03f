"""A comparison as a table for people, as an object for programs, and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from npbloom.cli._compare import TOP, Measured

TITLES = {"mrr": "MRR", "hit_rate": f"hit@{TOP}", "rmse": "RMSE"}
MEANINGS = {
    "mrr": "MRR: mean of 1/rank of each user's held-out item among the items new to them.",
    "hit_rate": f"hit@{TOP}: share of users whose held-out item is among their first {TOP}.",
    "rmse": "RMSE: root of the mean squared error of the held-out ratings; less is better.",
}


def table(rows: Sequence[Measured]) -> str:
    """A header, a rule, and a line for each row, in less than 80 columns; the first row is what sizes are compared with."""
    names = list(rows[0].scores)
    cells = [["layer", "parameters", "size", "MB", "s/epoch", *(TITLES[name] for name in names)]]
    for row in rows:
        costs = [
            f"{row.parameters:,}",
            f"{row.parameters / rows[0].parameters:.0%}",
            f"{row.nbytes / 1e6:.2f}",
            f"{row.seconds_per_epoch:.2f}",
        ]
        cells.append([row.title, *(costs if row.tables else [""] * len(costs)), *(f"{row.scores[name]:.3f}" for name in names)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def text(rows: Sequence[Measured]) -> str:
    """The table and what its columns mean."""
    return "\n".join([table(rows), "", *(MEANINGS[name] for name in rows[0].scores)])


def as_object(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """Rows as plain words and numbers, for JSON; a baseline has no tables, and so no size and no time."""
    return [{"layer": row.title, **_costs(row), **{name: _finite(score) for name, score in row.scores.items()}} for row in rows]


def _costs(row: Measured) -> dict[str, Any]:
    """What a row's tables are, and what they cost."""
    if row.tables is None:
        return dict.fromkeys(("compression", "hashes", "compressed", "parameters", "bytes", "seconds_per_epoch", "loss"))
    bloom = row.tables.compression is not None
    return {
        "compression": row.tables.compression,
        "hashes": row.tables.hashes if bloom else None,
        "compressed": list(row.tables.compressed) if bloom else [],
        "parameters": row.parameters,
        "bytes": row.nbytes,
        "seconds_per_epoch": row.seconds_per_epoch,
        "loss": [_finite(loss) for loss in row.losses],
    }


def _finite(number: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return number if math.isfinite(number) else None


def plot(rows: Sequence[Measured], path: str, title: str) -> None:
    """Scores beside sizes, and the loss over the epochs."""
    from matplotlib.figure import Figure  # an extra; the command line has checked that it is there

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    bars, curves = figure.subplots(1, 2, width_ratios=[3, 2])
    name = list(rows[0].scores)[-1]
    for number, row in enumerate(rows):
        color = f"C{number}" if row.tables else "0.7"
        bar = bars.bar(number, row.scores[name], color=color)
        bars.bar_label(bar, [f"{row.scores[name]:.3f}"], padding=2)
        if row.tables:
            curves.plot(range(1, len(row.losses) + 1), row.losses, color=color, label=row.title, marker=".")
    labels = [f"{row.title}\n{row.parameters / 1e6:.2f} M parameters" if row.tables else row.title for row in rows]
    bars.set_xticks(range(len(rows)), [label.replace(", ", ",\n") for label in labels], fontsize="small")
    bars.set_ylabel(TITLES[name])
    bars.margins(y=0.12)
    curves.set_xlabel("epoch")
    curves.set_ylabel("training loss")
    curves.legend(fontsize="small")
    for axes in (bars, curves):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
