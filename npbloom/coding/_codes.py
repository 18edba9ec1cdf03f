"""`LearnedCodes`: learned rows of users and items, with layers that start from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.ops import clusters, hash_rows, spectral
from npbloom.ops._ids import check_ids
from npbloom.types import ArrayLike, FloatArray, HashSpec, IntArray, Rng

DEFAULT_SCALE: Final = 0.1
LARGEST_SCALE: Final = 1e30  # float32 holds numbers far above their root mean square
MOST_IDS: Final = 2**40
LATER_DEGREES: Final = 10  # least degree of a later id, in multiples of the mean degree

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Side:
    """
    Codes of the users, or of the items.

    ``table`` has shape (num_ids, k). Each slice has the centroids that at least one id is assigned
    to.
    """

    table: IntArray
    num_rows: int
    padding_idx: int | None
    centroids: tuple[Vectors, ...]  # k arrays (rows in use, rank / k); empty if all ids of the slice are equal
    centroid_rows: tuple[IntArray, ...]  # k arrays (rows in use,)

    def layer(self, scale: float, dtype: npt.DTypeLike, rng: Rng) -> BloomEmbedding:
        """
        Return a layer on these rows, which start from the centroids.

        A row that is no id's centroid starts at random.
        """
        width = max(part.shape[1] for part in self.centroids)
        layer = BloomEmbedding(
            len(self.table),
            width * self.table.shape[1],
            num_rows=self.num_rows,
            hash_table=self.table,
            combine="concat",
            padding_idx=self.padding_idx,
            dtype=dtype,
            rng=rng,
        )
        factor = scale / root_mean_square(np.concatenate([part.ravel() for part in self.centroids]))
        for j, (part, rows) in enumerate(zip(self.centroids, self.centroid_rows, strict=True)):
            layer.weight[rows, j * width : (j + 1) * width] = part * factor
        return layer

    def with_later(self, placed: Vectors, known: npt.NDArray[np.bool_]) -> IntArray:
        """
        Return the table with one more id for each vector.

        A known id gets the rows of its nearest centroids, any other the rows of its hash.
        """
        before, k = self.table.shape
        number = before + len(placed)
        longer = fallback(number, self.num_rows, k, self.padding_idx)
        longer[:before] = self.table
        ids = before + np.flatnonzero(known)
        for j, (part, rows) in enumerate(zip(self.centroids, self.centroid_rows, strict=True)):
            if len(rows) and len(ids):
                points = np.ascontiguousarray(placed[known, j * part.shape[1] : (j + 1) * part.shape[1]])
                whole = np.zeros(len(points), dtype=np.int64)
                longer[ids, j] = rows[clusters.nearest(points, whole, np.array([0, len(rows)]), part)[0]]
        return longer


def root_mean_square(numbers: Vectors) -> float:
    """
    Return the root of the mean of the squares, summed from left to right.

    If all numbers are zeros, or there are none, return 1.
    """
    size = np.cumsum(np.square(numbers, dtype=np.float64))[-1] / len(numbers) if len(numbers) else 0.0
    return float(np.sqrt(size)) if size > 0 else 1.0


def full_layer(
    vectors: Vectors, known: IntArray, padding: int | None, scale: float, dtype: npt.DTypeLike, rng: Rng
) -> ScaledEmbedding:
    """Return a layer with a row for each id: known ids start from vectors, others at random."""
    layer = ScaledEmbedding(vectors.shape[0], vectors.shape[1], padding_idx=padding, dtype=dtype, rng=rng)
    layer.weight[known] = vectors[known] * (scale / root_mean_square(vectors[known].ravel()))
    return layer


def fallback(num_ids: int, num_rows: int, width: int, padding: int | None) -> IntArray:
    """Return rows by the hash of L20, without the reserved row; row 0 is the padding id's."""
    first = 0 if padding is None else 1
    rows = first + hash_rows(_check.read_only(np.arange(num_ids)), HashSpec(num_ids, num_rows - first, width))
    if padding is not None:
        rows[padding] = 0
    return rows


