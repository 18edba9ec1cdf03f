"""What every layer has: a table, its checks, its initial values, and the gradient view that optimizers step on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from npbloom import _arrays, _check
from npbloom.ops._backward import Contributions
from npbloom.ops._initial import fill_normal, zeros
from npbloom.types import FloatArray, Rng, RowGrad

LARGEST = 2**62  # bytes that NumPy can address, and room for a line
ARGUMENTS = frozenset({"hash_table", "num_rows", "rng"})  # of constructors, that are neither attributes nor options


class Layer(ABC):
    """
    A table of embeddings with lookups on it. Abstract: the layers of `npbloom.layers` are final.

    Compared and hashed by identity. Pickle and deepcopy keep the table's values, and whether it can be written to.

    Notes
    -----
    The values of `weight` may be written at any time. All else is decided by the constructor: an attribute that is set later is
    an AttributeError, and a table that was reshaped, resized or given another dtype is a ValueError of every call that uses it.

    Examples
    --------
    >>> isinstance(nb.ZeroEmbedding(3, 2), Layer)
    True
    """

    _options: dict[str, Any]  # the constructor call, without arrays
    _weight: FloatArray
    _shape: tuple[int, int]  # of the table, and its dtype, whatever is done to the array
    _dtype: np.dtype[Any]
    _fixed: frozenset[str]  # attributes that cannot be set any more
    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    _zero: ClassVar[bool] = False  # whether tables start at zero
    _bag_arguments: ClassVar[tuple[str, ...]] = ()  # what `optimizer.update` passes on besides ids and their gradient

    def _set_table(self, rows: int, dim: int, dtype: Any, rng: Rng, weight: Any) -> None:
        """Adopt `weight`, or make a table of initial values (L8). Comes last in a constructor: attributes are fixed then."""
        self._shape = (rows, dim)
        self._weight = self._initial_table(dtype, rng) if weight is None else self._adopted_table(dtype, rng, weight)
        self._fix()

    def _initial_table(self, dtype: Any, rng: Rng) -> FloatArray:
        """A new table."""
        kind = np.dtype(np.float32 if dtype is None else dtype)
        if kind not in _check.FLOAT_DTYPES or not kind.isnative:
            raise ValueError(f"`dtype` must be float32 or float64, not {kind}.")
        generator = _check.generator(rng)
        rows, dim = self._shape
        if rows * dim > LARGEST // kind.itemsize:
            raise ValueError(f"A table of {rows} rows of {dim} values is larger than any memory; it must be smaller.")
        if self._zero:
            return zeros((rows, dim), kind)
        table = _arrays.empty((rows, dim), kind)
        self._fill(table, generator)
        return table

    def _adopted_table(self, dtype: Any, rng: Rng, weight: Any) -> FloatArray:
        """The caller's table."""
        if rng is not None:
            raise ValueError("`rng` must be None with a `weight`, which is taken as it is.")
        table = _check.table(weight)
        _check.shape(table, "weight", self._shape)
        if dtype is not None and np.dtype(dtype) != table.dtype:
            raise ValueError(f"`dtype` must be None or {table.dtype}, as `weight` is, not {np.dtype(dtype)}.")
        _arrays.expect_random_rows(table)
        given: FloatArray = weight
        return given

    def _fix(self) -> None:
        """Everything that is set by now stays as it is: lookups, steps and files rely on what was checked."""
        self._dtype = self._weight.dtype
        self._fixed = frozenset({"_fixed", *self.__dict__})

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what the constructor has decided; attributes of the caller's own may be set."""
        own = self.__dict__
        if "_fixed" not in own:  # the layer is being made
            own[name] = value
        elif name != "weight" or value is not self._weight:  # else it is the end of ``layer.weight *= 2``
            self._refuse_change(name)
            own[name] = value

    def __delattr__(self, name: str) -> None:
        """Refuse what the constructor has decided."""
        self._refuse_change(name)
        object.__delattr__(self, name)

    def _refuse_change(self, name: str) -> None:
        """An AttributeError for what is fixed."""
        if name == "weight":
            raise AttributeError("`weight` can be written into, not rebound: `layer.weight[...] = array`.")
        known = name in self._fixed or name in self._options or name in ARGUMENTS
        if known or isinstance(getattr(type(self), name, None), property):
            make = f"{type(self).__name__}(..., weight=layer.weight)"
            raise AttributeError(f"`{name}` is fixed at construction; make a new layer on the same table: `{make}`.")

    def _table(self) -> FloatArray:
        """
        The table as a view of one's own, found to be what it was when the layer was made.

        The array is the caller's, too, who may have reshaped or resized it, or given it another dtype: kernels that trust it
        would read and write beyond its end. The check takes 0.2 us.
        """
        table = self._weight.view(np.ndarray)
        flags = table.flags
        if (
            table.shape != self._shape
            or table.dtype != self._dtype
            or not (flags.carray or (flags.c_contiguous and flags.aligned))
        ):
            _check.shape(table, "weight", self._shape)
            if table.dtype != self._dtype:
                raise ValueError(f"`weight` must be {self._dtype}, as it was when the layer was made, not {table.dtype}.")
            _check.table(table)
        return table

    def _fill(self, table: FloatArray, generator: np.random.Generator) -> None:
        """Write the initial values; the reserved rows are zero."""
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
        table = self._table()
        _check.writable(table, "weight", "to be filled")
        self._fill(table, generator)

    @property
    def weight(self) -> FloatArray:
        """The table, (rows, embedding_dim); it can be written into, not rebound or reshaped."""
        return self._weight

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the table, float32 or float64."""
        return self._dtype

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
        view, slices = array.view(np.ndarray), self._slices
        return view if slices == 1 else view.reshape(array.shape[0] * slices, array.shape[1] // slices)

    @abstractmethod
    def _contributions(self, ids: Any, grad_out: Any) -> Contributions:
        """What a backward pass sums, checked."""

    def _gradient(self, contributions: Contributions, sparse: bool) -> RowGrad | FloatArray:
        """The sums as a RowGrad, or as an array of the table's shape (L12)."""
        grad = contributions.to_row_grad()
        return grad if sparse else grad.to_dense().reshape(self._shape)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps; NumPy would forget that a table is read-only."""
        self._table()
        return {**self.__dict__, "_writable": self._weight.flags.writeable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, and close a read-only table again."""
        writable = state.pop("_writable")
        self.__dict__.update(state)
        if not writable:
            self._weight.flags.writeable = False
        if "_fixed" not in self.__dict__:  # the pickle is older
            self._fix()

    def __repr__(self) -> str:
        """The constructor call and the number of parameters."""
        words = [f"{self.num_embeddings}", f"{self.embedding_dim}"]
        words += [f"{name}={value!r}" for name, value in self._options.items()]
        if self.dtype != np.float32:
            words.append(f"dtype={self.dtype.name!r}")
        return f"{type(self).__name__}({', '.join(words)})  # {self.num_parameters:,} parameters"
