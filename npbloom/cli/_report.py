"""Reports of a comparison: a table, an object for JSON, and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from npbloom.cli._compare import Comparison, Measured
from npbloom.cli._judge import SHORT, TOP
from npbloom.cli._verdict import TITLES, Verdict, deciding

MEANINGS = {
    "mrr": "MRR: mean of 1/rank of each user's held-out item among the items new to them.",
    "ndcg10": f"NDCG@{SHORT}: mean of 1/log2(1 + rank) of held-out items among the first {SHORT}, else 0.",
    "hit_rate": f"hit@{TOP}: share of users whose held-out item is among their first {TOP}.",
    "rmse": "RMSE: root of the mean squared error of the held-out ratings; less is better.",
}
BYTES = "MB: tables and biases, as trained. served: the same and packed codes. size: served, of full tables."


def table(comparison: Comparison) -> str:
    """Return a header, a rule, and a line for each row, in less than 100 columns."""
    rows = comparison.rows
    names = list(rows[0].scores)
    cells = [["method", "parameters", "MB", "served", "size", "epochs", "l2", *(TITLES[name] for name in names)]]
    for row in rows:
        scores = [f"{row.scores[name]:.3f}" for name in names]
        cells.append([row.title, *_cells(row, comparison.full_bytes), *scores])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(row: Measured, full_bytes: int) -> list[str]:
    """Return the cells of a trained model's sizes and settings; a baseline's are empty."""
    if row.choice is None:
        return [""] * 6
    return [
        f"{row.parameters:,}",
        f"{row.nbytes / 1e6:.2f}",
        f"{row.served / 1e6:.2f}",
        f"{row.served / full_bytes:.0%}",
        str(row.choice.epochs),
        f"{row.choice.l2:g}",
    ]


def text(comparison: Comparison) -> str:
    """Return the table, and the meaning of its columns."""
    return "\n".join([table(comparison), "", BYTES, *(MEANINGS[name] for name in comparison.rows[0].scores)])


def as_object(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """
    Return rows as plain words and numbers, for JSON.

    A baseline has no tables, and so no sizes and no times.
    """
    return [
        {"method": row.method, "layer": row.title, **_costs(row), **{name: _finite(score) for name, score in row.scores.items()}}
        for row in rows
    ]


def verdict_object(found: Verdict) -> dict[str, Any]:
    """Return the verdict, for JSON."""
    return {
        "best": None if found.best is None else found.best.method,
        "beats_baseline": found.beats_baseline,
        "beats_narrow": found.beats_narrow,
        "words": found.words,
    }


def _costs(row: Measured) -> dict[str, Any]:
    """Return the properties and costs of a row's tables."""
    names = ("compression", "hashes", "compressed", "dim", "parameters", "bytes", "bytes_served", "epochs", "l2")
    if row.variant is None or row.choice is None:
        return dict.fromkeys((*names, "seconds_per_epoch", "loss"))
    hashed = row.hashes is not None
    costs = (
        row.variant.tables.compression if hashed else None,
        row.hashes,
        list(row.variant.tables.compressed) if hashed else [],
        row.dim,
        row.parameters,
        row.nbytes,
        row.served,
        row.choice.epochs,
        row.choice.l2,
    )
    return {
        **dict(zip(names, costs, strict=True)),
        "seconds_per_epoch": row.seconds_per_epoch,
        "loss": [_finite(loss) for loss in row.losses],
    }


def _finite(number: float) -> float | None:
    """Return a finite number, or None: JSON has no NaN and no infinity."""
    return number if math.isfinite(number) else None


def plot(rows: Sequence[Measured], path: str, title: str) -> None:
    """Draw the scores over the bytes served, and the loss over the epochs."""
    from matplotlib.figure import Figure  # an extra; `check_plot` has found it

    figure = Figure(figsize=(max(10.0, 5.0 + 1.2 * len(rows)), 4.2), layout="constrained")
    figure.suptitle(title)
    bars, curves = figure.subplots(1, 2, width_ratios=[max(6.0, 1.2 * len(rows)), 4.0])
    name = deciding(rows)
    for number, row in enumerate(rows):
        color = f"C{number}" if row.variant else "0.7"
        bar = bars.bar(number, row.scores[name], color=color)
        bars.bar_label(bar, [f"{row.scores[name]:.3f}"], padding=2)
        if row.variant:
            curves.plot(range(1, len(row.losses) + 1), row.losses, color=color, label=row.title, marker=".")
    labels = [f"{row.title}\n{row.served / 1e6:.2f} MB" if row.variant else row.title for row in rows]
    bars.set_xticks(range(len(rows)), [label.replace(", ", ",\n") for label in labels], fontsize="small")
    bars.set_xlabel("method, and MB that are served")
    bars.set_ylabel(TITLES[name])
    bars.margins(y=0.12)
    curves.set_xlabel("epoch")
    curves.xaxis.get_major_locator().set_params(integer=True)
    curves.set_ylabel("training loss")
    curves.legend(fontsize="small")
    for axes in (bars, curves):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
