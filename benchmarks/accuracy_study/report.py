"""Tables of the study in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import data, pictures
from benchmarks.accuracy_study.runs import MAIN_RATIO, POPULARITY, SIDES, Lines
from benchmarks.accuracy_study.summary import PLACES, Cell, Figure, Key, cells

TITLES = {"factorization": "BPR factorization", "network": "The network"}
SIDE_BY_SIDE = (
    *(("factorization", side, "hit") for side in SIDES),
    *(("network", SIDES[1], score) for score in ("hit", "mrr")),
)


def _number(figure: Figure) -> str:
    """Return mean and error as ``.718 ± .004``."""
    error = "" if math.isnan(figure.error) else f" ± {figure.error:.3f}"
    return f"{figure.mean:.3f}{error}".replace("0.", ".")


def _above(value: float) -> str:
    """Return a number of standard errors, or nothing for NaN."""
    return "" if math.isnan(value) else f"{value:+.1f}"


def _main(found: dict[Key, dict[str, Cell]], name: str, model: str, popular: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table at the main ratio."""
    sides = [side for side in SIDES if (name, model, side, MAIN_RATIO) in found]
    if not sides:
        return
    tables = {side: found[name, model, side, MAIN_RATIO] for side in sides}
    some = next(iter(tables[sides[0]].values()))
    full = {score: some.whole(score) for score in ("hit", "mrr")}
    yield f"### {TITLES[model]}, {name}, ratio {MAIN_RATIO:g}\n"
    known = f"Full table: hit rate at 100 {_number(full['hit'])}, MRR {full['mrr'].mean:.4f} ± {full['mrr'].error:.4f}."
    if name in popular:
        own = popular[name]
        words = " and ".join(f"{own[score] / full[score].mean:.2f}" for score in ("hit", "mrr"))
        known += f" By popularity alone {own['hit']:.3f} and {own['mrr']:.4f}: S/S0 {words}."
    yield known + "\n"
    head = [f"{side}: S/S0, hit rate | by the sum's, in errors | S/S0, MRR | T/T0 | seeds" for side in sides]
    if model == "network":
        head = ["S/S0, hit rate | S/S0, MRR | T/T0 | seeds"]
    yield f"| method | {' | '.join(head)} |"
    yield "|---" * (1 + sum(part.count("|") + 1 for part in head)) + "|"
    for method in tables[sides[0]]:
        parts = []
        for side in sides:
            cell = tables[side].get(method)
            if cell is None:
                parts += ["not run", "", "", "", ""]
                continue
            parts.append(_number(cell.kept("hit")))
            if model != "network":
                parts.append(_above(cell.above_sum("hit")))
            parts += [_number(cell.kept("mrr")), _times(cell.seconds()), str(len(cell.seeds))]
        yield f"| {method} | {' | '.join(parts)} |"
    yield ""


def _side_by_side(found: dict[Key, dict[str, Cell]], model: str, side: str, score: str) -> Iterator[str]:
    """
    Yield the lines of a table of all sets at the main ratio, a column each.

    The document shows it.
    """
    tables = {name: found[key] for name in data.NAMES if (key := (name, model, side, MAIN_RATIO)) in found}
    if not tables:
        return
    words = "MRR" if score == "mrr" else "the hit rate"
    yield f"### {TITLES[model]}, {side}, ratio {MAIN_RATIO:g}: S/S0 of {words} (seeds)\n"
    yield f"| method | {' | '.join(tables)} |"
    yield "|---" * (1 + len(tables)) + "|"
    some = {method for table in tables.values() for method in table}
    for method in (method for method in PLACES if method in some):
        yield f"| {method} | {' | '.join(_kept(table.get(method), score) for table in tables.values())} |"
    yield ""


def _kept(cell: Cell | None, score: str) -> str:
    """Return a cell as ``.718 ± .004 (5)``."""
    return "" if cell is None else f"{_number(cell.kept(score))} ({len(cell.seeds)})"


def _times(ratio: float) -> str:
    """Return T/T0, or nothing if no seconds were taken."""
    return "" if math.isnan(ratio) else f"{ratio:.2f}"


def _other_ratios(found: dict[Key, dict[str, Cell]]) -> Iterator[str]:
    """Yield tables of S/S0 of hit rates at all ratios that were run."""
    for name in data.NAMES:
        for model in TITLES:
            for side in SIDES:
                ratios = sorted({key[3] for key in found if key[:3] == (name, model, side)})
                if len(ratios) < 2:
                    continue
                yield f"### {TITLES[model]}, {name}, {side}: S/S0 of the hit rate by ratio (seeds)\n"
                yield f"| method | {' | '.join(f'{ratio:g}' for ratio in ratios)} |"
                yield "|---" * (1 + len(ratios)) + "|"
                some = {method for ratio in ratios for method in found[name, model, side, ratio]}
                for method in (method for method in PLACES if method in some):
                    shown = (found[name, model, side, ratio].get(method) for ratio in ratios)
                    yield f"| {method} | {' | '.join(_kept(cell, 'hit') for cell in shown)} |"
                yield ""


def _chosen(tuning: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of hyperparameters."""
    yield "## Hyperparameters that validation chose\n"
    yield "| data | model | compressed | method | chosen | epochs |\n|---|---|---|---|---|---|"
    for entry in sorted(tuning, key=lambda entry: (data.NAMES.index(entry["data"]), entry["model"])):
        words = ", ".join(f"{name} {value:g}" for name, value in entry["best"]["settings"].items())
        place = " | ".join(entry[name] for name in ("data", "model", "side", "method"))
        yield f"| {place} | {words} | {entry['best']['epochs']} |"


def write(folder: Path) -> list[Path]:
    """Write the tables and the pictures, and return their paths."""
    runs, tuning = Lines(folder / "runs.jsonl").entries, Lines(folder / "tuning.jsonl").entries
    found, popular = cells(runs), {entry["data"]: entry for entry in runs if entry["model"] == POPULARITY}
    lines = [
        "# Accuracy at compression\n",
        "Written by `python -m benchmarks.accuracy --report` from the lines beside it, `runs.jsonl` and `tuning.jsonl`. What was",
        "done, and what to make of it: [docs/coding.md](../../../docs/coding.md). S/S0 is the score over the full table's with",
        "the same seed, mean ± standard error over seeds (of the same test users, so it says nothing about other users). T/T0 is",
        "CPU time of the process an epoch, on one thread, over the full table's: medians over seeds, on a shared machine, so",
        "that only large differences mean something; blank where none was taken.\n",
    ]
    lines.append("## All sets side by side\n")
    for model, side, score in SIDE_BY_SIDE:
        lines += _side_by_side(found, model, side, score)
    for model in TITLES:
        lines.append(f"## {TITLES[model]}\n")
        for name in data.NAMES:
            lines += _main(found, name, model, popular)
    lines += ["## Other ratios\n", *_other_ratios(found), *_chosen(tuning)]
    table = folder / "tables.md"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [table, *pictures.draw(found, popular, folder)]
