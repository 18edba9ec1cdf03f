"""`BloomCoder`: the Bloom embeddings of Serrà and Karatzoglou (2017), with recovery and CBE."""

from __future__ import annotations

from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.ops import coding as ops
from npbloom.ops import hash_rows
from npbloom.types import MAX_TABLE_ROWS, SPOTLIGHT_SEEDS, ArrayLike, FloatArray, HashSpec, IntArray, Rng


@final
class BloomCoder:
    r"""
    A code of sets of items in few bits, and a ranking of items by a distribution over these bits.

    Each item q has k bits :math:`H_1(q), \dots, H_k(q)` of m. An instance is a set of items, such
    as all items that a user has met. It is encoded as the union of its items' bits: :math:`u_b = 1`
    if some item p and some j have :math:`H_j(p) = b`, else 0. A network learns to predict such
    vectors from such vectors. Its softmax output v ranks items by their likelihood
    :math:`\sum_j \log v_{H_j(q)}`.

    Parameters
    ----------
    num_items : int
        Number of items: ``0 <= item < num_items``.
    num_bits : int
        Length m of the encoded vectors, 1 to ``2**31``, and at least `num_hashes` if the table is
        drawn.
    num_hashes : int, default 4
        Bits of an item, k. k = 1 is the hashing trick. With a `table` k is the table's width.
    rng : numpy.random.Generator or int, optional
        Source of the table; the same seed gives the same table. None takes fresh entropy.
    table : int array, shape (num_items, k), optional
        Bits of each item, instead of drawn ones; copied. An item may have the same bit twice.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    See Also
    --------
    npbloom.BloomEmbedding : Layer of hashed ids; its ``hash_table`` may be a coder's `table`.

    Notes
    -----
    Laws L35 to L39. A drawn row has k different bits, uniformly without replacement; the table
    takes 4 k bytes an item. A coder of `murmur` has no table. Coders do not change:
    `with_cooccurrence` returns a new one.

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse
       binary input/output networks", RecSys 2017.

    Examples
    --------
    >>> coder = BloomCoder(4, 5, table=[[0, 1], [1, 2], [3, 4], [0, 4]])
    >>> bits, offsets = coder.encode([0, 1, 2], [0, 2])      # items 0 and 1 share bit 1
    >>> bits, offsets
    (array([0, 1, 2, 3, 4]), array([0, 3]))
    >>> coder.top_k(np.log([[0.3, 0.2, 0.1, 0.1, 0.3]]), k=2)[0]
    array([[3, 0]])
    """

    def __init__(
        self,
        num_items: int,
        num_bits: int,
        num_hashes: int = 4,
        *,
        rng: Rng = None,
        table: ArrayLike | None = None,
    ) -> None:
        items, bits, width = _check_sizes(num_items, num_bits, num_hashes)
        if table is not None:
            if rng is not None:
                raise ValueError("`rng` must be None with a `table`, which is taken as it is.")
            own = _check_table(table, items, bits)
            if width not in (4, own.shape[1]):
                raise ValueError(f"`num_hashes` must be the width of the table, {own.shape[1]}, not {width}.")
        else:
            if width > bits:
                raise ValueError(f"`num_hashes` must be at most `num_bits`, {bits}, for different bits, not {width}.")
            own = ops.draw_table(items, bits, width, _check.generator(rng))
        self._hashing = HashSpec(items, bits, table=own)

    @classmethod
    def murmur(cls, num_items: int, num_bits: int, num_hashes: int = 4) -> Self:
        """
        Return a coder that hashes bits on the fly: no table, and the same bits everywhere.

        Parameters
        ----------
        num_items : int
            Number of items, up to ``2**63``.
        num_bits : int
            Length m of the encoded vectors, 1 to ``2**31``.
        num_hashes : int, default 4
            Bits of an item, 1 to 24.

        Returns
        -------
        BloomCoder
            A coder whose `table` is None.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or out of its range.

        Notes
        -----
        The bits of an item are the rows of
        ``BloomEmbedding(num_items, d, num_rows=num_bits, padding_idx=None)`` (L20). So two bits of
        an item may coincide, for about k (k - 1) / 2m of all items. Such an item sets fewer bits,
        and one bit counts twice in its likelihood.

        Examples
        --------
        >>> BloomCoder.murmur(3, 100, 2).hash_rows([1, 2])
        array([[ 1, 32],
               [61, 52]])
        """
        items, bits, width = _check_sizes(num_items, num_bits, num_hashes)
        if width > len(SPOTLIGHT_SEEDS):
            raise ValueError(f"`num_hashes` must lie in [1, {len(SPOTLIGHT_SEEDS)}], not {width}.")
        coder = cls.__new__(cls)
        coder._hashing = HashSpec(items, bits, width)
        return coder

    @property
    def num_items(self) -> int:
        """Number of items."""
        return self._hashing.num_embeddings

    @property
    def num_bits(self) -> int:
        """Length of the encoded vectors."""
        return self._hashing.num_rows

    @property
    def num_hashes(self) -> int:
        """Bits of an item."""
        return self._hashing.num_hash_functions

    @property
    def table(self) -> npt.NDArray[np.int32] | None:
        """Bits of every item, (num_items, num_hashes), read-only; None if they are hashed."""
        return self._hashing.table

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return 0 if self.table is None else self.table.nbytes

    def __repr__(self) -> str:
        """Return the sizes, and the constructor that made the coder."""
        kind = ".murmur" if self.table is None else ""
        return f"BloomCoder{kind}({self.num_items}, {self.num_bits}, {self.num_hashes})  # {self.nbytes:,} bytes"

    def hash_rows(self, items: ArrayLike) -> IntArray:
        """
        Return the bits of items.

        Parameters
        ----------
        items : int array, any shape
            Items, each in ``[0, num_items)``.

        Returns
        -------
        int64 array, shape items.shape + (num_hashes,)
            Bits in the order of the table, or of the hash functions.

        Raises
        ------
        TypeError, IndexError
            `items` is not an integer array, or out of range.
        """
        return hash_rows(items, self._hashing)

    def encode(self, items: ArrayLike, offsets: ArrayLike | None = None) -> tuple[IntArray, IntArray]:
        """
        Encode instances as the positions of their bits.

        Parameters
        ----------
        items : int array, shape (total,) or (n, length)
            Items of all instances, each in ``[0, num_items)``. If two-dimensional, each row is an
            instance and `offsets` must be None.
        offsets : int array, shape (n,), optional
            Start of each instance, for 1-D items. The first starts at 0, and the last ends with the
            items (L13).

        Returns
        -------
        bits : int64 array
            Distinct bits of each instance in increasing order, flat.
        offsets : int64 array, shape (n,)
            Start of each instance's bits. ``ScaledEmbeddingBag(num_bits, d, mode="sum")`` takes
            both arrays.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets.

        Notes
        -----
        Law L36. A bit that several items set occurs once. An instance without items has no bits.

        Examples
        --------
        >>> BloomCoder(3, 9, table=[[8, 0], [0, 5], [7, 7]]).encode([1, 0, 2], offsets=[0, 0, 2])
        (array([0, 5, 8, 7]), array([0, 0, 3]))
        """
        return ops.encode(items, self._hashing, offsets)

    def encode_dense(
        self, items: ArrayLike, offsets: ArrayLike | None = None, *, dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """
        Encode instances as rows of zeros and ones.

        Parameters
        ----------
        items, offsets : int array
            Items and offsets as in `encode`.
        dtype : dtype, default float32
            Dtype of the result: bool, or integers or floats of any width.

        Returns
        -------
        array, shape (n, num_bits)
            1 for a bit that is set, however often, else 0.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets; or `dtype` is
            not bool, integer or floating.

        Examples
        --------
        >>> coder = BloomCoder(3, 4, table=[[3, 0], [0, 1], [2, 2]])
        >>> coder.encode_dense([[0, 1], [2, 2]], dtype=int)
        array([[1, 1, 0, 1],
               [0, 0, 1, 0]])
        """
        return ops.encode_dense(items, self._hashing, offsets, dtype=dtype)

    def log_likelihood(self, log_probs: ArrayLike, prior: ArrayLike | None = None) -> FloatArray:
        r"""
        Return the log-likelihood of every item, plus a prior if one is given.

        Parameters
        ----------
        log_probs : float array, shape (n, num_bits)
            Logarithms of the probabilities that a network gives the bits, for each instance.
        prior : float array, shape (num_items,), optional
            Number added to the score of each item, in every instance. k times the logarithm of an
            item's count tells apart items that share bits. docs/coding.md has measurements of the
            score that this keeps.

        Returns
        -------
        array, shape (n, num_items), dtype of log_probs
            :math:`\pi_q + \sum_j \log v_{H_j(q)}` for item q with prior :math:`\pi_q`, by default
            0.

        Raises
        ------
        TypeError, ValueError
            `log_probs` or `prior` is not a real floating array, or not of these sizes.

        Notes
        -----
        Law L37. Sums are in float64, from the prior on, j = 1 to k, and rounded once. NaN and
        infinity follow IEEE 754. `top_k` needs no array of this size.

        Examples
        --------
        >>> coder = BloomCoder(3, 3, table=[[0, 1], [1, 2], [2, 0]])
        >>> coder.log_likelihood([[-1.0, -2.0, -4.0]])
        array([[-3., -6., -5.]])
        >>> coder.log_likelihood([[-1.0, -2.0, -4.0]], prior=[0.5, 4.0, 0.0])
        array([[-2.5, -2. , -5. ]])
        """
        return ops.log_likelihood(log_probs, self._hashing, prior)

    def top_k(
        self,
        log_probs: ArrayLike,
        k: int,
        exclude: tuple[ArrayLike, ArrayLike | None] | list[Any] | IntArray | None = None,
        prior: ArrayLike | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """
        Return the k items with the highest scores for each instance, best first.

        Parameters
        ----------
        log_probs : float array, shape (n, num_bits)
            Log-probabilities as in `log_likelihood`.
        k : int
            Number of items, at most `num_items`.
        exclude : pair of int arrays, list of n int arrays, or 2-D int array, optional
            Items that an instance must not get: ``(items, offsets)`` as in `encode`, or one list
            for each instance, or one row for each.
        prior : float array, shape (num_items,), optional
            Prior as in `log_likelihood`.

        Returns
        -------
        items : int64 array, shape (n, k)
            Of equal scores the lower item comes first. If fewer than k items are left, the other
            entries are -1.
        scores : array, shape (n, k), dtype of log_probs
            Scores with the bits of `log_likelihood`; -inf where there is no item.

        Raises
        ------
        TypeError, ValueError
            `log_probs` or `prior` does not fit, `k` is not in range, or `exclude` is not of n
            instances.
        IndexError
            An excluded item is out of range.

        Notes
        -----
        Law L38. NaN ranks below everything, -inf included. Only the scores of a few hundred items
        are in memory at a time.

        Examples
        --------
        >>> coder = BloomCoder(3, 3, table=[[0, 1], [1, 2], [2, 0]])
        >>> coder.top_k([[-1.0, -2.0, -4.0]], 2)
        (array([[0, 2]]), array([[-3., -5.]]))
        >>> coder.top_k([[-1.0, -2.0, -4.0]], 2, exclude=([0, 1], [0]))
        (array([[ 2, -1]]), array([[ -5., -inf]]))
        """
        return ops.top_k(log_probs, self._hashing, k, exclude, prior)

    def with_cooccurrence(self, items: ArrayLike, offsets: ArrayLike | None = None, rng: Rng = None) -> Self:
        r"""
        Return a coder in which items that occur together share bits.

        These are the paper's co-occurrence-based collisions (CBE), its algorithm 1.

        Parameters
        ----------
        items, offsets : int array
            Instances as in `encode`: those that the network is to be trained on.
        rng : numpy.random.Generator or int, optional
            Source of the bits and their places; the same seed gives the same table. None takes
            fresh entropy.

        Returns
        -------
        BloomCoder
            A new coder, with a table; this one does not change.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets.

        Notes
        -----
        Law L39. With X the binary matrix of instances by items, :math:`C = X^T X` counts how often
        two items occur together. A pair of different items is kept if its count exceeds the average
        frequency of an item, which is the number of ones in X divided by `num_items`. Pairs are
        taken in order of increasing count, and of items among equal counts. Each pair gets a bit
        that neither item has, drawn uniformly. The bit replaces one bit of each item, at places
        drawn uniformly. So the pairs that occur together most often are written last and keep
        their bit. A pair is skipped if its items have all bits between them. The paper leaves three
        things open: pairs at the threshold (here they are left out), the order of equal counts, and
        repeated items of an instance (here they count once).

        C is never in memory: counts are computed item by item, for items frequent enough to be in a
        pair. MovieLens latest-small (100,836 events, 367,893 pairs) took 0.2 s, Amazon Beauty
        (353,962 events, 54,543 items, 19,940 pairs) 0.1 s, on two cores.

        Examples
        --------
        >>> coder = BloomCoder(4, 8, table=[[0, 1], [2, 3], [4, 5], [6, 7]])
        >>> instances = [[0, 1], [0, 1], [0, 1], [2, 3]]     # an item occurs twice on average
        >>> shared = coder.with_cooccurrence(instances, rng=0)
        >>> np.intersect1d(*shared.table[[0, 1]]).size, shared.table[[2, 3]]
        (1, array([[4, 5],
               [6, 7]], dtype=int32))
        """
        table = ops.with_cooccurrence(items, self._hashing, offsets, _check.generator(rng))
        return type(self)(self.num_items, self.num_bits, table=table)


def _check_sizes(num_items: Any, num_bits: Any, num_hashes: Any) -> tuple[int, int, int]:
    """Return the three sizes as integers in range."""
    items, bits = _check.positive_int(num_items, "num_items"), _check.positive_int(num_bits, "num_bits")
    width = _check.positive_int(num_hashes, "num_hashes")
    if bits > MAX_TABLE_ROWS:
        raise ValueError(f"`num_bits` must lie in [1, 2**31], not {bits}.")
    if items > 2**63:
        raise ValueError(f"`num_items` must lie in [1, 2**63], not {items}.")
    return items, bits, width


def _check_table(table: Any, num_items: int, num_bits: int) -> npt.NDArray[np.int32]:
    """Return an int32 copy of the caller's table, (num_items, k) integers in [0, num_bits)."""
    array = _check.ids(table, "table")
    if array.ndim != 2 or array.shape[0] != num_items or array.shape[1] < 1:
        raise ValueError(f"`table` must have shape ({num_items}, k) with k >= 1, not {array.shape}.")
    bad = np.flatnonzero((array < 0) | (array >= num_bits))
    if bad.size:
        raise ValueError(
            f"`table` must hold bits in [0, {num_bits}), not {array.flat[bad[0]]}{_check.position(bad[0], array.shape)}."
        )
    return array.astype(np.int32)
