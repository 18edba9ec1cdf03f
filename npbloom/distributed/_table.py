"""A table that is cut over the ranks of a communicator: `ShardedTable`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, final

import numpy as np
import numpy.typing as npt

from npbloom import _arrays, _check, ops
from npbloom.checkpoint._structure import LAYERS
from npbloom.distributed import _kinds
from npbloom.distributed._channel import Channel, attempt, channel_of
from npbloom.layers import Layer
from npbloom.layers._table import NoTable
from npbloom.ops._backward import Contributions
from npbloom.ops._forward import gather, norm_limits, renormalise
from npbloom.ops._initial import fill_normal_part, seed_words
from npbloom.ops._sharded import Terms, block_bounds, distinct_places, owned_contributions
from npbloom.types import ArrayLike, FloatArray, IntArray, Rng, RowArray, RowGrad, as_integer

Result = TypeVar("Result")


class _Asked(NamedTuple):
    """Rows that this rank asks of others, and those that others ask of it."""

    batch: _kinds.Batch
    places: RowArray  # (n, k) of the rows among `asked`, or among those and a row of zeros
    asked: IntArray  # (size,) rows asked of each rank
    wanted: IntArray  # (size,) rows that each rank asks for
    rows: RowArray  # (wanted.sum(),) rows of this block
    most: int
    grad: FloatArray | None  # (outputs, d) of the output, where one is given


class _Ranks:
    """Collective forms of what a layer in one process does alone; `Layer` calls them."""

    def __init__(self, table: ShardedTable) -> None:
        self._table = table
        self.kind, self.rank, self.size = table.kind, table.rank, table.size
        self.rows, self.num_rows = table.rows, table.num_rows

    def beside(self, other: _Ranks) -> bool:
        """Return True for the table of another one's communicator."""
        return self._table._channel is other._table._channel

    def agree(self, call: str, work: Callable[[], Result]) -> Result:
        """Return the result of some work; all ranks raise if it fails on one."""
        return self._table._channel.agree(call, self._table._number, work)

    def shared(self, value: str) -> str:
        """Return the text of rank 0."""
        return str(self._table._channel.comm.bcast(value))

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all ranks."""
        return list(self._table._channel.comm.allgather(value))

    def prepared(
        self, ready: Callable[[], Result], ids: Any, grad_out: Any, **bag_arguments: Any
    ) -> tuple[Result, Contributions]:
        """Pair gradients with rows; an error of `ready` on one rank is one of all."""
        kept: list[Result] = []

        def check() -> None:
            kept.append(ready())

        contributions = self._table._exchanged(check, ids, grad_out, **bag_arguments)
        return kept[0], contributions

    def agreed(self, call: Callable[[], Result]) -> Result:
        """All ranks raise if the call fails on one: nothing is written then (L3)."""
        return self._table._channel.agree("update", self._table._number, call)

    def reset(self, rng: Rng) -> None:
        """Write the initial values; the source of rank 0 counts."""
        table = self._table

        def ready() -> tuple[FloatArray, np.random.Generator]:
            weight = table.checked_table()
            _check.writable(weight, "weight", "to be filled")
            return weight, _check.generator(rng)

        table._fill_block(*table._channel.agree("reset", table._number, ready))

    def described(self) -> str:
        """Return the layer, and the block of this rank."""
        table = self._table
        layer = repr(table._plain).partition("  #")[0]
        return f"ShardedTable of {layer}  # rank {table.rank} of {table.size}: rows {table.rows.start} to {table.rows.stop}"


@final
class ShardedTable(Layer):
    """
    A layer of npbloom whose rows lie on the ranks of an MPI communicator, a block on each.

    Optimizers train it as any layer, and keep the state of a block beside the block. Lookups and
    updates are collective: all ranks call them, each with its own part of the batch, of any length.

    Parameters
    ----------
    kind : type
        Class of the layer: ScaledEmbedding, ZeroEmbedding, ScaledEmbeddingBag, BloomEmbedding or
        BloomEmbeddingBag.
    *sizes
        Sizes and other arguments of that class, the same on all ranks.
    comm : mpi4py.MPI.Intracomm, optional
        Communicator; all processes by default.
    dtype : float32 or float64, optional
        Of the table; float32 by default, with `weight` its own.
    rng : numpy.random.Generator or int, optional
        Source of the initial values; that of rank 0 counts. The table has the bits of the plain
        layer with the same source.
    weight : array, shape (rows of this rank, embedding_dim), optional
        The block of this rank, adopted without a copy.
    **options
        Options of that class, the same on all ranks. A `hash_table` is held by every rank.

    Attributes
    ----------
    kind : type
        Class of the layer.
    rank, size : int
        This rank and their number.
    rows : range
        Rows of the table that this rank holds; `weight` has them in order.
    num_rows : int
        Rows of the whole table.

    Raises
    ------
    ImportError
        mpi4py is not installed, or finds no MPI.
    TypeError, ValueError
        An argument is of the wrong kind or out of its range, on this rank or on another.

    Notes
    -----
    L42: all ranks together leave the bits that one process leaves on the batch that is the parts in
    order of rank. An error on one rank is raised by all ranks, and names the rank; nothing is
    written then. `weight`, `table_shape`, `nbytes` and the state of an optimizer are those of the
    block, and ``optimizer.step(table, table.backward(...))`` is a step on the block. Start programs
    by ``mpiexec -n 4 python -m mpi4py program.py``: an exception of one rank ends all of them then.

    Examples
    --------
    One rank, without mpiexec; with four, each would pass ids of its own:

    .. code-block:: python

        from npbloom.distributed import ShardedTable

        users = ShardedTable(nb.BloomEmbedding, 1_000_000_000, 64, compression_ratio=0.2, rng=0)
        optimizer = nb.Adagrad(users, lr=0.05)
        out = users.forward([3, 141_592])
        optimizer.update(users, [3, 141_592], 2 * (out - 1))
        whole = users.gather(root=0)  # a BloomEmbedding on rank 0, None elsewhere
    """

    kind: type[Layer]
    rank: int
    size: int
    rows: range
    num_rows: int
    _channel: Channel
    _plain: Any  # the layer without its table
    _bounds: IntArray

    def __init__(
        self,
        kind: type[Layer],
        *sizes: Any,
        comm: Any = None,
        dtype: npt.DTypeLike | None = None,
        rng: Rng = None,
        weight: FloatArray | None = None,
        **options: Any,
    ) -> None:
        self._channel = channel = channel_of(comm)
        self._number = channel.tables
        channel.tables += 1
        make = partial(self._without_table, kind, sizes, dtype, weight, options)
        self._plain = plain = channel.agree("construct", self._number, make)
        spec = getattr(plain, "hashing", None)
        rows = b"" if spec is None or spec.table is None else hashlib.sha256(spec.table).digest()
        channel.expect_alike(type(plain).__name__, f"{plain!r} {plain.table_shape} {plain.dtype} {rows!r}")
        self.kind, self.rank, self.size = type(plain), channel.rank, channel.size
        self.num_embeddings, self.embedding_dim, self.padding_idx = plain.num_embeddings, plain.embedding_dim, plain.padding_idx
        self._options, self.num_rows = plain.options, plain.table_shape[0]
        self._bounds = block_bounds(self.num_rows, self.size)
        self.rows = range(int(self._bounds[self.rank]), int(self._bounds[self.rank + 1]))
        self._shape = (len(self.rows), self.embedding_dim)
        self.__dict__["bag_arguments"] = plain.bag_arguments
        self.__dict__["_zero"] = self.kind.__name__ == "ZeroEmbedding"
        if spec is not None:
            self.hashing = spec
        self._ranks = _Ranks(self)
        self._set_block(dtype, rng, weight)
        self._fix()

    @staticmethod
    def _without_table(kind: Any, sizes: Any, dtype: Any, weight: Any, options: dict[str, Any]) -> Any:
        """Make the layer without its table, to check its arguments."""
        if kind not in LAYERS.values():
            raise TypeError(f"`kind` must be one of {', '.join(LAYERS)}, not {_check.shown(kind)}.")
        if weight is not None and dtype is None:
            dtype = getattr(weight, "dtype", None)
        return kind(*sizes, weight=NoTable(dtype), **options)

    def _set_block(self, dtype: Any, rng: Rng, weight: Any) -> None:
        """Adopt the rows of this rank, or make them."""
        block, numbers = self._channel.agree(
            "construct",
            self._number,
            lambda: (self._memory(dtype, rng, weight), _check.generator(rng) if weight is None else None),
        )
        self._weight = block
        if numbers is not None:
            self._fill_block(block, numbers)

    def _memory(self, dtype: Any, rng: Rng, weight: Any) -> FloatArray:
        """Return checked memory of the block, which may have no rows."""
        if weight is None:
            return _arrays.empty(self._shape, self._plain.dtype)
        if len(self.rows):
            return self._adopted_table(dtype, rng, weight)
        _check.shape(np.asarray(weight), "weight", self._shape)
        return np.empty(self._shape, self._plain.dtype)

    def _fill_block(self, table: FloatArray, generator: np.random.Generator) -> None:
        """Write the initial values of the block: those of the whole table (L8)."""
        words = self._channel.comm.bcast(seed_words(generator))
        if self.kind.__name__ == "ZeroEmbedding":
            _arrays.fill(table, 0)
        else:
            fill_normal_part(table, self.rows.start * self.embedding_dim, 1.0 / self.embedding_dim, words)
        reserved = self.reserved_rows
        table[reserved.start : reserved.stop] = 0

    @property
    def reserved_rows(self) -> range:
        """Rows of the block that are never trained."""
        reserved, first = self._plain.reserved_rows, self.rows.start
        start, stop = max(reserved.start, first), min(reserved.stop, self.rows.stop)
        return range(start - first, stop - first) if start < stop else range(0)

    @property
    def num_slices(self) -> int:
        """Gradient rows in one row of the table: k where probes are concatenated, else 1 (L21)."""
        return int(self._plain.num_slices)

    # ---- lookups ---------------------------------------------------------------------------------

    def forward(
        self, ids: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> FloatArray:
        """
        Look up this rank's part of a batch; collective.

        Parameters
        ----------
        ids : int array
            As in `forward` of the layer's class; of any length on each rank, also empty.
        offsets, per_sample_weights : array, optional
            Of bags.

        Returns
        -------
        array
            Output of this rank's ids, as of the whole layer.

        Raises
        ------
        TypeError, IndexError, ValueError
            An argument does not fit, on any rank; all ranks raise the error of the lowest.
        RuntimeError
            A rank is in another call.

        Notes
        -----
        Each distinct row is asked of its owner once: counts, rows, vectors. With `max_norm` a row
        that any rank asks for is scaled once, before it is sent (L10).
        """
        asked = self._ask("forward", lambda: (_kinds.read(self._plain, ids, offsets, per_sample_weights), None))
        if getattr(self._plain, "max_norm", None) is not None:
            self._scale(asked)
        return _kinds.look_up(self._plain, asked.batch, self._vectors(asked), asked.places)[0]

    __call__ = forward

    def _ask(self, call: str, read: Callable[[], tuple[_kinds.Batch, FloatArray | None]]) -> _Asked:
        """
        Tell owners which rows are asked of them, and learn which others ask of this rank.

        `read` returns the batch, and the gradient of its output or None.
        """

        def find() -> tuple[_kinds.Batch, FloatArray | None, IntArray, RowArray]:
            self.checked_table()
            batch, grad = read()
            return batch, grad, *distinct_places(batch.rows, self.num_rows, _kinds.skipped_row(self._plain))

        found, error = attempt(find)
        rows = np.empty(0, np.int64) if found is None else found[2]
        counts = np.diff(np.searchsorted(rows, self._bounds))
        heads = self._channel.heads(call, self._number, error, counts)
        assert found is not None  # else all ranks have raised
        batch, grad, _, places = found
        local = (rows - np.repeat(self._bounds[:-1], counts)).astype(self._key_type)
        wanted = self._channel.exchange(local, counts, heads.got[0], heads.most[0])
        return _Asked(batch, places, counts, heads.got[0], wanted, heads.most[0], grad)

    @property
    def _key_type(self) -> type[np.signedinteger[Any]]:
        """Integers that name rows or slices of a block, and a bit more."""
        return np.int32 if (int(np.diff(self._bounds).max()) + 1) * self.num_slices < 2**30 else np.int64

    def _scale(self, asked: _Asked) -> None:
        """Scale the rows that any rank asks for where their norm exceeds `max_norm`."""

        def ready() -> tuple[FloatArray, Any]:
            table = self.checked_table()
            return table, norm_limits(table, self._plain.max_norm, self._plain.norm_type)

        table, limits = self._channel.agree("agree", self._number, ready)
        renormalise(table, asked.rows.astype(np.int64), limits)

    def _vectors(self, asked: _Asked) -> FloatArray:
        """Answer what others ask, and return the rows that were asked for."""
        answer = gather(self.checked_table(), _check.read_only(asked.rows.astype(np.int64)))
        vectors: FloatArray = self._channel.exchange(answer, asked.wanted, asked.asked, asked.most)
        if _kinds.skipped_row(self._plain) < 0:
            return vectors
        return np.concatenate([np.zeros((1, self.embedding_dim), self.dtype), vectors])

    # ---- gradients -------------------------------------------------------------------------------

    def backward(
        self,
        ids: ArrayLike,
        grad_out: ArrayLike,
        offsets: ArrayLike | None = None,
        per_sample_weights: ArrayLike | None = None,
    ) -> RowGrad:
        """
        Gradient of the whole batch with respect to the block of this rank; collective.

        Parameters
        ----------
        ids : int array
            This rank's part of the batch.
        grad_out : float array
            Gradient of the loss with respect to the output of `forward`.
        offsets, per_sample_weights : array, optional
            Of bags.

        Returns
        -------
        RowGrad
            Rows of the block, counted from its first.

        Raises
        ------
        TypeError, IndexError, ValueError
            An argument does not fit, on any rank.
        RuntimeError
            A rank is in another call.
        """
        named = {"offsets": offsets, "per_sample_weights": per_sample_weights} if self.bag_arguments else {}
        return self._contributions(ids, grad_out, **named).to_row_grad()

    def backward_per_sample_weights(
        self, indices: ArrayLike, grad_out: ArrayLike, offsets: ArrayLike | None = None
    ) -> FloatArray:
        """
        Gradient of `forward` with respect to the weights of this rank's entries (L18); collective.

        Parameters
        ----------
        indices : int array
            As in `forward`.
        grad_out : float array, shape (bags, embedding_dim)
            Gradient of the loss with respect to the output.
        offsets : int array, optional
            As in `forward`.

        Returns
        -------
        array, shape of indices
            Dot products of each entry's bag gradient with its row or vector, 0 for padding.

        Raises
        ------
        TypeError, IndexError, ValueError
            An argument does not fit, or the mode takes no weights, on any rank.
        """
        plain = self._plain

        def read() -> tuple[_kinds.Batch, FloatArray]:
            if getattr(plain, "mode", None) != "sum":
                raise ValueError("`backward_per_sample_weights` needs a table of bags with mode 'sum'.")
            batch = _kinds.read(plain, indices, offsets)
            return batch, _kinds.check_grad(plain, batch, grad_out)

        asked = self._ask("gradient", read)
        vectors, bags = self._vectors(asked), asked.batch.bags
        assert bags is not None
        assert asked.grad is not None
        singles = asked.batch._replace(bags=None, shape=(len(asked.places),))
        if _kinds.hashed(plain):
            table = _kinds.look_up(plain, singles, vectors, asked.places)[0]
        else:
            table = gather(vectors, _check.read_only(asked.places.reshape(-1)))
        if not len(table):
            return np.zeros(asked.batch.shape, self.dtype)
        out = ops.embedding_bag_backward_weights(table, np.arange(len(table)), asked.grad, bags.indptr, include_last_offset=True)
        out[bags.ids == bags.padding] = 0
        return out.reshape(asked.batch.shape)

    def _contributions(self, ids: Any, grad_out: Any, **bag_arguments: Any) -> Contributions:
        return self._exchanged(lambda: None, ids, grad_out, **bag_arguments)

    def _exchanged(
        self, check: Callable[[], None], ids: Any, grad_out: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> Contributions:
        """Send each term to the owner of its row; return those of this block in order."""
        plain = self._plain

        def read() -> tuple[_kinds.Batch, FloatArray]:
            check()
            self.checked_table()
            batch = _kinds.read(plain, ids, offsets, per_sample_weights)
            return batch, _kinds.check_grad(plain, batch, grad_out)

        if getattr(plain, "mode", None) == "max":
            asked = self._ask("gradient", read)
            assert asked.grad is not None
            grad = asked.grad
            winners = _kinds.look_up(plain, asked.batch, self._vectors(asked), asked.places)[1]
            sent, error = attempt(lambda: self._parcels(_kinds.terms_of(plain, asked.batch, grad, winners)))
        else:
            sent, error = attempt(lambda: self._parcels(_kinds.terms_of(plain, *read(), None)))
        return self._owned(sent, error)

    def _parcels(self, terms: Terms) -> tuple[Terms, IntArray, IntArray]:
        """
        Sort terms by owner; return them with the counts of terms and of gradient rows for each.

        A gradient row goes to an owner once. The lowest bit of a key is set where a term begins a
        new gradient row, so terms need no index on the way.
        """
        bounds = self._bounds * self.num_slices
        keys, index = terms.keys, terms.places
        owner = np.searchsorted(bounds[1:], keys, side="right").astype(np.uint16)
        order = np.argsort(owner, kind="stable")
        owner, keys, index = owner[order], keys[order], index[order]
        begins = np.ones(keys.size, bool)
        begins[1:] = (index[1:] != index[:-1]) | (owner[1:] != owner[:-1])
        codes = ((keys - bounds[owner]) * 2 + begins).astype(self._key_type)
        weights = None if terms.weights is None else terms.weights[order]
        counts = np.bincount(owner, minlength=self.size), np.bincount(owner[begins], minlength=self.size)
        return Terms(codes, index, np.ascontiguousarray(terms.grad[index[begins]]), weights), *counts

    def _owned(self, sent: tuple[Terms, IntArray, IntArray] | None, error: Exception | None) -> Contributions:
        """Exchange parcels; return the sums of what this rank owns."""
        channel = self._channel
        first, second = (None, None) if sent is None else sent[1:]
        weighted = sent is not None and sent[0].weights is not None
        heads = channel.heads("gradient", self._number, error, first, second, weighted)
        assert sent is not None  # else all ranks have raised
        (ours, theirs), (most, most_rows), parcel = zip(heads.sent, heads.got, strict=True), heads.most, sent[0]
        codes, coming = channel.begin(parcel.keys, *ours, most)
        grad, coming_rows = channel.begin(parcel.grad, *theirs, most_rows)
        weights = None
        if heads.flag:
            factors = np.ones(parcel.keys.size, self.dtype) if parcel.weights is None else parcel.weights
            weights = _check.read_only(channel.exchange(factors, *ours, most))
        coming.Wait()
        coming_rows.Wait()
        terms = Terms(codes >> 1, np.cumsum(codes & 1) - 1, grad, weights)
        by_frequency = bool(getattr(self._plain, "scale_grad_by_freq", False))
        return owned_contributions(terms, len(self.rows) * self.num_slices, _kinds.divisor(self._plain), by_frequency)

    # ---- the whole -------------------------------------------------------------------------------

    def gather(self, root: int = 0) -> Any:
        """
        Return the whole layer on one rank; collective.

        Parameters
        ----------
        root : int, default 0
            The rank, the same on all ranks.

        Returns
        -------
        layer or None
            A plain layer of the class `kind` on `root`, None on all others.

        Raises
        ------
        ValueError
            `root` is no rank.
        MemoryError
            The table does not fit in the memory of `root`; all ranks raise it.
        """

        def ready() -> tuple[FloatArray, Any]:
            rank = as_integer(root, "root")
            if not 0 <= rank < self.size:
                raise ValueError(f"`root` must lie in [0, {self.size}), not {rank}.")
            if rank != self.rank:
                return self.checked_table(), None
            return self.checked_table(), self._like(_arrays.empty((self.num_rows, self.embedding_dim), self.dtype))

        table, whole = self._channel.agree("gather", self._number, ready)
        self._channel.expect_alike("gather", str(int(root)))
        self._channel.to_root(table, int(root), None if whole is None else whole.weight, self._bounds)
        return whole

    def _like(self, weight: Any) -> Any:
        """Return a plain layer on a table."""
        spec = getattr(self, "hashing", None)
        rows = {} if spec is None or spec.table is None else {"hash_table": spec.table}
        return self.kind(self.num_embeddings, self.embedding_dim, weight=weight, **self.options, **rows)  # type: ignore[call-arg]
