"""`learned_hash_tables`: tables in which ids that are met together share rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from npbloom import _check
from npbloom.coding._codes import LearnedCodes, Side, Vectors, fallback, read_pairs
from npbloom.ops import clusters, spectral
from npbloom.types import MAX_TABLE_ROWS, SPOTLIGHT_SEEDS, ArrayLike, IntArray, Rng

RANK: Final = 32
NUM_HASHES: Final = 4
MOST_COLUMNS: Final = 1024  # of the decomposition, whose time grows with their cube


@dataclass(frozen=True)
class _Request:
    """Checked arguments of one side, users or items."""

    num_ids: int
    rows: int | None  # None: no codes for this side
    padding: int | None

    @property
    def first(self) -> int:
        """First row that an id may have."""
        return 0 if self.padding is None else 1


def learned_hash_tables(
    user_ids: ArrayLike,
    item_ids: ArrayLike,
    *,
    num_users: int,
    num_items: int,
    user_rows: int | None,
    item_rows: int | None,
    rank: int = RANK,
    num_hashes: int = NUM_HASHES,
    user_padding: int | None = None,
    item_padding: int | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> tuple[IntArray | None, IntArray | None]:
    r"""
    Return rows for two `BloomEmbedding` layers in which ids that are met together share rows.

    With hashing, unrelated ids share rows. Here an id's neighbours decide. A is the graph of users
    and items, D the degrees of either side and d their mean. The leading singular vectors of
    :math:`N = (D_u + d_u)^{-1/2} A (D_i + d_i)^{-1/2} \approx U S V^T` give every id a vector, a
    row of :math:`U \sqrt S` or :math:`V \sqrt S`. Ids that are met together have near vectors. The
    columns are cut into k slices, and k-means in each slice says which ids share the row of that
    slice.

    Parameters
    ----------
    user_ids, item_ids : int array, shape (n,)
        Users and items of the training pairs. Pairs of the test set must not be among them.
        Duplicates count once.
    num_users, num_items : int
        Number of ids, padding included.
    user_rows, item_rows : int or None
        Rows of each table, 2 to the number of ids; None for a side without codes.
    rank : int, default 32
        Number of singular vectors, r; a multiple of `num_hashes`, at most 1,024.
    num_hashes : int, default 4
        Rows an id reads, k, 1 to 24. 8 keeps more of the score than 4 in all measurements of
        ``docs/coding.md``, with codes of twice the size.
    user_padding, item_padding : int, optional
        Padding ids of the layers. Their row is 0, which no other id gets. Pairs with them are left
        out.
    rng : numpy.random.Generator or int, optional
        Source of the random projection, of the order of columns, and of k-means' initial centroids.
    progress : bool, default False
        Show a progress bar, on a terminal only.

    Returns
    -------
    tuple of (int64 array, int64 array)
        Tables of shape (num_users, k) and (num_items, k), for
        ``BloomEmbedding(n, d, num_rows=rows, hash_table=table, combine="concat")`` with any d that
        k divides; None for a side without codes.

    Raises
    ------
    TypeError, ValueError, IndexError
        An argument is of the wrong kind or out of its range, or fewer than two users or items have
        interactions.

    See Also
    --------
    learn_codes : The same, with layers that start from the codes and codes for later ids.
    frequent_hash_table : Rows from counts alone.

    Notes
    -----
    Law L41. The same seed gives the same bits for any number of threads, on any processor. An id
    without interactions has the rows of its hash (L20), and so has every id in a slice in which all
    vectors are equal. The decomposition is a randomised subspace iteration, algorithms 4.4 and 5.1
    of [1]_. The mean degree in N keeps small components of the graph from taking the leading
    vectors [2]_. k-means works in levels if points times centroids are many. A million users, a
    million items and twenty million pairs take some minutes on two cores and less than 4 GB
    (``benchmarks/details.md``).

    References
    ----------
    .. [1] N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions", SIAM Review
       53(2), 2011.
    .. [2] T. Qin, K. Rohe, "Regularized spectral clustering under the degree-corrected stochastic
       blockmodel", NIPS 2013.

    Examples
    --------
    >>> users, items = np.repeat(np.arange(6), 3), np.array([0, 1, 2] * 3 + [3, 4, 5] * 3)
    >>> tables = learned_hash_tables(
    ...     users, items, num_users=6, num_items=6, user_rows=2, item_rows=2,
    ...     rank=2, num_hashes=1, rng=0,
    ... )
    >>> [(rows[:, 0] == rows[0, 0]).tolist() for rows in tables]     # ids 0 to 2 share a row
    [[True, True, True, False, False, False], [True, True, True, False, False, False]]
    """
    codes = learn_codes(
        user_ids,
        item_ids,
        num_users=num_users,
        num_items=num_items,
        user_rows=user_rows,
        item_rows=item_rows,
        rank=rank,
        num_hashes=num_hashes,
        user_padding=user_padding,
        item_padding=item_padding,
        rng=rng,
        progress=progress,
    )
    return codes.user_table, codes.item_table


def learn_codes(
    user_ids: ArrayLike,
    item_ids: ArrayLike,
    *,
    num_users: int,
    num_items: int,
    user_rows: int | None,
    item_rows: int | None,
    rank: int = RANK,
    num_hashes: int = NUM_HASHES,
    user_padding: int | None = None,
    item_padding: int | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> LearnedCodes:
    """
    Learn the rows of `learned_hash_tables`, and keep what layers and later ids need.

    Parameters
    ----------
    user_ids, item_ids : int array, shape (n,)
        Interactions as in `learned_hash_tables`.
    num_users, num_items : int
        Numbers of ids as in `learned_hash_tables`.
    user_rows, item_rows : int or None
        Rows of each table as in `learned_hash_tables`.
    rank, num_hashes, user_padding, item_padding, rng, progress : optional
        Options as in `learned_hash_tables`.

    Returns
    -------
    LearnedCodes
        Codes whose ``user_table`` and ``item_table`` are those that `learned_hash_tables` returns
        for the same seed.

    Raises
    ------
    TypeError, ValueError, IndexError
        The errors of `learned_hash_tables`.

    Notes
    -----
    Law L41.

    Examples
    --------
    >>> users, items = np.repeat(np.arange(6), 3), np.array([0, 1, 2] * 3 + [3, 4, 5] * 3)
    >>> codes = learn_codes(
    ...     users, items, num_users=6, num_items=6, user_rows=2, item_rows=2,
    ...     rank=2, num_hashes=1, rng=0,
    ... )
    >>> user_layer, item_layer = codes.layers(rng=0)     # their tables start from the codes
    >>> scores = user_layer(np.arange(6)) @ item_layer(np.arange(6)).T
    >>> (scores > 0.5 * scores.max()).astype(int)[[0, 5]]
    array([[1, 1, 1, 0, 0, 0],
           [0, 0, 0, 1, 1, 1]])
    """
    pairs = read_pairs(user_ids, item_ids, num_users, num_items)
    requests = (
        _read_request("user", pairs.num_users, user_rows, user_padding),
        _read_request("item", pairs.num_items, item_rows, item_padding),
    )
    width, columns = _read_sizes(num_hashes, rank)
    hidden = None if _check.flag(progress, "progress") else True
    graph = _read_graph(pairs.users, pairs.items, requests)
    seeds = _check.generator(rng).integers(2**63, size=3)
    asked = sum(request.rows is not None for request in requests)
    with tqdm(total=spectral.products() + asked * width, desc="learning codes", leave=False, disable=hidden) as bar:
        space = spectral.decompose(graph, columns, np.random.default_rng(seeds[0]), bar.update)
        order = np.random.default_rng(seeds[0]).permutation(columns)
        roots = np.sqrt(space.values)
        vectors = [np.ascontiguousarray((side * roots)[:, order], np.float32) for side in (space.users, space.items)]
        values = space.values[order]
        del space
        counts = np.diff(graph.item_starts), np.diff(graph.user_starts)
        sides = [
            None if request.rows is None else _code(own, met, request, width, np.random.default_rng(seed), bar.update)
            for own, met, request, seed in zip(vectors, counts, requests, seeds[1:], strict=True)
        ]
    paddings = requests[0].padding, requests[1].padding
    return LearnedCodes(sides[0], sides[1], paddings, vectors[0], vectors[1], values, counts[0], counts[1])


def _code(vectors: Vectors, counts: IntArray, request: _Request, k: int, rng: np.random.Generator, report: Any) -> Side:
    """
    Return the codes of a side.

    An id has the row of its nearest centroid in each slice, or that of its hash without any
    interactions.
    """
    assert request.rows is not None
    known = np.flatnonzero(counts)
    table = fallback(request.num_ids, request.rows, k, request.padding)
    width = vectors.shape[1] // k
    centroids, centroid_rows = [], []
    for j in range(k):
        points = np.ascontiguousarray(vectors[known, j * width : (j + 1) * width])
        if (points == points[:1]).all():
            centroids.append(points[:0])
            centroid_rows.append(known[:0])
        else:
            codes, places = clusters.cluster(points, request.rows - request.first, rng)
            table[known, j] = request.first + codes
            used = np.unique(codes)
            centroids.append(places[used])
            centroid_rows.append(request.first + used)
        report()
    return Side(table, request.rows, request.padding, tuple(centroids), tuple(centroid_rows))


def _read_request(kind: str, num_ids: int, rows: Any, padding: Any) -> _Request:
    """Return the checked arguments of one side."""
    at = None if padding is None else _check.padding_row(padding, num_ids, f"{kind}_padding")
    if rows is None:
        return _Request(num_ids, None, at)
    height = _check.positive_int(rows, f"{kind}_rows")
    if not 2 <= height <= min(num_ids, MAX_TABLE_ROWS):
        raise ValueError(f"`{kind}_rows` must lie in [2, {min(num_ids, MAX_TABLE_ROWS)}], not {height}.")
    return _Request(num_ids, height, at)


def _read_sizes(num_hashes: Any, rank: Any) -> tuple[int, int]:
    """Return the number of slices, and the number of columns, which is a multiple of it."""
    width, columns = _check.positive_int(num_hashes, "num_hashes"), _check.positive_int(rank, "rank")
    if width > len(SPOTLIGHT_SEEDS):
        raise ValueError(f"`num_hashes` must lie in [1, {len(SPOTLIGHT_SEEDS)}], not {width}.")
    if columns > MOST_COLUMNS:
        raise ValueError(f"`rank` must be at most {MOST_COLUMNS}, not {columns}.")
    if columns % width:
        raise ValueError(f"`rank` must be a multiple of `num_hashes`, {width}, not {columns}.")
    return width, columns


def _read_graph(users: IntArray, items: IntArray, requests: tuple[_Request, _Request]) -> spectral.Graph:
    """Return the graph without padding; raise a ValueError if nothing could tell ids apart."""
    for ids, request in zip((users, items), requests, strict=True):
        if request.padding is not None and (ids == request.padding).any():
            kept = ids != request.padding
            return _read_graph(users[kept], items[kept], requests)
    if not len(users):
        raise ValueError("`user_ids` must not be empty: codes are learned from interactions.")
    graph = spectral.read_graph(users, items, *(request.num_ids for request in requests))
    for kind, starts in (("users", graph.item_starts), ("items", graph.user_starts)):
        known = int(np.count_nonzero(np.diff(starts)))
        if known < 2:
            raise ValueError(f"interactions must be of at least 2 {kind}, not {known}: there is nothing to tell apart.")
    return graph