@dataclass(frozen=True, eq=False)
class LearnedCodes:
    """
    Rows of users and items learned from their interactions; `learn_codes` makes them.

    Parameters
    ----------
    users, items : Side or None
        Codes of each side; None for a side without codes.
    paddings : tuple of (int or None, int or None)
        Padding ids of users and items.
    user_vectors, item_vectors : float32 array, shape (num_ids, rank)
        Vectors that were clustered, with columns in the order of the slices; zeros for ids without
        interactions.
    values : float64 array, shape (rank,)
        Singular value of each column.
    user_counts, item_counts : int64 array, shape (num_ids,)
        Number of different items of each user, and of different users of each item.

    See Also
    --------
    learned_hash_tables : The two tables alone.

    Examples
    --------
    >>> from npbloom.coding import learn_codes
    >>> users, items = np.repeat(np.arange(6), 3), np.array([0, 1, 2] * 3 + [3, 4, 5] * 3)
    >>> codes = learn_codes(
    ...     users, items, num_users=6, num_items=6, user_rows=2, item_rows=2,
    ...     rank=2, num_hashes=1, rng=0,
    ... )
    >>> rows = codes.item_table[:, 0]
    >>> rows == rows[0]            # the items of users 0 to 2 share a row
    array([ True,  True,  True, False, False, False])
    >>> longer, _ = codes.extend([6, 6], [0, 2], num_users=7, num_items=6)
    >>> bool(longer[6] == codes.user_table[0])     # user 6 comes later, and met what user 0 met
    True
    """

    users: Side | None
    items: Side | None
    paddings: tuple[int | None, int | None]
    user_vectors: Vectors
    item_vectors: Vectors
    values: FloatArray
    user_counts: IntArray
    item_counts: IntArray

    @property
    def user_table(self) -> IntArray | None:
        """Rows of each user, (num_users, k), or None."""
        return None if self.users is None else self.users.table

    @property
    def item_table(self) -> IntArray | None:
        """Rows of each item, (num_items, k), or None."""
        return None if self.items is None else self.items.table

    def layers(
        self, *, scale: float = DEFAULT_SCALE, dtype: npt.DTypeLike = np.float32, rng: Rng = None
    ) -> tuple[BloomEmbedding | ScaledEmbedding, BloomEmbedding | ScaledEmbedding]:
        """
        Return layers on these rows, with tables that start from the centroids.

        Parameters
        ----------
        scale : float, default 0.1
            Root of the mean square of a table's initial numbers.
        dtype : float32 or float64
            Dtype of the tables.
        rng : numpy.random.Generator or int, optional
            Source of the rows that are no centroid's.

        Returns
        -------
        tuple of (BloomEmbedding or ScaledEmbedding, BloomEmbedding or ScaledEmbedding)
            Layers of users and items, of `rank` columns. A side without codes gets a full table
            that starts from its vectors.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or out of its range.

        Notes
        -----
        The dot product of a user's and an item's vector is at the start a compressed estimate of
        how close they are. Training takes fewer epochs from there, and reaches a higher score
        (``docs/coding.md``).
        """
        size, generator = _check.positive(scale, "scale"), _check.generator(rng)
        if size > LARGEST_SCALE:
            raise ValueError(f"`scale` must be at most {LARGEST_SCALE:g}, not {size:g}.")
        made: list[BloomEmbedding | ScaledEmbedding] = []
        for side, padding, vectors, counts in (
            (self.users, self.paddings[0], self.user_vectors, self.user_counts),
            (self.items, self.paddings[1], self.item_vectors, self.item_counts),
        ):
            if side is None:
                made.append(full_layer(vectors, np.flatnonzero(counts), padding, size, dtype, generator))
            else:
                made.append(side.layer(size, dtype, generator))
        return made[0], made[1]

    def extend(
        self, user_ids: ArrayLike, item_ids: ArrayLike, *, num_users: int, num_items: int
    ) -> tuple[IntArray | None, IntArray | None]:
        """
        Return rows for ids that come later, by the known ids that they have met.

        Parameters
        ----------
        user_ids, item_ids : int array, shape (n,)
            Interactions of the new ids. Pairs of two new ids, and pairs of two old ids, are
            ignored.
        num_users, num_items : int
            Number of ids now, old ones included: at least as many as before.

        Returns
        -------
        tuple of (int64 array, int64 array)
            Tables of shape (num_users, k) and (num_items, k), or None for a side without codes. Old
            ids keep their rows. A new id has in each slice the row of the centroid that is nearest
            to the vector its neighbours give it. A new id without a known neighbour has the rows of
            its hash.

        Raises
        ------
        TypeError, ValueError, IndexError
            The ids are of the wrong kind, out of range, or fewer than before.

        Notes
        -----
        Law L41. A new user's vector is its row of the normalised graph times V, divided by S. This
        formula gives old users the vectors that they have, with one exception: a new user who has
        met fewer than ten times the average number of items counts as having met that many. Without
        it new users would share rows with users who have hardly met anything. The table's height
        does not change, so the weights of a trained layer fit the longer table.
        """
        pairs = read_pairs(user_ids, item_ids, num_users, num_items)
        users, items = pairs.users, pairs.items
        old_users, old_items = len(self.user_counts), len(self.item_counts)
        for name, number, least in (("num_users", pairs.num_users, old_users), ("num_items", pairs.num_items, old_items)):
            if number < least:
                raise ValueError(f"`{name}` must be at least {least}, as many as there are codes for, not {number}.")
        new_users, new_items = (users >= old_users) & (items < old_items), (users < old_users) & (items >= old_items)
        later: list[IntArray | None] = [None, None]
        if self.users is not None:
            later_users = users[new_users] - old_users, items[new_users], pairs.num_users - old_users
            later[0] = self.users.with_later(*self._place(*later_users, self.item_vectors, self.user_counts, self.item_counts))
        if self.items is not None:
            later_items = items[new_items] - old_items, users[new_items], pairs.num_items - old_items
            later[1] = self.items.with_later(*self._place(*later_items, self.user_vectors, self.item_counts, self.user_counts))
        return later[0], later[1]

    def _place(
        self, ids: IntArray, neighbours: IntArray, size: int, vectors: Vectors, own_counts: IntArray, counts: IntArray
    ) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """
        Return a vector for each of `size` new ids, and a mask of the ids that have known
        neighbours.

        A neighbour is known if it has met somebody itself.
        """
        known = counts[neighbours] > 0  # padding has no interactions
        ids, neighbours = ids[known], neighbours[known]
        graph = spectral.read_graph(ids, neighbours, size, len(vectors))
        met, mean = np.diff(graph.item_starts), spectral.mean_degree(own_counts)
        scaled = vectors / np.where(self.values > 0, self.values, np.inf)
        placed = spectral.spread(graph.items_of, graph.item_starts, met + mean, spectral.degrees(counts), scaled)
        # With few interactions the vector would lie near the origin, and the id would share rows
        # with ids that hardly anybody has met.
        counted = np.maximum(met, LATER_DEGREES * mean)
        placed *= (counted / np.maximum(met, 1) * np.sqrt((met + mean) / (counted + mean)))[:, np.newaxis]
        return placed.astype(np.float32), met > 0


