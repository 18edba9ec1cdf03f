"""`frequent_hash_table`: own rows for the most frequent ids, hashed rows for the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.ops import hash_rows
from npbloom.types import MAX_TABLE_ROWS, SPOTLIGHT_SEEDS, ArrayLike, HashSpec, IntArray, unmasked


def frequent_hash_table(
    counts: ArrayLike, num_rows: int, num_hashes: int = 1, *, share: float = 0.5, padding_idx: int | None = 0
) -> npt.NDArray[np.int32]:
    r"""
    Return rows for a `BloomEmbedding` in which frequent ids have a row each, and the others share.

    Of the m rows :math:`m' = m - f` are available, with f = 1 with a padding id and 0 without. The
    first :math:`e = \lfloor s\, m' \rfloor` of these belong to the e ids of highest count, one
    each, and no other id uses them. Every other id probes, by its hash, k of the :math:`m' - e`
    rows that are left. In models of choices a few ids make up most of all occurrences, and most of
    the score: ``docs/coding.md`` has measurements.

    Parameters
    ----------
    counts : real array, shape (num_ids,)
        Number of times that each id occurs in the training data, such as
        ``numpy.bincount(item_ids, minlength=num_items)``.
    num_rows : int
        Rows of the table, m: more than are reserved, at most ``2**31``.
    num_hashes : int, default 1
        Width of the result, k, 1 to 24. Use more than 1 only with ``combine="concat"`` or
        ``"mean"``: "sum" would add the row of a frequent id k times.
    share : float, default 0.5
        Share s of the rows that belong to frequent ids, in ``[0, 1)``. Ids that do not occur never
        get such a row.
    padding_idx : int or None, default 0
        Padding id of the layer: it reserves row 0, and no other id gets it.

    Returns
    -------
    int32 array, shape (num_ids, num_hashes)
        Argument ``hash_table`` of ``BloomEmbedding(num_ids, d, num_rows=num_rows, ...)``. A
        frequent id has its row k times.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    See Also
    --------
    npbloom.BloomEmbedding : The layer that takes the table.
    npbloom.coding.plan : Expectations for a table in which all ids are hashed.

    Notes
    -----
    Law L40. Of equal counts the lower id comes first. The hash is that of L20: the same counts give
    the same table everywhere, and ids that do not occur yet have rows, too. For ids that become
    frequent later, make a new table and train again.

    Examples
    --------
    >>> counts = [0, 5, 90, 2, 70, 1]            # id 0 is padding; ids 2 and 4 occur most
    >>> frequent_hash_table(counts, num_rows=5).ravel()
    array([0, 4, 1, 3, 2, 3], dtype=int32)
    """
    occurrences = _counts(counts)
    ids, rows = len(occurrences), _check.positive_int(num_rows, "num_rows")
    width = _check.positive_int(num_hashes, "num_hashes")
    padding = None if padding_idx is None else _check.padding_row(padding_idx, ids)
    first = 0 if padding is None else 1
    if not first < rows <= MAX_TABLE_ROWS:
        raise ValueError(f"`num_rows` must lie in [{first + 1}, 2**31], not {rows}.")
    if width > len(SPOTLIGHT_SEEDS):
        raise ValueError(f"`num_hashes` must lie in [1, {len(SPOTLIGHT_SEEDS)}], not {width}.")
    known = occurrences.copy()
    if padding is not None:
        known[padding] = 0
    order = np.argsort(-known, kind="stable")
    exact = min(int(_check.unit_interval(share, "share") * (rows - first)), int(np.count_nonzero(known)))
    table = hash_rows(_check.read_only(np.arange(ids)), HashSpec(ids, rows - first - exact, width)).astype(np.int32)
    table += np.int32(first + exact)
    table[order[:exact]] = np.arange(first, first + exact, dtype=np.int32)[:, np.newaxis]
    if padding is not None:
        table[padding] = 0
    return table


def _counts(counts: Any) -> npt.NDArray[np.float64]:
    """Return one number for each id, finite and at least 0."""
    array = unmasked(counts, "counts")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"`counts` must be a real array, not {array.dtype}.")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"`counts` must have shape (num_ids,), with at least one id, not {array.shape}.")
    values = array.astype(np.float64)
    wrong = np.flatnonzero(~((values >= 0) & (values < np.inf)))
    if wrong.size:
        at: IntArray = wrong[0]
        raise ValueError(f"`counts` must be finite and at least 0, not {values[at]:g} at position {at}.")
    return values
