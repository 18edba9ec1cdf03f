"""Tables of the study in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.runs import Lines
from benchmarks.smaller import pictures, summary
from benchmarks.smaller.catalogue import (
    DECOMPOSITION,
    METHODS,
    NARROW_DECOMPOSITION,
    NOT_TRAINED,
    POPULARITY,
    ROUNDED,
    UNCOMPRESSED,
)
from benchmarks.smaller.runs import BOTH, ITEMS, MAIN_RATIO, NONE, OTHER_RATIOS, REFERENCE, USERS
from benchmarks.smaller.summary import SCORES, Cell, Key, kept_words
from benchmarks.smaller.variants import VARIANTS

Table = dict[Key, Cell]
LARGEST = "beauty"  # the short table has the bytes of this set
IN_SHORT = (
    "full",
    "full, 4 bits",
    "full, d=64",
    "narrow",
    "learned, k=4",
    "learned, k=8",
    "learned, k=8, 4 bits",
    "learned, k=8, not trained",
    DECOMPOSITION,
    NARROW_DECOMPOSITION,
    "frequent half exact, concat k=4",
    "sum, k=4 (Spotlight)",
    POPULARITY,
)


def _rounded(names: Iterable[str]) -> Iterator[str]:
    """Yield each method, followed by its tables in fewer bits."""
    for name in names:
        yield name
        yield from (f"{name}, {bits} bits" for bits in ROUNDED.get(name, ()))


def _side(method: str) -> tuple[str, float]:
    """Return the compressed sides and the ratio of a method at the main ratio."""
    alone = method.split(", ")[0] in ("full", POPULARITY, DECOMPOSITION) and method != NARROW_DECOMPOSITION
    return (NONE, 1.0) if alone else (BOTH, MAIN_RATIO)


def _megabytes(cell: Cell | None) -> str:
    """Return the megabytes that are served, or nothing."""
    return "" if cell is None or cell.bytes_served is None else f"{cell.bytes_served / 1e6:.2f}"


def _side_by_side(cells: Table, title: str, keys: dict[str, tuple[str, float, str]], score: str, sizes: bool) -> Iterator[str]:
    """
    Yield a table with rows by name and a column for each set.

    With `sizes` it has the bytes served, too.
    """
    names = [name for name in data.NAMES if any(key[0] == name for key in cells)]
    rows = {row: [cells.get((name, *key)) for name in names] for row, key in keys.items()}
    if not any(cell for found in rows.values() for cell in found):
        return
    yield f"### {title}: {SCORES[score]} kept\n"
    heads = [f"{name}, MB | kept" if sizes else name for name in names]
    yield f"| method | {' | '.join(heads)} |"
    yield "|---" * (1 + sum(head.count("|") + 1 for head in heads)) + "|"
    for row, found in rows.items():
        if any(found):
            parts = [f"{_megabytes(cell)} | {kept_words(cell, score)}" if sizes else kept_words(cell, score) for cell in found]
            yield f"| {row} | {' | '.join(parts)} |"
    yield ""


def _in_short(cells: Table) -> Iterator[str]:
    """Yield a table of a dozen rows. The document begins with it."""
    names = [name for name in data.NAMES if any(key[0] == name for key in cells)]
    yield f"| method | MB, {LARGEST} | {' | '.join(names)} |"
    yield "|---" * (2 + len(names)) + "|"
    for method in IN_SHORT:
        found = {name: cells.get((name, *_side(method), method)) for name in names}
        if any(found.values()):
            parts = [_megabytes(found.get(LARGEST)), *(kept_words(cell, "hit") for cell in found.values())]
            yield f"| {method} | {' | '.join(parts)} |"
    yield ""


def _best(cells: Table, tuning: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of the full tables that all methods are compared with."""
    yield "| set | full table that validation chose | hit rate at 100 | NDCG@10 | MRR | seeds |\n|---|---|---|---|---|---|"
    for name, method in summary.best_full(tuning).items():
        if (cell := cells.get((name, NONE, 1.0, method))) is not None:
            scores = (f"{cell.score(score).mean:.4f}" for score in SCORES)
            yield f"| {name} | {method} | {' | '.join(scores)} | {len(cell.entries)} |"
    yield ""


