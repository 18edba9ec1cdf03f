"""Refusals before any training: sentences for options and data that do not go together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from npbloom.cli._errors import Refused
from npbloom.cli._methods import METHODS, hashes_of
from npbloom.cli._settings import Settings, Variant
from npbloom.recommend import Interactions


def check_keep(keep: str | None, out: str | None, methods: Sequence[str]) -> None:
    """Refuse to keep a model that is not trained, or with no file to keep it in."""
    if keep is None:
        return
    if keep not in methods:
        raise Refused(f"--keep {keep}: is not among --methods {','.join(methods)}")
    if out is None:
        raise Refused(f"--keep {keep}: needs --out MODEL, the file to save it in")


def check_slices(variants: Sequence[Variant], dim: int) -> None:
    """Refuse slices of unequal length."""
    for variant in variants:
        hashes = hashes_of(variant, dim)
        if METHODS[variant.method].sliced and dim % hashes:
            raise Refused(
                f"--dim {dim}: {hashes} hashes do not divide it, as the method {variant.method!r} needs; "
                f"--dim {dim + hashes - dim % hashes} would do, or --hashes, or --methods without it"
            )


def check_data(data: Interactions, path: str, settings: Settings) -> None:
    """Refuse data on which there is nothing to learn or nothing to measure."""
    users, items = data.num_users - 1, data.num_items - 1
    for number, kind, labels in ((users, "user", data.user_labels), (items, "item", data.item_labels)):
        if number < 2:
            assert labels is not None
            raise Refused(f"{path}: every line is of one {kind}, {labels[1].item()!r}; a recommender needs two at least")
    if not settings.explicit:
        if len(data) == users:
            raise Refused(f"{path}: every user has one line; none can be held out to test on")
        return
    if data.ratings is None:
        raise Refused(f"{path}: there is no column of ratings, which --loss {settings.loss} predicts")
    if settings.loss == "poisson" and data.ratings.min() < 0:
        raise Refused(f"{path}: there is a rating below 0, {data.ratings.min():g}, which --loss poisson cannot predict")


def check_heights(data: Interactions, variants: Sequence[Variant]) -> None:
    """Refuse a ratio that leaves a table without rows: one must be left beside that of padding."""
    for tables in {variant.tables for variant in variants if METHODS[variant.method].hashed}:
        for kind, size in (("users", data.num_users), ("items", data.num_items)):
            rows = int(tables.compression * size)
            if kind in tables.compressed and rows < 2:
                enough = (math.floor(2000 / size) + 1) / 1000
                raise Refused(
                    f"--compression {tables.compression:g} leaves {rows} rows for {size - 1} {kind}, "
                    f"one of them for padding; {enough:g} would do"
                )
