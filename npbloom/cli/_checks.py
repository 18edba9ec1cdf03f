"""Checks before any training: refuse options and data that do not fit each other."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from npbloom.cli._errors import Refused, same_file
from npbloom.cli._methods import METHODS, full_bytes, hashes_of, narrow_dim, served_ahead, sides
from npbloom.cli._settings import Settings, Variant
from npbloom.recommend import Interactions

# Columns of the decomposition. Its time grows with their cube: 4 s for 256, 37 s for 512.
MOST_LEARNED = 256
COPIES = 3  # of a table's bytes: itself and Adam's two moments
CANDIDATES = 3  # models at a time where weight decay is chosen


def check_memory(data: Interactions, variants: Sequence[Variant], settings: Settings) -> None:
    """
    Refuse tables that do not fit the memory of this machine.

    A system that promises too much memory would end the process later.
    """
    if not hasattr(os, "sysconf"):
        return
    copies = COPIES * (CANDIDATES if settings.l2 is None else 1) * np.dtype(np.float32).itemsize
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for variant in variants:
        hashed = METHODS[variant.method].hashed
        rows = sum(side.rows if hashed and side.rows is not None else side.size for side in sides(data, variant.tables))
        columns = narrow_dim(data, variant.tables, settings.dim) if variant.method == "narrow" else settings.dim
        needed = copies * rows * columns
        if needed > there:
            raise Refused(
                f"there is not enough memory for {variant.method} tables of {columns} columns: they take about "
                f"{needed / 1e9:.0f} GB with their optimizers, and there are {there / 1e9:.0f}"
            )


def check_keep(keep: str | None, out: str | None, methods: Sequence[str]) -> None:
    """Refuse to keep a model that is not trained, or without a file to save it in."""
    if keep is None:
        return
    if keep not in methods:
        raise Refused(f"--keep {keep}: is not among --methods {','.join(methods)}")
    if out is None:
        raise Refused(f"--keep {keep}: needs --out MODEL, the file to save it in")


def check_best(keep: str | None, out: str | None, data: Interactions, variants: Sequence[Variant], dim: int) -> None:
    """
    Refuse to keep the best of the smaller models if none is smaller.

    With a single method there is no choice to make.
    """
    if out is None or keep is not None or len(variants) == 1:
        return
    if min(served_ahead(data, variant, dim) for variant in variants) >= full_bytes(data, dim):
        methods = ",".join(variant.method for variant in variants)
        raise Refused(
            f"--out {out}: would save the best of the smaller models, and with --compression {variants[0].tables.compression:g} "
            f"none of {methods} is smaller than full tables; --keep METHOD says which one to save"
        )


def check_outputs(plot: str | None, out: str | None) -> None:
    """Refuse to write the picture and the model to the same file."""
    if plot is not None and out is not None and same_file(plot, out):
        raise Refused(f"--plot {plot} and --out {out}: are one file")


def check_slices(variants: Sequence[Variant], dim: int) -> None:
    """Refuse slices of unequal length, and more columns than can be learned."""
    for variant in variants:
        if variant.method == "learned" and dim > MOST_LEARNED:
            raise Refused(f"--dim {dim}: the method 'learned' takes at most {MOST_LEARNED}; or leave it out of --methods")
        hashes = hashes_of(variant, dim)
        if METHODS[variant.method].sliced and dim % hashes:
            raise Refused(
                f"--dim {dim}: {hashes} hashes do not divide it, as the method {variant.method!r} needs; "
                f"--dim {dim + hashes - dim % hashes} would do, or --hashes, or --methods without it"
            )


def check_data(data: Interactions, path: str, settings: Settings) -> None:
    """Refuse data from which nothing can be learned or measured."""
    users, items = data.num_users - 1, data.num_items - 1
    for number, kind, labels in ((users, "user", data.user_labels), (items, "item", data.item_labels)):
        if number < 2:
            assert labels is not None
            raise Refused(f"{path}: every line is of one {kind}, {labels.tolist()[1]!r}; a recommender needs two at least")
    if not settings.explicit:
        if len(data) == users:
            raise Refused(f"{path}: every user has one line; none can be held out to test on")
        return
    if data.ratings is None:
        raise Refused(f"{path}: there is no column of ratings, which --loss {settings.loss} predicts")
    values = np.unique(data.ratings)
    if settings.loss == "logistic" and len(values) != 2:
        raise Refused(
            f"{path}: --loss logistic predicts which of two values a rating has, and there are {len(values)}, from "
            f"{values[0]:g} to {values[-1]:g}; --loss regression predicts numbers"
        )
    if settings.loss == "poisson" and data.ratings.min() < 0:
        raise Refused(f"{path}: there is a rating below 0, {data.ratings.min():g}, which --loss poisson cannot predict")


def check_heights(data: Interactions, variants: Sequence[Variant]) -> None:
    """Refuse a ratio that leaves a table without rows beside the padding row."""
    for tables in {variant.tables for variant in variants if METHODS[variant.method].hashed}:
        for kind, size in (("users", data.num_users), ("items", data.num_items)):
            rows = int(tables.compression * size)
            if kind in tables.compressed and rows < 2:
                enough = (math.floor(2000 / size) + 1) / 1000
                raise Refused(
                    f"--compression {tables.compression:g} leaves {rows} rows for {size - 1} {kind}, "
                    f"one of them for padding; {enough:g} would do"
                )
