"""Sums as L5 has them: rows in runs of sixteen, columns in eight parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.types import FloatArray, IntArray

RUN = 16  # neighbouring terms that are added in their own dtype
PARTS = 8  # sums that share the columns of a row


def sum_terms(terms: FloatArray, group: IntArray, num_groups: int, live: Any = None) -> FloatArray:
    """
    Return the sum of each group's terms in float64, not yet rounded: (num_groups, d).

    `terms` is (n, d), `group` (n,), one number a term. A group's terms stand at places 0, 1, 2, ...
    in input order. Each run of 16 places is added in the dtype of the terms, from left to right,
    and the runs in float64. Terms that are not `live` (n,) add nothing, and keep their place.
    """
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=num_groups)
    place = np.empty(len(group), dtype=np.int64)
    place[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    runs = -(-sizes // RUN)  # of each group
    run = (np.cumsum(runs) - runs)[group] + place // RUN
    live = np.ones(len(group), bool) if live is None else live
    sums = np.zeros((int(runs.sum()), terms.shape[1]), terms.dtype)
    np.add.at(sums, run[live], terms[live])
    total = np.zeros((num_groups, terms.shape[1]))
    np.add.at(total, np.repeat(np.arange(num_groups), runs), sums.astype(np.float64))
    return total


def sum_columns(terms: FloatArray) -> FloatArray:
    """
    Return the sum of each row's columns in float64: (n,), of (n, d).

    Column c is added to partial sum ``c mod 8``, and these are added as a tree.
    """
    parts = np.zeros((PARTS, len(terms)))
    for column in range(terms.shape[1]):
        parts[column % PARTS] += terms[:, column]
    p0, p1, p2, p3, p4, p5, p6, p7 = parts
    total: FloatArray = ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7))
    return total
