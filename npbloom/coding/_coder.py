"""`BloomCoder`: Bloom embeddings as Serrà and Karatzoglou (2017) describe them, with recovery and co-occurrence."""

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
    Binary vectors over many items, encoded in few bits, and items ranked by a distribution over these bits.

    Each item q has k bits :math:`H_1(q), \dots, H_k(q)` of m. An instance, a set of items such as all that a user has met, is
    encoded as the union of its items' bits: :math:`u_b = 1` where some item p and some j have :math:`H_j(p) = b`, else 0. A
    network learns from such vectors to predict such vectors; from its softmax output v, items are ranked by their likelihood
    :math:`\sum_j \log v_{H_j(q)}`.

    Parameters
    ----------
    num_items : int
        Number of items: ``0 <= item < num_items``.
    num_bits : int
        Length m of the encoded vectors, 1 to ``2**31``, and at least `num_hashes` where the table is drawn.
    num_hashes : int, default 4
        Bits of an item, k. One is the hashing trick. With a `table` it is the table's width.
    rng : numpy.random.Generator or int, optional
        Source of the table: the same seed gives the same table. None: fresh entropy.
    table : int array, shape (num_items, k), optional
        The bits of each item, instead of drawing them; copied. An item may have the same bit twice.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    See Also
    --------
    npbloom.BloomEmbedding : Hashed ids in a table of vectors; it takes a coder's `table` as its ``hash_table``.

    Notes
    -----
    L35 to L39. A drawn row has k different bits, uniformly without replacement; the table takes 4 k bytes an item. `murmur`
    makes a coder that needs none. Neither kind can be changed: `with_cooccurrence` gives a new one.

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse binary input/output
       networks", RecSys 2017.

    Examples
    --------
    >>> coder = BloomCoder(4, 5, table=[[0, 1], [1, 2], [3, 4], [0, 4]])
    >>> bits, offsets = coder.encode([0, 1, 2], [0, 2])      # items 0 and 1 share bit 1, which is set once
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
        A coder whose bits are hashed on the fly: no table, no generator, the same bits everywhere.

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
            One whose `table` is None.

        Raises
        ------
        TypeError, ValueError
            An argument is of the wrong kind or out of its range.

        Notes
        -----
        The bits of an item are the rows of ``BloomEmbedding(num_items, d, num_rows=num_bits, padding_idx=None)`` (L20). So they
        may coincide, for about k (k - 1) / 2m of all items: such an item sets fewer bits, and counts one twice in its likelihood.

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
        """The bits of every item, (num_items, num_hashes), read-only; None where they are hashed on the fly."""
        return self._hashing.table

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return 0 if self.table is None else self.table.nbytes

    def __repr__(self) -> str:
        """The sizes, and where the bits come from."""
        kind = ".murmur" if self.table is None else ""
        return f"BloomCoder{kind}({self.num_items}, {self.num_bits}, {self.num_hashes})  # {self.nbytes:,} bytes"

    def hash_rows(self, items: ArrayLike) -> IntArray:
        """
        The bits of items.

        Parameters
        ----------
        items : int array, any shape
            Each in ``[0, num_items)``.

        Returns
        -------
        int64 array, shape items.shape + (num_hashes,)
            In the order of the table, or of the hash functions.

        Raises
        ------
        TypeError, IndexError
            `items` is not an integer array, or out of range.
        """
        return hash_rows(items, self._hashing)

    def encode(self, items: ArrayLike, offsets: ArrayLike | None = None) -> tuple[IntArray, IntArray]:
        """
        The bits of instances, sparse.

        Parameters
        ----------
        items : int array, shape (total,) or (n, length)
            The items of all instances, each in ``[0, num_items)``. Two dimensions: each row is an instance, and `offsets` must
            be None.
        offsets : int array, shape (n,), optional
            For 1-D items: where each instance starts. The first starts at 0, the last runs to the end (L13).

        Returns
        -------
        bits : int64 array
            The distinct bits of each instance in increasing order, flat.
        offsets : int64 array, shape (n,)
            Where each instance's bits start: what ``ScaledEmbeddingBag(num_bits, d, mode="sum")`` takes.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets.

        Notes
        -----
        L36: an OR, not a count. An instance without items has no bits.

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
        The bits of instances as rows of zeros and ones.

        Parameters
        ----------
        items, offsets : int array
            As in `encode`.
        dtype : dtype, default float32
            Of the result: bool, or integers or floats of any width.

        Returns
        -------
        array, shape (n, num_bits)
            1 where a bit is set, however often.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets; `dtype` is of no real numbers.

        Examples
        --------
        >>> BloomCoder(3, 4, table=[[3, 0], [0, 1], [2, 2]]).encode_dense([[0, 1], [2, 2]], dtype=int)
        array([[1, 1, 0, 1],
               [0, 0, 1, 0]])
        """
        return ops.encode_dense(items, self._hashing, offsets, dtype=dtype)

    def log_likelihood(self, log_probs: ArrayLike, prior: ArrayLike | None = None) -> FloatArray:
        r"""
        The likelihood of every item, and a prior beside it where there is one.

        Parameters
        ----------
        log_probs : float array, shape (n, num_bits)
            Logarithms of the probabilities that a network gives the bits, for each instance.
        prior : float array, shape (num_items,), optional
            What is added for each item, whatever the instance: k times the logarithm of how often it occurs tells items apart
            that share bits. What that keeps of a network's score is measured in docs/coding.md.

        Returns
        -------
        array, shape (n, num_items), dtype of log_probs
            :math:`\pi_q + \sum_j \log v_{H_j(q)}` for item q of prior :math:`\pi_q`, by default 0.

        Raises
        ------
        TypeError, ValueError
            `log_probs` or `prior` is not a real floating array, or not of these sizes.

        Notes
        -----
        L37: summed in float64 from the prior on, j = 1 to k, and rounded once. NaN and infinity flow as IEEE 754 says. `top_k`
        needs no array of this size.

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
        The k items of highest likelihood, or score with a prior, for each instance, best first.

        Parameters
        ----------
        log_probs : float array, shape (n, num_bits)
            As in `log_likelihood`.
        k : int
            How many, at most `num_items`.
        exclude : pair of int arrays, list of n int arrays, or 2-D int array, optional
            Items that an instance must not get: ``(items, offsets)`` as in `encode`, or one list for each instance, or one row.
        prior : float array, shape (num_items,), optional
            As in `log_likelihood`.

        Returns
        -------
        items : int64 array, shape (n, k)
            Of equal likelihoods the lower item comes first. Where so many are excluded that fewer than k are left, the rest is
            -1.
        scores : array, shape (n, k), dtype of log_probs
            Their likelihoods, with the bits of `log_likelihood`; -inf where there is no item.

        Raises
        ------
        TypeError, ValueError
            `log_probs` or `prior` does not fit, `k` is not in range, or `exclude` is not of n instances.
        IndexError
            An excluded item is out of range.

        Notes
        -----
        L38. NaN ranks below everything, -inf included. Only the scores of a few hundred items are held at a time.

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
        A coder in which items that occur together share bits: co-occurrence-based collisions, the paper's algorithm 1.

        Parameters
        ----------
        items, offsets : int array
            Instances, as in `encode`: what the network is to be trained on.
        rng : numpy.random.Generator or int, optional
            Source of the bits and their places: the same seed gives the same table. None: fresh entropy.

        Returns
        -------
        BloomCoder
            A new one, with a table; this one stays as it is.

        Raises
        ------
        TypeError, IndexError, ValueError
            The items are not integers, are out of range, or do not fit the offsets.

        Notes
        -----
        L39. With X the binary matrix of instances by items, :math:`C = X^T X` counts how often two items occur together. Of the
        pairs of different items those are kept whose count exceeds the average frequency of an item, the number of ones in X by
        `num_items`. In order of increasing count, pairs of equal count in the order of their items, each pair is given a bit that
        neither item has, drawn uniformly; it replaces one bit of each item, in places drawn uniformly. So the pairs that occur
        together most often are written last and keep their bit. A pair whose items have all bits between them is passed over.
        The paper leaves open what happens at the threshold (such pairs are left out here), the order of equal counts, and
        repeated items of an instance (they count once).

        C is never held: what is needed is counted item by item, for items frequent enough to be in a pair. MovieLens latest-small
        (100,836 events, 367,893 pairs) took 0.2 s, Amazon Beauty (353,962 events, 54,543 items, 19,940 pairs) 0.1 s, on two
        cores.

        Examples
        --------
        >>> coder = BloomCoder(4, 8, table=[[0, 1], [2, 3], [4, 5], [6, 7]])
        >>> shared = coder.with_cooccurrence([[0, 1], [0, 1], [0, 1], [2, 3]], rng=0)      # an item occurs twice on average
        >>> np.intersect1d(*shared.table[[0, 1]]).size, shared.table[[2, 3]]
        (1, array([[4, 5],
               [6, 7]], dtype=int32))
        """
        table = ops.with_cooccurrence(items, self._hashing, offsets, _check.generator(rng))
        return type(self)(self.num_items, self.num_bits, table=table)


