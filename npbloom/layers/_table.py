"""What every layer has: a table, its checks, its initial values, and the gradient view that optimizers step on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from npbloom import _arrays, _check, _parallel
from npbloom.ops.scatter import Contributions
from npbloom.types import FloatArray, Rng, RowGrad

BLOCK = 2**18  # values that one random stream fills, whatever the number of threads (L8)
LARGEST = 2**62  # bytes that NumPy can address, and room for a line
EAGER = 2**30  # bytes up to which zeros are written at once


class Layer(ABC):
    """
    A table of embeddings with lookups on it. Abstract: the layers of `npbloom.layers` are final.

    Compared and hashed by identity. Pickle and deepcopy keep the table's values, and whether it can be written to.

    Examples
    --------
    >>> isinstance(nb.ZeroEmbedding(3, 2), Layer)
    True
    """

    _options: dict[str, Any]  # the constructor call, without arrays
    _weight: FloatArray
    _shape: tuple[int, int]  # of the table, whatever is done to the array
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    _zero: ClassVar[bool] = False  # whether tables start at zero
    _bag_arguments: ClassVar[tuple[str, ...]] = ()  # what `optimizer.update` passes on besides ids and their gradient

    def _set_table(self, rows: int, dim: int, dtype: Any, rng: Rng, weight: Any) -> None:
        """Adopt `weight`, or make a table of initial values (L8)."""
        self._shape = (rows, dim)
        if weight is None:
            kind = np.dtype(np.float32 if dtype is None else dtype)
            if kind not in _check.FLOAT_DTYPES or not kind.isnative:
                raise ValueError(f"`dtype` must be float32 or float64, not {kind}.")
            generator = _check.generator(rng)
            if rows * dim > LARGEST // kind.itemsize:
                raise ValueError(f"A table of {rows} rows of {dim} values is larger than any memory; it must be smaller.")
            if self._zero:
                self._weight = zeros((rows, dim), kind)
            else:
                self._weight = _arrays.empty((rows, dim), kind)
                self._fill(generator)
            return
        if rng is not None:
            raise ValueError("`rng` must be None with a `weight`, which is taken as it is.")
        table = _check.table(weight)
        _check.shape(table, "weight", (rows, dim))
        if dtype is not None and np.dtype(dtype) != table.dtype:
            raise ValueError(f"`dtype` must be None or {table.dtype}, as `weight` is, not {np.dtype(dtype)}.")
        _arrays.expect_random_rows(table)
        self._weight = weight

    def _fill(self, generator: np.random.Generator) -> None:
        """Write the initial values; the reserved rows are zero."""
        table = self._weight.view(np.ndarray)
        if self._zero:
            _arrays.fill(table, 0)
        else:
            fill_normal(table, 1.0 / self.embedding_dim, generator)
        table[self._reserved.start : self._reserved.stop] = 0

    def reset_parameters(self, rng: Rng = None) -> None:
        """
        Write the initial values into the table, in place: those that a new layer has.

        Parameters
        ----------
        rng : numpy.random.Generator or int, optional
            Source of the values; None: fresh entropy. The same seed gives the table of a new layer with that seed.

        Raises
        ------
        TypeError, ValueError
            `rng` is no source of values, or the table is read-only.

        Notes
        -----
        L8. Values are written a block at a time. A table that is a memmap of a file leaves this process's memory block by
        block, so that a table larger than the memory can be filled.
        """
        generator = _check.generator(rng)
        _check.writable(self._weight, "weight", "to be filled")
        self._fill(generator)

    @property
    def weight(self) -> FloatArray:
        """The table, (rows, embedding_dim); it can be written into, not rebound."""
        return self._weight

    @weight.setter
    def weight(self, value: FloatArray) -> None:
        """Refused in a sentence: optimizers and views hold the array that is there."""
        raise AttributeError("`weight` can be written into, not rebound: `layer.weight[...] = array`.")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the table, float32 or float64."""
        return self._weight.dtype

    @property
    def num_parameters(self) -> int:
        """Number of values in the table."""
        return int(self._weight.size)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return int(self._weight.nbytes)

    @property
    def _reserved(self) -> range:
        """Rows of the table that are never trained."""
        return range(0)

    @property
    def _slices(self) -> int:
        """Rows of the gradient that one row of the table makes: k where probes are concatenated, else 1 (L21)."""
        return 1

    def _gradient_view(self, array: FloatArray) -> FloatArray:
        """A table-shaped array as the gradient sees it, slice by slice."""
        return array.view(np.ndarray).reshape(array.shape[0] * self._slices, array.shape[1] // self._slices)

    @abstractmethod
    def _contributions(self, ids: Any, grad_out: Any) -> Contributions:
        """What a backward pass sums, checked."""

    def _gradient(self, contributions: Contributions, sparse: bool) -> RowGrad | FloatArray:
        """The sums as a RowGrad, or as an array of the table's shape (L12)."""
        grad = contributions.to_row_grad()
        return grad if sparse else grad.to_dense().reshape(self._weight.shape)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps; NumPy would forget that a table is read-only."""
        return {**self.__dict__, "_writable": self._weight.flags.writeable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, and close a read-only table again."""
        writable = state.pop("_writable")
        self.__dict__.update(state)
        if not writable:
            self._weight.flags.writeable = False

    def __repr__(self) -> str:
        """The constructor call and the number of parameters."""
        words = [f"{self.num_embeddings}", f"{self.embedding_dim}"]
        words += [f"{name}={value!r}" for name, value in self._options.items()]
        if self.dtype != np.float32:
            words.append(f"dtype={self.dtype.name!r}")
        return f"{type(self).__name__}({', '.join(words)})  # {self.num_parameters:,} parameters"


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    """
    A zeroed array, written at once where it is small enough to be held in memory without a thought.

    Pages of `np.zeros` come one by one when they are first touched: 300 ms for 100,000 random rows of 256 MB, where filling
    all of `np.empty`, which has huge pages, takes 35 ms. Beyond `EAGER` bytes only what is touched shall take memory.
    """
    if math.prod(shape) * dtype.itemsize > EAGER:
        return _arrays.zeros(shape, dtype)
    array: FloatArray = _arrays.empty(shape, dtype)
    array.fill(0)
    return array


def fill_normal(table: FloatArray, deviation: float, rng: np.random.Generator) -> None:
    """Normal values of mean 0: blocks of a fixed size, each from a stream of its own, so threads do not matter (L8)."""
    root = np.random.SeedSequence([int(word) for word in rng.integers(0, 2**32, size=4)])
    flat = table.reshape(-1)
    starts = range(0, flat.size, BLOCK)
    streams = root.spawn(len(starts))
    scale = table.dtype.type(deviation)

    def fill(lo: int, hi: int) -> None:
        for block in range(lo, hi):
            part = flat[block * BLOCK : (block + 1) * BLOCK]
            source = np.random.Generator(np.random.PCG64(streams[block]))
            source.standard_normal(out=part, dtype=part.dtype.type)
            part *= scale
            _arrays.let_go(part)

    _parallel.run_range(fill, len(starts), grain=1)
