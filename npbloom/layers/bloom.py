"""Many ids in a small table: `BloomEmbedding`, and bags of hashed ids: `BloomEmbeddingBag`."""

from __future__ import annotations

from typing import Any, final

import numpy.typing as npt

from npbloom import _check, ops
from npbloom.layers._bag import BagLayer
from npbloom.layers._bloom import BloomOptions, BloomTable, warn_precompute
from npbloom.ops._backward import Contributions, bloom_bag_contributions, bloom_contributions
from npbloom.ops._bags import MODES
from npbloom.ops._forward import bloom_output
from npbloom.types import ArrayLike, FloatArray, Rng, RowGrad


@final
class BloomEmbedding(BloomTable):
    """
    Embedding of many ids in a small table: each id is the sum of the k rows that its hashes name.

    Parameters
    ----------
    num_embeddings : int
        Number of ids, up to ``2**63``; above ``2**31`` ids are hashed as eight bytes (L20).
    embedding_dim : int
        Length of a row.
    compression_ratio : float, default 0.2
        The table has ``int(compression_ratio * num_embeddings)`` rows. Ratios above 1 are allowed.
    num_hash_functions : int, default 4
        Probes an id makes, 1 to 24.
    bag : bool, default False
        Accepted for compatibility: one path serves both values, with the same bits (L23).
    padding_idx : int or None, default 0
        This id's output is exactly zero and has no gradient; table row 0 is reserved then (L22).
    num_rows : int, optional
        Rows of the table, instead of a ratio. An open vocabulary:
        ``BloomEmbedding(2**63, 64, num_rows=100_000)``.
    hash_table : int array, shape (num_embeddings, k), optional
        Rows of each id, instead of the hash; copied.
    combine : {"sum", "mean", "concat"}
        Sum of the k rows, their mean, or slice j of width d/k from the row of probe j.
    share_padding_row : bool, default True
        Other ids may probe row 0, as in Spotlight. They lose that probe; about ``k / m`` of all
        ids do.
    precompute_hashes : bool, optional
        Deprecated, without effect: ids are hashed when they are looked up. Leave it out.
    dtype, rng, weight : optional
        As in `ScaledEmbedding`; `weight` has shape (rows, embedding_dim).

    Attributes
    ----------
    compressed_num_embeddings : int
        Rows of the table.
    hashing : HashSpec
        How ids become rows, for `npbloom.ops`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range. For too small a ratio the message
        says which is large enough.

    Notes
    -----
    L19 to L23. The hash is Spotlight's, bit for bit. Unlike Spotlight, `bag=True` returns the right
    vectors, and every `padding_idx` is a padding id.

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse
       binary input/output networks", RecSys 2017.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0], [10.0], [100.0]])
    >>> layer = BloomEmbedding(3, 1, num_rows=4, hash_table=[[0, 0], [1, 2], [3, 3]], weight=table)
    >>> layer.forward([0, 1, 2])                  # id 0 is padding; both probes of id 2 meet row 3
    array([[  0.],
           [ 11.],
           [200.]])
    >>> layer.backward([1, 2], [[1.0], [10.0]]).to_dense().ravel()
    array([ 0.,  1.,  1., 20.])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        compression_ratio: float = 0.2,
        num_hash_functions: int = 4,
        bag: bool = False,
        padding_idx: int | None = 0,
        *,
        num_rows: int | None = None,
        hash_table: ArrayLike | None = None,
        combine: str = "sum",
        share_padding_row: bool = True,
        precompute_hashes: bool | None = None,
        dtype: npt.DTypeLike | None = None,
        rng: Rng = None,
        weight: FloatArray | None = None,
    ) -> None:
        self.bag = _check.flag(bag, "bag")
        warn_precompute(precompute_hashes)
        sizes = (num_embeddings, embedding_dim, compression_ratio, num_hash_functions, padding_idx, num_rows)
        options = BloomOptions(*sizes, hash_table, combine, share_padding_row)
        self._set_bloom(options, dtype, rng, weight, bag=self.bag)

    def forward(self, ids: ArrayLike) -> FloatArray:
        """
        Look up one vector for each id.

        Parameters
        ----------
        ids : int array, any shape
            Each in ``[0, num_embeddings)``.

        Returns
        -------
        array, shape ids.shape + (embedding_dim,)
            Exactly zero for the padding id.

        Raises
        ------
        TypeError, IndexError
            `ids` is not an integer array, or out of range.

        Notes
        -----
        L21, L22. Never writes.
        """
        return bloom_output(self.checked_table(), _check.ids(ids, "ids", self.num_embeddings), self.hashing, self.combine)

    __call__ = forward

    def backward(self, ids: ArrayLike, grad_out: ArrayLike, *, sparse: bool | None = None) -> RowGrad | FloatArray:
        """
        Gradient of `forward` with respect to the table.

        Parameters
        ----------
        ids : int array, any shape
            The ids that were looked up.
        grad_out : float array, shape ids.shape + (embedding_dim,)
            Gradient of the loss with respect to the output; rounded to the dtype of the table
            first.
        sparse : bool, optional
            False for an array of the table's shape; a RowGrad by default (L12).

        Returns
        -------
        RowGrad or array, shape of the table
            Never the reserved row. With "concat" a RowGrad's rows are slices ``r * k + j`` of width
            d/k (L21).

        Raises
        ------
        TypeError, IndexError, ValueError
            `ids` or `grad_out` do not fit.
        """
        sparse = True if sparse is None else _check.flag(sparse, "sparse")
        return self._gradient(self._contributions(ids, grad_out), sparse)

    def _contributions(self, ids: Any, grad_out: Any) -> Contributions:
        return bloom_contributions(ids, grad_out, self.hashing, self.combine, dim=self.embedding_dim, dtype=self.dtype)


@final
class BloomEmbeddingBag(BagLayer, BloomTable):
    """
    Bags over hashed ids: a user as the mean of hashed items, in one pass.

    Parameters
    ----------
    num_embeddings, embedding_dim, compression_ratio, num_hash_functions : int, int, float, int
        As in `BloomEmbedding`.
    mode : {"mean", "sum", "max"}
        How a bag is reduced.
    padding_idx : int or None, default 0
        Entries with this id are left out of sum, count and maximum; table row 0 is reserved then.
    include_last_offset : bool, default False
        The last entry of `offsets` is the number of indices and no bag.
    num_rows, hash_table, combine, share_padding_row : optional
        As in `BloomEmbedding`.
    precompute_hashes, dtype, rng, weight : optional
        As in `BloomEmbedding`.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    Notes
    -----
    L23b: the terms of a bag are its ids' vectors. There is no max_norm and no
    frequency scaling.

    Examples
    --------
    >>> table = np.array([[0.0], [1.0], [10.0], [100.0]])
    >>> rows = [[0, 0], [1, 2], [3, 3]]
    >>> layer = BloomEmbeddingBag(3, 1, num_rows=4, hash_table=rows, weight=table)
    >>> layer.forward([[1, 2], [2, 0]])           # the mean leaves padding out
    array([[105.5],
           [200. ]])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        compression_ratio: float = 0.2,
        num_hash_functions: int = 4,
        mode: str = "mean",
        padding_idx: int | None = 0,
        *,
        include_last_offset: bool = False,
        num_rows: int | None = None,
        hash_table: ArrayLike | None = None,
        combine: str = "sum",
        share_padding_row: bool = True,
        precompute_hashes: bool | None = None,
        dtype: npt.DTypeLike | None = None,
        rng: Rng = None,
        weight: FloatArray | None = None,
    ) -> None:
        self.mode = _check.choice(mode, "mode", MODES)
        self.include_last_offset = _check.flag(include_last_offset, "include_last_offset")
        warn_precompute(precompute_hashes)
        sizes = (num_embeddings, embedding_dim, compression_ratio, num_hash_functions, padding_idx, num_rows)
        options = BloomOptions(*sizes, hash_table, combine, share_padding_row)
        self._set_bloom(options, dtype, rng, weight, mode=self.mode, include_last_offset=self.include_last_offset)

    def forward(
        self, indices: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> FloatArray:
        """
        Reduce each bag of ids to one vector.

        Parameters
        ----------
        indices, offsets, per_sample_weights : array
            As in `ScaledEmbeddingBag.forward`, with ids in ``[0, num_embeddings)``.

        Returns
        -------
        array, shape (bags, embedding_dim)
            A bag with no entry, or with padding only, is zero.

        Raises
        ------
        TypeError, IndexError, ValueError
            See `npbloom.ops.bloom_bag_forward`.
        """
        return ops.bloom_bag_forward(
            self.checked_table(),
            indices,
            self.hashing,
            offsets,
            per_sample_weights,
            mode=self.mode,
            include_last_offset=self.include_last_offset,
            combine=self.combine,
        )

    __call__ = forward

    def _weight_gradients(self, indices: ArrayLike, grad_out: ArrayLike, offsets: ArrayLike | None) -> FloatArray:
        return ops.bloom_bag_backward_weights(
            self.checked_table(),
            indices,
            grad_out,
            self.hashing,
            offsets,
            include_last_offset=self.include_last_offset,
            combine=self.combine,
        )

    def _contributions(self, ids: Any, grad_out: Any, offsets: Any = None, per_sample_weights: Any = None) -> Contributions:
        options = (self.mode, self.include_last_offset, self.combine)
        return bloom_bag_contributions(self.checked_table(), ids, grad_out, self.hashing, offsets, per_sample_weights, *options)