def _check_sizes(num_items: Any, num_bits: Any, num_hashes: Any) -> tuple[int, int, int]:
    """The three sizes as integers in range."""
    items, bits = _check.positive_int(num_items, "num_items"), _check.positive_int(num_bits, "num_bits")
    width = _check.positive_int(num_hashes, "num_hashes")
    if bits > MAX_TABLE_ROWS:
        raise ValueError(f"`num_bits` must lie in [1, 2**31], not {bits}.")
    if items > 2**63:
        raise ValueError(f"`num_items` must lie in [1, 2**63], not {items}.")
    return items, bits, width


def _check_table(table: Any, num_items: int, num_bits: int) -> npt.NDArray[np.int32]:
    """A table of the caller's: (num_items, k) integers in [0, num_bits)."""
    array = _check.ids(table, "table")
    if array.ndim != 2 or array.shape[0] != num_items or array.shape[1] < 1:
        raise ValueError(f"`table` must have shape ({num_items}, k) with k >= 1, not {array.shape}.")
    bad = np.flatnonzero((array < 0) | (array >= num_bits))
    if bad.size:
        raise ValueError(
            f"`table` must hold bits in [0, {num_bits}), not {array.flat[bad[0]]}{_check.position(bad[0], array.shape)}."
        )
    return array.astype(np.int32)
