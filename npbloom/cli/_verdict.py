"""A comparison in words: which smaller model won, and whether it was worth it."""

from __future__ import annotations

from dataclasses import dataclass

from npbloom.cli._compare import Comparison, Measured

TITLES = {"mrr": "MRR", "ndcg10": "NDCG@10", "hit_rate": "hit@100", "rmse": "RMSE"}
FULL, NARROW = "full", "narrow"


@dataclass(frozen=True)
class Verdict:
    """The best of the smaller models, if there is one, and sentences for people."""

    best: Measured | None
    beats_baseline: bool | None
    beats_narrow: bool | None  # None where nothing is to be compared with
    words: str


def decisive(row: Measured) -> str:
    """The score that decides: the last of a row's."""
    return list(row.scores)[-1]


def worth(row: Measured) -> tuple[float, ...]:
    """The score that decides, then the others, as numbers of which more is better: few items are all among the first 100."""
    return tuple(-score if name == "rmse" else score for name, score in reversed(row.scores.items()))


def best_small(comparison: Comparison) -> Measured | None:
    """The best of the models that are smaller than full tables, or of all but those; of equal scores the one of fewer bytes."""
    others = [row for row in comparison.rows if row.variant is not None and row.method != FULL]
    small = [row for row in others if row.served < comparison.full_bytes] or others
    return max(small, key=lambda row: (worth(row), -row.served), default=None)


def verdict(comparison: Comparison) -> Verdict:
    """What a reader should take from the table."""
    by_method = {row.method: row for row in comparison.rows}
    best, full, narrow, baseline = best_small(comparison), by_method.get(FULL), by_method.get(NARROW), comparison.rows[-1]
    if best is None:
        assert full is not None
        beats = worth(full) > worth(baseline)
        words = "" if beats else f"The full tables do not beat {baseline.title}, which needs no training."
        return Verdict(None, beats, None, words)
    sentences = [_winner(best, full, comparison.full_bytes)]
    beats_baseline = worth(best) > worth(baseline)
    if not beats_baseline:
        nor = "" if full is None else ", and the full tables do not either" if worth(full) <= worth(baseline) else ""
        sentences.append(f"No smaller model beats {baseline.title} ({_score(baseline)}), which needs no training{nor}.")
    hashed = [row for row in comparison.rows if row.variant is not None and row.method not in (FULL, NARROW)]
    beats_narrow = None
    if narrow is not None and hashed:
        top = max(hashed, key=worth)
        beats_narrow = worth(top) > worth(narrow)
        if not beats_narrow:
            sentences.append(
                f"No table that ids share beats full tables of fewer columns here: {narrow.title}, with as many parameters, "
                f"reaches {_score(narrow)}, {top.title} {_score(top)}. A smaller --dim is simpler and does as well."
            )
    return Verdict(best, beats_baseline, beats_narrow, " ".join(sentences))


def _winner(best: Measured, full: Measured | None, full_bytes: int) -> str:
    """The best smaller model beside the full one, by score and bytes."""
    size = f"{best.served / 1e6:.2f} MB served, {best.served / full_bytes:.0%} of the full tables' {full_bytes / 1e6:.2f}"
    sentence = f"Best of the smaller models: {best.title}, with {TITLES[decisive(best)]} {_score(best)}"
    if full is not None:
        sentence += f" ({_beside(best, full)} full's {_score(full)})"
    return f"{sentence} and {size}."


def _beside(best: Measured, full: Measured) -> str:
    """A score as a share of another; of errors and of nothing there is none to speak of."""
    name = decisive(best)
    if name == "rmse" or not full.scores[name]:
        return "beside"
    return f"{best.scores[name] / full.scores[name]:.0%} of"


def _score(row: Measured) -> str:
    """The score that decides, as the table prints it."""
    return f"{row.scores[decisive(row)]:.3f}"