class Pairs(NamedTuple):
    """Checked interactions."""

    users: IntArray
    items: IntArray
    num_users: int
    num_items: int


def read_pairs(user_ids: ArrayLike, item_ids: ArrayLike, num_users: int, num_items: int) -> Pairs:
    """
    Check interactions: two arrays of the same length, in range.

    Sizes are returned as Python integers, which do not overflow.
    """
    arrays, sizes = [], []
    for name, ids, number in (("user", user_ids, num_users), ("item", item_ids, num_items)):
        size = _check.positive_int(number, f"num_{name}s")
        if size > MOST_IDS:
            raise ValueError(f"`num_{name}s` must be at most 2**40, not {size}.")
        array = check_ids(ids, size, f"{name}_ids")
        if array.ndim != 1:
            raise ValueError(f"`{name}_ids` must have one dimension, not {array.ndim}.")
        arrays.append(array)
        sizes.append(size)
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(f"`item_ids` must be as many as `user_ids`, {len(arrays[0])}, not {len(arrays[1])}.")
    if sizes[0] * sizes[1] > 2**63:
        raise ValueError(f"`num_users` times `num_items` must be at most 2**63, not {sizes[0] * sizes[1]}.")
    return Pairs(arrays[0], arrays[1], sizes[0], sizes[1])
