"""What the commands do: read, check, work, report."""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import npbloom
from npbloom.cli import _report
from npbloom.cli._compare import EXPLICIT_LOSSES, Measured, Settings, Tables, compare
from npbloom.cli._errors import Refused, check_plot, check_writable, refusing
from npbloom.cli._generated import generate
from npbloom.recommend import Interactions, fetch_movielens, load_model, read_ratings

DEMO = Settings(loss="adaptive_hinge")
MOVIELENS = "movielens:"
DEMO_RATIOS = (0.5, 0.2, 0.1)


def demo(arguments: argparse.Namespace) -> int:
    """A first run: full tables beside Bloom tables of several sizes, on generated interactions."""
    check_plot(arguments.plot)
    data = generate(arguments.seed)
    settings = Settings(**{**asdict(DEMO), "seed": arguments.seed})
    rows = [row for row, _ in compare(data, [Tables(), *map(Tables, DEMO_RATIOS)], settings)]
    facts = _facts(data, settings, "generated: latent factors, Zipf popularity")
    _draw(rows, arguments.plot, _sizes(data, "Generated interactions"))
    if arguments.json:
        print(json.dumps({"command": "demo", **facts, "rows": _report.as_object(rows), "plot": arguments.plot}, allow_nan=False))
        return 0
    print(f"npbloom {npbloom.__version__}, on generated interactions: latent factors, Zipf popularity\n")
    print(_wrapped(_sizes(data, "Data"), _about(settings, Tables())))
    print(_report.text(rows))
    print(_wrapped("", "What a smaller table costs depends on the data. On ratings of your own:"))
    print("  npbloom fit ratings.csv                 the same on a file of ratings")
    print("  npbloom fit ratings.csv --tables both   users in a Bloom table, too")
    print("  npbloom fit ratings.csv --out model     save the Bloom model, and then")
    print("  npbloom recommend model USER            see what it recommends to a user")
    return 0


def fit(arguments: argparse.Namespace) -> int:
    """Full tables beside Bloom tables, on a file of ratings."""
    check_plot(arguments.plot, arguments.ratings)
    check_writable(arguments.out, "--out", arguments.ratings)
    data = _read(arguments.ratings)
    names = ("loss", "optimizer", "dim", "epochs", "batch_size", "learning_rate", "l2", "seed")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    compressed = ("users", "items") if arguments.tables == "both" else (arguments.tables,)
    bloom = Tables(arguments.compression, arguments.hashes, compressed)
    _check_data(data, arguments.ratings, settings)
    _check_heights(data, bloom)
    compared = compare(data, [Tables(), bloom], settings)
    rows = [row for row, _ in compared]
    if arguments.out:
        _save(next(model for row, model in compared if row.tables is bloom), arguments.out)
    _draw(rows, arguments.plot, _sizes(data, Path(arguments.ratings).name))
    if arguments.json:
        facts = _facts(data, settings, arguments.ratings)
        more = {"plot": arguments.plot, "out": arguments.out}
        print(json.dumps({"command": "fit", **facts, "rows": _report.as_object(rows), **more}, allow_nan=False))
        return 0
    print(_wrapped(_sizes(data, arguments.ratings), _about(settings, bloom)))
    print(_report.text(rows))
    for path, what in ((arguments.plot, "Plot"), (arguments.out, "Bloom model")):
        if path:
            print(f"\n{what} written to {path}." + ("" if what == "Plot" else f" Next: npbloom recommend {path} USER"))
    return 0


def recommend(arguments: argparse.Namespace) -> int:
    """What a saved model ranks highest for a user."""
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
    """A file of ratings, or a release of MovieLens by name."""
    release = name.removeprefix(MOVIELENS)
    with refusing(name):
        if release == name or Path(name).exists():
            return read_ratings(name)
        try:
            return fetch_movielens(release)
        except ModuleNotFoundError as error:
            raise Refused(str(error)) from None


def _save(model: Any, path: str) -> None:
    """What `npbloom recommend` reads."""
    with refusing(path, status=1):
        model.save(path, with_optimizer=False)


def _draw(rows: Sequence[Measured], path: str | None, title: str) -> None:
    """The picture, if one is wanted."""
    if path is not None:
        with refusing(path, status=1):
            _report.plot(rows, path, title)


# ---- checks before any training ---------------------------------------------------------------------------------------


def _check_data(data: Interactions, path: str, settings: Settings) -> None:
    """Refuse data on which there is nothing to learn or nothing to measure."""
    users, items = data.num_users - 1, data.num_items - 1
    for number, kind, labels in ((users, "user", data.user_labels), (items, "item", data.item_labels)):
        if number < 2:
            assert labels is not None
            raise Refused(f"{path}: every line is of one {kind}, {labels.tolist()[1]!r}; a recommender needs two at least")
    if settings.loss not in EXPLICIT_LOSSES:
        if len(data) == users:
            raise Refused(f"{path}: every user has one line; none can be held out to test on")
        return
    if data.ratings is None:
        raise Refused(f"{path}: there is no column of ratings, which --loss {settings.loss} predicts")
    if settings.loss == "poisson" and data.ratings.min() < 0:
        raise Refused(f"{path}: there is a rating below 0, {data.ratings.min():g}, which --loss poisson cannot predict")


def _check_heights(data: Interactions, bloom: Tables) -> None:
    """Refuse a ratio that leaves a table without rows: one must be left beside that of padding."""
    ratio = bloom.compression or 1.0
    for kind, size in (("users", data.num_users), ("items", data.num_items)):
        rows = int(ratio * size)
        if kind in bloom.compressed and rows < 2:
            enough = (math.floor(2000 / size) + 1) / 1000
            raise Refused(
                f"--compression {ratio:g} leaves {rows} rows for {size - 1} {kind}, one of them for padding; {enough:g} would do"
            )


# ---- words --------------------------------------------------------------------------------------------------------------


def _sizes(data: Interactions, name: str) -> str:
    """How much data there is."""
    return f"{name}: {data.num_users - 1:,} users, {data.num_items - 1:,} items, {len(data):,} interactions"


def _about(settings: Settings, bloom: Tables) -> str:
    """What is trained, and what it is measured on."""
    held_out = "A fifth of the ratings is" if settings.loss in EXPLICIT_LOSSES else "Each user's last interaction is"
    return (
        f"Factorization, {settings.loss} loss, {settings.dim} dimensions, {settings.epochs} epochs of {settings.optimizer}, "
        f"seed {settings.seed}; Bloom tables for {' and '.join(bloom.compressed)}. {held_out} held out."
    )


def _wrapped(*paragraphs: str) -> str:
    """Text in lines of at most 79 columns, and an empty line."""
    return "\n".join(textwrap.fill(paragraph, 79) for paragraph in paragraphs) + "\n"


def _facts(data: Interactions, settings: Settings, source: str) -> dict[str, Any]:
    """Data and settings, for JSON."""
    sizes = {"users": data.num_users - 1, "items": data.num_items - 1, "interactions": len(data)}
    return {"version": npbloom.__version__, "data": {"source": source, **sizes}, "settings": asdict(settings)}
