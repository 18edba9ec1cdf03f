"""Commands: read, check, compute, report."""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import npbloom
from npbloom.cli import _report
from npbloom.cli._checks import (
    check_best,
    check_data,
    check_heights,
    check_keep,
    check_memory,
    check_outputs,
    check_slices,
)
from npbloom.cli._compare import Comparison, Measured, compare, fit_anew
from npbloom.cli._errors import Refused, check_plot, check_writable, refusing
from npbloom.cli._generated import generate
from npbloom.cli._judge import TOP, readied
from npbloom.cli._settings import Model, Settings, Tables, Variant
from npbloom.cli._verdict import smaller, verdict
from npbloom.recommend import Interactions, fetch_movielens, load_model, read_ratings

DEMO = Settings(loss="adaptive_hinge", epochs=10, l2=0.0, split="random")
DEMO_METHODS = ("full", "narrow", "learned", "bloom")
MOVIELENS = "movielens:"
WIDTH = 99  # columns of text


def demo(arguments: argparse.Namespace) -> int:
    """Compare full tables with smaller ones of several kinds, on generated interactions."""
    check_plot(arguments.plot)
    data = generate(arguments.seed)
    settings = Settings(**{**asdict(DEMO), "seed": arguments.seed})
    comparison = compare(data, [Variant(method, Tables()) for method in DEMO_METHODS], settings)
    facts = _facts(data, settings, "generated: latent factors, Zipf popularity")
    _draw(comparison, arguments.plot, _sizes(data, "Generated interactions"))
    if arguments.json:
        print(_json("demo", facts, comparison, {"plot": arguments.plot}))
        return 0
    print(f"npbloom {npbloom.__version__}, on generated interactions: latent factors, Zipf popularity\n")
    print(_wrapped(_sizes(data, "Data"), _about(data, settings, Tables(), comparison)))
    print(_report.text(comparison))
    print(_wrapped("", verdict(comparison).words))
    print(_wrapped("What a smaller table costs depends on the data. On ratings of your own:"))
    print("  npbloom fit ratings.csv                 the same on a file of ratings")
    print("  npbloom fit ratings.csv --tables both   smaller tables for users, too")
    print("  npbloom fit ratings.csv --out model     save the best of the smaller models, and then")
    print("  npbloom recommend model USER            see what it recommends to a user")
    return 0


def fit(arguments: argparse.Namespace) -> int:
    """Compare full tables with smaller ones, on a file of ratings."""
    check_plot(arguments.plot, arguments.ratings)
    check_writable(arguments.out, "--out", arguments.ratings, regular=True)
    check_outputs(arguments.plot, arguments.out)
    names = ("loss", "optimizer", "dim", "epochs", "batch_size", "learning_rate", "l2", "seed", "split")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    compressed = ("users", "items") if arguments.tables == "both" else (arguments.tables,)
    tables = Tables(arguments.compression, arguments.hashes, compressed)
    variants = [Variant(method, tables) for method in arguments.methods]
    check_keep(arguments.keep, arguments.out, arguments.methods)
    check_slices(variants, settings.dim)
    data = _read(arguments.ratings)
    check_data(data, arguments.ratings, settings)
    check_heights(data, variants)
    check_best(arguments.keep, arguments.out, data, variants, settings.dim)
    check_memory(data, variants, settings)
    data = readied(data, settings)
    comparison = compare(data, variants, settings)
    kept = _kept(comparison, arguments.keep) if arguments.out else None
    if kept is not None:
        _save(fit_anew(data, kept, settings), arguments.out)
    _draw(comparison, arguments.plot, _sizes(data, Path(arguments.ratings).name))
    if arguments.json:
        facts = _facts(data, settings, arguments.ratings)
        print(_json("fit", facts, comparison, {"plot": arguments.plot, "out": arguments.out, "kept": _as_kept(kept, data)}))
        return 0
    print(_wrapped(_sizes(data, arguments.ratings), _about(data, settings, tables, comparison)))
    print(_report.text(comparison))
    words = verdict(comparison).words
    if words:
        print("\n" + _wrapped(words), end="")
    if arguments.plot:
        print(f"\nPlot written to {arguments.plot}.")
    if kept is not None:
        about = f"{kept.title}, trained anew on all {len(data):,} interactions, is saved in {arguments.out}."
        print(f"\n{about}\nNext: npbloom recommend {arguments.out} USER")
    return 0


def _kept(comparison: Comparison, method: str | None) -> Measured:
    """
    Return the row whose model is saved.

    It is the row of the given method, else the best of the smaller models, else the first row.
    """
    if method is not None:
        return next(row for row in comparison.rows if row.method == method)
    return (smaller(comparison) or comparison.rows)[0]


def _as_kept(row: Measured | None, data: Interactions) -> dict[str, Any] | None:
    """Return the saved model, for JSON."""
    if row is None or row.choice is None:
        return None
    return {"method": row.method, "layer": row.title, **asdict(row.choice), "interactions": len(data)}