def _chosen(tuning: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table of hyperparameters."""
    yield "## Hyperparameters that validation chose\n"
    yield "| set | compressed | method | chosen | decays tried |\n|---|---|---|---|---|"
    for entry in sorted(tuning, key=lambda entry: (data.NAMES.index(entry["data"]), entry["side"])):
        words = (
            f"degrees to the power {entry['power']:g}" if "power" in entry else f"l2 {entry['l2']:g}, {entry['epochs']} epochs"
        )
        place = " | ".join(entry[name] for name in ("data", "side", "method"))
        yield f"| {place} | {words} | {len(entry['tried']) if 'l2' in entry else ''} |"


def _tables(cells: Table) -> Iterator[str]:
    """Yield all tables of the kept share."""
    shipped = [name for name in METHODS if name not in VARIANTS]
    rows = {name: (*_side(name), name) for name in _rounded((*UNCOMPRESSED, DECOMPOSITION, POPULARITY))}
    compressed = [NARROW_DECOMPOSITION, *NOT_TRAINED, *(name for name in shipped if name not in UNCOMPRESSED)]
    rows |= {name: (*_side(name), name) for name in _rounded(compressed)}
    for score in SCORES:
        yield from _side_by_side(cells, f"Users and items at {MAIN_RATIO:g}", rows, score, sizes=score == "hit")
    for side in (ITEMS, USERS):
        one = {name: (side, MAIN_RATIO, name) for name in _rounded(compressed)}
        yield from _side_by_side(cells, f"{side.capitalize()} at {MAIN_RATIO:g}", one, "hit", sizes=True)
    for ratio in sorted(OTHER_RATIOS):
        other = {name: (BOTH, ratio, name) for name in _rounded(compressed)}
        yield from _side_by_side(cells, f"Users and items at {ratio:g}", other, "hit", sizes=True)
    variants = {name: (BOTH, MAIN_RATIO, name) for name in (REFERENCE, *VARIANTS)}
    for score in ("hit", "ndcg10"):
        yield from _side_by_side(cells, "Other ways to choose codes", variants, score, sizes=False)


def write(folder: Path) -> list[Path]:
    """Write the tables, the errors over users and the picture, and return the paths."""
    runs, tuning = Lines(folder / "runs.jsonl").entries, Lines(folder / "tuning.jsonl").entries
    users = summary.read_users(folder / "users.jsonl")
    users |= summary.bootstrap(summary.cells(runs, tuning, users), folder / "ranks")
    summary.write_users(folder / "users.jsonl", users)
    cells = summary.cells(runs, tuning, users)
    seeds = sorted({len(cell.entries) for key, cell in cells.items() if key[3] not in VARIANTS and key[3] != POPULARITY})
    lines = [
        "# Smaller tables\n",
        "Written by `python -m benchmarks.smaller_tables --report` from the lines beside it, `runs.jsonl`, `tuning.jsonl` and",
        "`users.jsonl`. What was done, and what to make of it: [docs/coding.md](../../../docs/coding.md). Kept is the score over",
        "that of the full table whose number of columns validation chose. The first error is the standard error over seeds, the",
        f"second over users (bootstrap, {summary.RESAMPLES:,} resamples). Cells have {', '.join(map(str, seeds))} seeds. MB are",
        "what is served: tables, biases, codes.\n",
        *_best(cells, tuning),
        f"### In short: {SCORES['hit']} kept, users and items at {MAIN_RATIO:g}\n",
        *_in_short(cells),
        *_tables(cells),
        *_chosen(tuning),
    ]
    table = folder / "tables.md"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [table, folder / "users.jsonl", *pictures.draw(cells, folder)]
