"""The base of all layers: a table, its checks, its initial values, its view as a gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar, final

import numpy as np

from npbloom import _arrays, _check
from npbloom.ops._backward import Contributions
from npbloom.ops._initial import fill_normal, zeros
from npbloom.types import ArrayLike, FloatArray, Rng, RowGrad

LARGEST = 2**62  # bytes that NumPy can address, and room for a line
# Arguments of constructors that are neither attributes nor options.
ARGUMENTS = frozenset({"hash_table", "num_rows", "precompute_hashes", "rng"})
Result = TypeVar("Result")


class NoTable(NamedTuple):
    """In the place of `weight`: the layer checks its arguments and has sizes, but no table."""

    dtype: Any


def table_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a new table, float32 for None."""
    kind = np.dtype(np.float32 if dtype is None else dtype)
    if kind not in _check.FLOAT_DTYPES or not kind.isnative:
        raise ValueError(f"`dtype` must be float32 or float64, not {kind}.")
    return kind


class Layer(ABC):
    """
    A table of embeddings with lookups on it. Abstract: the layers of `npbloom.layers` are final.

    Compared and hashed by identity. Pickle and deepcopy keep the table's values, and whether it can
    be written to.

    Attributes
    ----------
    num_embeddings : int
        Number of ids.
    embedding_dim : int
        Length of a vector.
    padding_idx : int or None
        The padding id.
    bag_arguments : tuple of str
        Arguments of `contributions` besides ids and their gradient.

    Notes
    -----
    The values of `weight` may be written at any time. All else is decided by the constructor: an
    attribute that is set later is an AttributeError, and a table that was reshaped, resized or
    given another dtype is a ValueError of every call that uses it.

    Members are abstract or final. Optimizers, checkpoints and exchange with other packages use
    `checked_table`, `table_shape`, `reserved_rows`, `num_slices`, `gradient_view`, `contributions`
    and `options`. The parts of a gradient are slices of rows where probes are concatenated (L21);
    optimizers see the table as the gradient does.

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
    bag_arguments: ClassVar[tuple[str, ...]] = ()
    _zero: ClassVar[bool] = False  # tables start at zero
    _ranks: Any = None  # what makes calls collective, for a table that is cut over ranks

    def _set_table(self, rows: int, dim: int, dtype: Any, rng: Rng, weight: Any) -> None:
        """Adopt `weight` or make a table (L8). Call it last: attributes are fixed then."""
        self._shape = (rows, dim)
        if isinstance(weight, NoTable):
            self._weight = np.empty((0, dim), table_dtype(weight.dtype))
        else:
            self._weight = self._initial_table(dtype, rng) if weight is None else self._adopted_table(dtype, rng, weight)
        self._fix()

    def _initial_table(self, dtype: Any, rng: Rng) -> FloatArray:
        """A new table."""
        kind = table_dtype(dtype)
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
        """Fix all attributes that are set by now: lookups, steps and files rely on them."""
        self._dtype = self._weight.dtype
        self._fixed = frozenset({"_fixed", *self.__dict__})

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what the constructor has decided; attributes of the caller's own may be set."""
        own = self.__dict__
        if "_fixed" not in own:  # the layer is being made
            own[name] = value
        elif name != "weight" or value is not self._weight:  # ``layer.weight *= 2`` ends so
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

    @final
    def checked_table(self) -> FloatArray:
        """
        Return the table as a new view, checked to be what it was when the layer was made.

        Returns
        -------
        array, shape table_shape
            A plain ndarray on the memory of `weight`, aligned and in C order.

        Raises
        ------
        ValueError
            `weight` was reshaped, resized or given another dtype.

        Notes
        -----
        The caller has the array, too. Kernels trust its shape and would read and write beyond its
        end. The check takes 0.2 us.
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
        rows = self.reserved_rows
        table[rows.start : rows.stop] = 0

    def reset_parameters(self, rng: Rng = None) -> None:
        """
        Write the initial values into the table, in place: those that a new layer has.

        Parameters
        ----------
        rng : numpy.random.Generator or int, optional
            Source of the values; None: fresh entropy. The same seed gives the table of a new layer
            with that seed.

        Raises
        ------
        TypeError, ValueError
            `rng` is no source of values, or the table is read-only.

        Notes
        -----
        L8. Values are written a block at a time. A table that is a memmap of a file leaves this
        process's memory block by block, so that a table larger than the memory can be filled.
        """
        if self._ranks is not None:
            self._ranks.reset(rng)
            return
        generator = _check.generator(rng)
        table = self.checked_table()
        _check.writable(table, "weight", "to be filled")
        self._fill(table, generator)

    @final
    @property
    def weight(self) -> FloatArray:
        """The table, (rows, embedding_dim); it can be written into, not rebound or reshaped."""
        return self._weight

    @final
    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the table, float32 or float64."""
        return self._dtype

    @final
    @property
    def num_parameters(self) -> int:
        """Number of values in the table."""
        return int(self._weight.size)

    @final
    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return int(self._weight.nbytes)

    @final
    @property
    def table_shape(self) -> tuple[int, int]:
        """Shape of the table, (rows, embedding_dim), as it was when the layer was made."""
        return self._shape

    @final
    @property
    def ranks(self) -> Any:
        """Ranks over which the table is cut, for checkpoints; None for a table of one process."""
        return self._ranks

    @final
    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the constructor besides sizes, arrays, `dtype` and `rng`, as a new dict."""
        return dict(self._options)

    @property
    @abstractmethod
    def reserved_rows(self) -> range:
        """Rows of the table that are never trained: the padding row, or none."""

    @property
    @abstractmethod
    def num_slices(self) -> int:
        """Gradient rows in one row of the table: k where probes are concatenated, else 1 (L21)."""

    @final
    def gradient_view(self, array: FloatArray) -> FloatArray:
        """
        View a table-shaped array as the gradient sees it.

        Parameters
        ----------
        array : array, shape table_shape
            The table, a state array like it, or a dense gradient; C-contiguous.

        Returns
        -------
        array, shape (rows * num_slices, embedding_dim / num_slices)
            A view: slice j of row r is row ``r * num_slices + j`` (L21).
        """
        view, slices = array.view(np.ndarray), self.num_slices
        return view if slices == 1 else view.reshape(array.shape[0] * slices, array.shape[1] // slices)

    @final
    def contributions(self, ids: ArrayLike, grad_out: ArrayLike, **bag_arguments: Any) -> Contributions:
        """
        Check the arguments of a backward pass, and pair each gradient with its rows, unsummed.

        Parameters
        ----------
        ids : int array
            The ids that were looked up.
        grad_out : float array
            Gradient of the loss with respect to the output of `forward`.
        **bag_arguments
            Those that `bag_arguments` names.

        Returns
        -------
        Contributions
            `Optimizer.update` sums and applies them in one pass (L26).

        Raises
        ------
        TypeError, IndexError, ValueError
            As the layer's `backward`.
        """
        return self._contributions(ids, grad_out, **bag_arguments)

    @final
    def prepared(
        self, ready: Callable[[], Result], ids: ArrayLike, grad_out: ArrayLike, **bag_arguments: Any
    ) -> tuple[Result, Contributions]:
        """
        Return what `ready` returns, and then `contributions`; nothing is written.

        Parameters
        ----------
        ready : callable
            Checks of the caller. On a sharded table all ranks raise if it raises on one.
        ids : int array
            As in `contributions`.
        grad_out : float array
            As in `contributions`.
        **bag_arguments
            As in `contributions`.

        Returns
        -------
        pair
            Result of `ready`, and the Contributions.

        Raises
        ------
        TypeError, IndexError, ValueError
            As `ready` and `contributions`.
        """
        if self._ranks is not None:
            return self._ranks.prepared(ready, ids, grad_out, **bag_arguments)  # type: ignore[no-any-return]
        found = ready()
        return found, self._contributions(ids, grad_out, **bag_arguments)

    @final
    def agreed(self, call: Callable[[], Result]) -> Result:
        """
        Return the result of a call that has to succeed before a step begins to write.

        Parameters
        ----------
        call : callable
            On a sharded table every rank calls its own, and all raise if one does.

        Returns
        -------
        object
            Result of the call.
        """
        return call() if self._ranks is None else self._ranks.agreed(call)

    @abstractmethod
    def _contributions(self, ids: Any, grad_out: Any) -> Contributions:
        """Check and pair: the part of `contributions` that differs from layer to layer."""

    @final
    def _gradient(self, contributions: Contributions, sparse: bool) -> RowGrad | FloatArray:
        """The sums as a RowGrad, or as an array of the table's shape (L12)."""
        grad = contributions.to_row_grad()
        return grad if sparse else grad.to_dense().reshape(self._shape)

    def __getstate__(self) -> dict[str, Any]:
        """Keep that a table is read-only, which NumPy would forget."""
        if self._ranks is not None:
            raise TypeError(f"A {type(self).__name__} cannot be pickled or copied; `gather` returns a plain layer.")
        self.checked_table()
        return {**self.__dict__, "_writable": self._weight.flags.writeable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, and close a read-only table again."""
        writable = state.pop("_writable")
        state["_options"].pop("precompute_hashes", None)  # the pickle is older
        state.pop("_precompute", None)
        self.__dict__.update(state)
        if not writable:
            self._weight.flags.writeable = False
        if "_fixed" not in self.__dict__:  # the pickle is older
            self._fix()

    def __repr__(self) -> str:
        """The constructor call and the number of parameters."""
        if self._ranks is not None:
            return str(self._ranks.described())
        words = [f"{self.num_embeddings}", f"{self.embedding_dim}"]
        words += [f"{name}={value!r}" for name, value in self._options.items()]
        if self.dtype != np.float32:
            words.append(f"dtype={self.dtype.name!r}")
        return f"{type(self).__name__}({', '.join(words)})  # {self.num_parameters:,} parameters"