def recommend(arguments: argparse.Namespace) -> int:
    """Print the items that a saved model ranks highest for a user."""
    with refusing(arguments.model):
        model = load_model(arguments.model)
    known = model.fitted
    with refusing(arguments.model):
        user = known.user_id(arguments.user)
        items = model.recommend(arguments.user, arguments.number, exclude=known)
    scores = model.predict(user, np.array([known.item_id(item) for item in items], dtype=np.int64)).tolist()
    ranked = [{"item": item, "score": score} for item, score in zip(items, scores, strict=True)]
    if arguments.json:
        print(json.dumps({"command": "recommend", "user": arguments.user, "items": ranked}, allow_nan=False))
        return 0
    left_out = int((known.user_ids == user).sum())
    print(f"User {arguments.user}: {len(ranked)} items, best first; the {left_out} the model was trained on are left out.")
    width = max((len(str(item)) for item in items), default=0)
    for rank, entry in enumerate(ranked, 1):
        print(f"{rank:>4}  {entry['item']!s:<{width}}  {entry['score']:8.3f}")
    return 0


def _read(name: str) -> Interactions:
    """Read a file of ratings, or a release of MovieLens by name."""
    release = name.removeprefix(MOVIELENS)
    with refusing(name):
        if release == name or Path(name).exists():
            return read_ratings(name)
        try:
            return fetch_movielens(release)
        except ModuleNotFoundError as error:
            raise Refused(str(error)) from None


def _save(model: Model, path: str) -> None:
    """Save a model for `npbloom recommend`."""
    with refusing(path, status=1):
        model.save(path, with_optimizer=False)


def _draw(comparison: Comparison, path: str | None, title: str) -> None:
    """Draw the picture, if it is wanted."""
    if path is not None:
        with refusing(path, status=1):
            _report.plot(comparison.rows, path, title)


# ---- words ---------------------------------------------------------------------------------------


def _sizes(data: Interactions, name: str) -> str:
    """Return a line on the size of the data."""
    return f"{name}: {data.num_users - 1:,} users, {data.num_items - 1:,} items, {len(data):,} interactions"


def _about(data: Interactions, settings: Settings, tables: Tables, comparison: Comparison) -> str:
    """Return a text on the training, on the choice of settings, and on the test."""
    chosen = [name for name, value in (("weight decay", settings.l2), ("epochs", settings.epochs)) if value is None]
    how = [] if settings.epochs is None else [f"{settings.epochs} epoch{'' if settings.epochs == 1 else 's'}"]
    how += [] if settings.l2 is None else [f"weight decay {settings.l2:g}"]
    words = [
        f"Factorization, {settings.loss} loss, {settings.dim} dimensions, {settings.optimizer}, "
        f"{''.join(f'{word}, ' for word in how)}seed {settings.seed}; smaller tables for {' and '.join(tables.compressed)}.",
    ]
    if chosen:
        verb = "is" if chosen == ["weight decay"] else "are"
        words.append(f"For each method {' and '.join(chosen)} {verb} chosen on a part of the training data.")
    words.append(_held_out(data, settings, comparison))
    return " ".join(words)


def _held_out(data: Interactions, settings: Settings, comparison: Comparison) -> str:
    """Return a text on the held-out interactions and on differences that may be chance."""
    if settings.explicit and not settings.last:
        what = "A fifth of the ratings, drawn at random,"
    elif not settings.last:
        what = "One interaction of each user, drawn at random,"
    elif data.timestamps is None:
        what = "Each user's last line (there are no times)"
    else:
        what = "Each user's last interaction"
    sampled = f", {comparison.tested:,} of them, drawn at random, are scored" if comparison.tested < comparison.held_out else ""
    words = f"{what} is held out ({comparison.held_out:,}{sampled}{_chance(settings, comparison)})."
    if settings.loss == "logistic":
        words += " The greater rating counts as 1, the other as 0."
    if comparison.unknown == comparison.held_out:
        words += " None of them has an item that is in the training part."
    elif comparison.unknown:
        words += (
            f" Of them {comparison.unknown:,} have an item that is not in the training part, of which no model can know anything."
        )
    if comparison.repeats:
        why = "their pairs of user and item are also in training" if settings.explicit else "their users had met the item before"
        words += f" {comparison.repeats:,} more are left out: {why}."
    return words


def _chance(settings: Settings, comparison: Comparison) -> str:
    """Return the standard error of the hit rate, if it says anything."""
    if settings.explicit or comparison.items <= TOP:
        return ""
    rates = [row.scores["hit_rate"] for row in comparison.rows]
    error = max((rate * (1.0 - rate) / comparison.tested) ** 0.5 for rate in rates)
    return f"; standard error of hit@{TOP} up to {error:.3f}"


def _wrapped(*paragraphs: str) -> str:
    """Return paragraphs wrapped to lines, and an empty line."""
    return "\n".join(textwrap.fill(paragraph, WIDTH) for paragraph in paragraphs) + "\n"


def _facts(data: Interactions, settings: Settings, source: str) -> dict[str, Any]:
    """Return data and settings, for JSON."""
    sizes = {"users": data.num_users - 1, "items": data.num_items - 1, "interactions": len(data)}
    return {"version": npbloom.__version__, "data": {"source": source, **sizes}, "settings": asdict(settings)}


def _json(command: str, facts: dict[str, Any], comparison: Comparison, more: dict[str, Any]) -> str:
    """Return one JSON object."""
    found = {
        "command": command,
        **facts,
        "trained_on": comparison.trained_on,
        "held_out": comparison.held_out,
        "tested": comparison.tested,
        "repeats_left_out": comparison.repeats,
        "items_not_in_training": comparison.unknown,
        "rows": _report.as_object(comparison.rows),
        "verdict": _report.verdict_object(verdict(comparison)),
        **more,
    }
    return json.dumps(found, allow_nan=False)
