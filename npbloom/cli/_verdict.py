"""Verdict on a comparison: the best smaller model, and how it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from npbloom.cli._compare import Comparison, Measured
from npbloom.cli._judge import TOP

TITLES = {"mrr": "MRR", "ndcg10": "NDCG@10", "hit_rate": "hit@100", "rmse": "RMSE"}
FULL, NARROW = "full", "narrow"


@dataclass(frozen=True)
class Verdict:
    """The best of the smaller models, if scores can tell, and sentences for people."""

    best: Measured | None
    beats_baseline: bool | None
    beats_narrow: bool | None  # None without a narrow model to compare with
    words: str


def deciding(rows: Sequence[Measured]) -> str:
    """
    Return the name of the score that tells rows apart.

    It is the last of their scores that differs between rows. If none differs, it is the last one.
    """
    names = list(reversed(rows[0].scores))
    return next((name for name in names if len({row.scores[name] for row in rows}) > 1), names[0])


def worth(row: Measured) -> tuple[float, ...]:
    """
    Return the scores as numbers of which greater is better, the deciding one first.

    With few items all of them are among the first 100.
    """
    return tuple(-score if name == "rmse" else score for name, score in reversed(row.scores.items()))


def ranked(rows: Sequence[Measured]) -> list[Measured]:
    """Return trained models, best first; of equal scores the one of fewer bytes first."""
    return sorted((row for row in rows if row.variant is not None), key=lambda row: (worth(row), -row.served), reverse=True)


def smaller(comparison: Comparison) -> list[Measured]:
    """Return models that are smaller than full tables, best first."""
    return [row for row in ranked(comparison.rows) if row.served < comparison.full_bytes]


def verdict(comparison: Comparison) -> Verdict:
    """Return the conclusions from the table."""
    rows, baseline = comparison.rows, comparison.rows[-1]
    models, small = ranked(rows), smaller(comparison)
    if comparison.unknown == comparison.held_out and "hit_rate" in baseline.scores:
        words = "No held-out item is in the training part: all ranks are chance, and tell nothing about the models."
        return Verdict(None, None, None, words)
    full = next((row for row in models if row.method == FULL), None)
    sentences = []
    if small:
        sentences.append(_winner(small, full, comparison))
    elif len(models) > 1 or full is None:
        sentences.append(f"No model here is smaller than full tables, which take {comparison.full_bytes / 1e6:.2f} MB.")
    best = (small or models)[0]
    beats_baseline = worth(best) > worth(baseline)
    if not beats_baseline:
        sentences.append(_beaten(best, full, baseline, bool(small)))
    beats_narrow = None
    narrow = next((row for row in small if row.method == NARROW), None)
    hashed = [row for row in models if row.method not in (FULL, NARROW)]
    if narrow is not None and hashed:
        beats_narrow = worth(hashed[0]) > worth(narrow)
        if not beats_narrow:
            sentences.append(_fewer_columns(narrow, hashed[0]))
    if comparison.items <= TOP and "hit_rate" in best.scores:
        sentences.append(f"hit@{TOP} tells no models apart where there are {comparison.items} items.")
    return Verdict(best if small else None, beats_baseline, beats_narrow, " ".join(sentences))


def _winner(small: Sequence[Measured], full: Measured | None, comparison: Comparison) -> str:
    """Return a sentence on the best smaller model and the full one: bytes, and deciding score."""
    best, second = small[0], small[1:2]
    tie = bool(second) and worth(second[0]) == worth(best)
    name = deciding(comparison.rows if tie or not second else [best, *second])
    sentence = f"Best of the smaller models: {best.title}, with {_score(best, name)}"
    if full is not None:
        sentence += f" ({_beside(best, full, name)} full's {full.scores[name]:.3f})"
    of_full = f"{best.served / comparison.full_bytes:.0%} of the full tables' {comparison.full_bytes / 1e6:.2f}"
    sentence += f" and {best.served / 1e6:.2f} MB served, {of_full}."
    if tie:
        size = "as small" if best.served == second[0].served else "larger"
        sentence += f" {second[0].title} has the same scores and is {size}."
    return sentence


def _beaten(best: Measured, full: Measured | None, baseline: Measured, smaller: bool) -> str:
    """Return a sentence that the best model is no better than a baseline without training."""
    nor = ", and the full tables do not either" if smaller and full is not None and worth(full) <= worth(baseline) else ""
    name = deciding([best, baseline])
    kind = "smaller model" if smaller else "model"
    return f"No {kind} beats {baseline.title} ({_score(baseline, name)}), which needs no training{nor}."


def _fewer_columns(narrow: Measured, top: Measured) -> str:
    """
    Return a sentence that shared rows gain nothing over fewer columns.

    A narrow table may have more parameters, since it has at least one column.
    """
    name, more = deciding([narrow, top]), narrow.parameters > top.parameters
    size = f"{narrow.parameters:,} parameters against {top.parameters:,}" if more else "no more parameters"
    words = (
        f"No table that ids share beats full tables of fewer columns here: {narrow.title}, with {size}, reaches "
        f"{_score(narrow, name)}, {top.title} {top.scores[name]:.3f}."
    )
    return words if more else f"{words} A smaller --dim is simpler and does as well."


def _beside(best: Measured, full: Measured, name: str) -> str:
    """
    Return the words for a score as a share of another.

    Errors, and zero scores, have no such share.
    """
    if name == "rmse" or not full.scores[name]:
        return "beside"
    return f"{best.scores[name] / full.scores[name]:.0%} of"


def _score(row: Measured, name: str) -> str:
    """Return a score and its name, as in the table."""
    return f"{TITLES[name]} {row.scores[name]:.3f}"
