"""Types that all modules share: array aliases, `SPOTLIGHT_SEEDS`, `HashSpec` and `RowGrad`."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[Any]  # float32 or float64, by the table
RowArray: TypeAlias = npt.NDArray[Any]  # int32 or int64, by the number of rows
Number: TypeAlias = Any  # a float32 or float64 scalar, or a Python float
ArrayLike: TypeAlias = npt.ArrayLike
Rng: TypeAlias = np.random.Generator | int | None

SPOTLIGHT_SEEDS: Final = (
    *(179424941, 179425457, 179425907, 179426369, 179424977, 179425517, 179425943, 179426407),
    *(179424989, 179425529, 179425993, 179426447, 179425003, 179425537, 179426003, 179426453),
    *(179425019, 179425559, 179426029, 179426491, 179425027, 179425579, 179426081, 179426549),
)

MAX_TABLE_ROWS: Final = 2**31  # probes are floor-mods of a signed 32-bit hash (L19)
MAX_IDS: Final = 2**63  # ids travel as int64
WIDE_IDS: Final = 2**31  # a layer of more ids hashes eight bytes instead of four (L20)
# Limit of integer arguments: larger ones are no float64, and beyond 4,300 digits no text either.
LARGEST_BITS: Final = 1024

LEAST_SQUARES: Final = 2.0**-960  # below this sum of squares some have lost digits, or all

_LIMITS: Final = {kind: (float(np.finfo(kind).tiny), float(np.finfo(kind).eps)) for kind in "fd"}
_UNMASKED: Final = frozenset({int, float, bool, str, bytes, complex, type(None), np.float32, np.float64, np.int32, np.int64})


def as_integer(value: Any, name: str) -> int:
    """
    Return `value` as a Python integer.

    Raise a TypeError for anything that is no integer (bool included), and a ValueError beyond 1024
    bits.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be an integer, not {value!r}.")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, not {value!r}.") from None
    if number.bit_length() > LARGEST_BITS:
        raise ValueError(f"`{name}` must be an integer of at most {LARGEST_BITS} bits, not {spelled(number)}.")
    return number


def _as_float(value: Any, name: str) -> float:
    """
    Return `value` as a Python float.

    Raise a TypeError for anything that is no number, and a ValueError for an integer beyond the
    range of float64.
    """
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"`{name}` must be a real number, not {value!r}.")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a real number, not {type(value).__name__}.") from None
    except OverflowError:
        raise ValueError(f"`{name}` must fit a float64.") from None


def _shifted(mantissa: float, exponent: int) -> float:
    """Return ``mantissa * 2**exponent``, or infinity."""
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        return math.inf


def spelled(number: int) -> str:
    """Return an integer as text: its digits, or its number of bits if there are too many digits."""
    bits = number.bit_length()
    return str(number) if bits <= LARGEST_BITS else f"one of {bits} bits"


def refuse_masked(value: Any, name: str) -> None:
    """
    Raise a TypeError for a masked array, also for one in a list.

    NumPy would drop its mask silently (L1).
    """
    whole = isinstance(value, np.ndarray) or hasattr(value, "__array__")
    if isinstance(value, np.ma.MaskedArray) if whole else _holds_mask(value, None):
        raise TypeError(f"`{name}` must not be a masked array: its mask would be dropped; pass `.filled(...)` or `.data`.")


def unmasked(value: Any, name: str) -> np.ndarray[Any, Any]:
    """Return `value` as a plain ndarray; raise a TypeError if a mask would be dropped."""
    if type(value) is np.ndarray:
        return value
    if type(value) is list and not _holds_mask(value, None):
        return np.asarray(value)
    refuse_masked(value, name)
    array = np.asanyarray(value)
    refuse_masked(array, name)  # what `__array__` returns may be masked, too
    return np.asarray(array)


def _holds_mask(value: Any, seen: set[int] | None) -> bool:
    """
    Return True if there is a masked array in a sequence, at any depth.

    A sequence that contains itself is read once.
    """
    if isinstance(value, (list, tuple)):
        kind = type(value[0]) if value else int
        alike = operator.countOf(map(type, value), kind) == len(value)  # 10 ns an item
        if alike and (
            kind in _UNMASKED or (kind in (list, tuple) and _UNMASKED.issuperset(map(type, chain.from_iterable(value))))
        ):
            return False
    elif not isinstance(value, Sequence) or isinstance(value, (str, range)) or _is_buffer(value):
        return hasattr(value, "__array__") and isinstance(np.asanyarray(value), np.ma.MaskedArray)
    seen = set() if seen is None else seen
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(isinstance(item, np.ma.MaskedArray) or _holds_mask(item, seen) for item in value if type(item) not in _UNMASKED)


def _is_buffer(value: Any) -> bool:
    """
    Return True if NumPy reads the memory of a value instead of its items.

    It does so for a memoryview, bytes and an `array.array`.
    """
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class HashSpec:
    r"""
    Mapping of ids to table rows: all that a Bloom lookup needs besides the table.

    Parameters
    ----------
    num_embeddings : int
        Number of ids: ``0 <= id < num_embeddings <= 2**63``. Above ``2**31`` ids are hashed as
        eight bytes (L20).
    num_rows : int
        Rows of the table, 1 (2 with a padding id) to ``2**31`` (L19).
    num_hash_functions : int, default 4
        Number of probes of an id, 1 to 24. With a `table` it is the table's width, of any size.
    padding_idx : int, optional
        The padding id, ``0 <= padding_idx < num_embeddings``. It reserves table row 0 (L22).
    share_padding_row : bool, default True
        If True, other ids may probe the reserved row 0, as in Spotlight. Without a padding id it
        has no effect.
    table : int array, shape (num_embeddings, k), optional
        Rows of each id, instead of murmurhash3. Copied; the padding id's entries are ignored and
        kept as 0.

    Raises
    ------
    TypeError
        A number is not an integer, or `table` is not an integer array.
    ValueError
        A number is out of its range, or `table` has the wrong shape or names a row that does not
        exist.

    Notes
    -----
    Laws L19, L20, L21, L22. Specs are compared and hashed by identity.

    Examples
    --------
    >>> HashSpec(10, 4, table=[[0, 3]] * 10).num_hash_functions
    2
    """

    num_embeddings: int
    num_rows: int
    num_hash_functions: int = 4
    padding_idx: int | None = None
    share_padding_row: bool = True
    table: npt.NDArray[np.int32] | None = field(default=None, repr=False)  # given as any integer array or list
    _rows: npt.NDArray[np.int32] | None = field(init=False, default=None, repr=False)  # the table that lookups read

    def __post_init__(self) -> None:
        """Check every field, then keep plain integers and a read-only int32 copy of the table."""
        num_embeddings = as_integer(self.num_embeddings, "num_embeddings")
        num_rows = as_integer(self.num_rows, "num_rows")
        width = as_integer(self.num_hash_functions, "num_hash_functions")
        if not 1 <= num_embeddings <= MAX_IDS:
            raise ValueError(f"`num_embeddings` must lie in [1, 2**63], not {num_embeddings}.")
        padding = None if self.padding_idx is None else as_integer(self.padding_idx, "padding_idx")
        if padding is not None and not 0 <= padding < num_embeddings:
            raise ValueError(f"`padding_idx` must lie in [0, {num_embeddings}), not {padding}.")
        fewest = 1 if padding is None else 2
        if not fewest <= num_rows <= MAX_TABLE_ROWS:
            why = "" if padding is None else " (row 0 is reserved for padding)"
            raise ValueError(f"`num_rows` must lie in [{fewest}, 2**31]{why}, not {num_rows}.")
        share = bool(self.share_padding_row)
        table = None
        if self.table is not None:
            table = _rows_table(self.table, num_embeddings, num_rows, padding, share)
            if width not in (4, table.shape[1]):
                raise ValueError(f"`num_hash_functions` must be the width of the hash table, {table.shape[1]}, not {width}.")
            width = table.shape[1]
        elif not 1 <= width <= len(SPOTLIGHT_SEEDS):
            raise ValueError(f"`num_hash_functions` must lie in [1, {len(SPOTLIGHT_SEEDS)}], not {width}.")
        for name, value in (
            ("num_embeddings", num_embeddings),
            ("num_rows", num_rows),
            ("num_hash_functions", width),
            ("padding_idx", padding),
            ("share_padding_row", share),
        ):
            object.__setattr__(self, name, value)
        self._keep(table)

    def _keep(self, rows: npt.NDArray[np.int32] | None) -> None:
        """
        Keep a checked table so that nobody can change it: lookups read it without a check.

        Its memory is exported as a read-only buffer, which NumPy neither makes writable nor
        resizes. An array can be given another shape in place, however, so lookups have an array of
        their own.
        """
        for name in ("table", "_rows"):
            sealed = None if rows is None else np.asarray(memoryview(rows).toreadonly())  # type: ignore[arg-type]
            object.__setattr__(self, name, sealed)

    def __getstate__(self) -> dict[str, Any]:
        """Keep the table once in pickles and copies."""
        return {**{name: value for name, value in self.__dict__.items() if name != "_rows"}, "table": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """
        Restore the state, and make the table read-only again.

        Pickle and deepcopy return arrays that can be written to.
        """
        self.__dict__.update(state)
        self._keep(self.table)

    def with_rows(self, rows: npt.NDArray[np.int32]) -> HashSpec:
        """
        Return the same mapping, read from the stored probes of all ids.

        Parameters
        ----------
        rows : int32 array, shape (num_embeddings, k)
            Result of `hash_rows` for every id. It is neither checked nor copied, and is made
            read-only.

        Returns
        -------
        HashSpec
            A spec that looks rows up.
        """
        spec = object.__new__(HashSpec)
        spec.__dict__.update(self.__dict__)
        rows.flags.writeable = False
        spec._keep(rows)
        return spec


def _rows_table(table: Any, num_embeddings: int, num_rows: int, padding: int | None, share: bool) -> npt.NDArray[np.int32]:
    """Return a checked int32 copy of a user's hash table, with row 0 for the padding id."""
    given = unmasked(table, "hash_table")
    if given.dtype.kind not in "iu":
        raise TypeError(f"`hash_table` must be an integer array, not {given.dtype}.")
    if given.ndim != 2 or given.shape[0] != num_embeddings or given.shape[1] < 1:
        raise ValueError(f"`hash_table` must have shape ({num_embeddings}, k) with k >= 1, not {given.shape}.")
    first = 1 if padding is not None and not share else 0
    bad = (given < first) | (given >= num_rows)
    if padding is not None:
        bad[padding] = False
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"`hash_table` must name rows in [{first}, {num_rows}), not {given[row, column]} at position ({row}, {column})."
        )
    own = np.array(given, dtype=np.int32, order="C")  # a copy: later writes by the caller cannot undo the check
    if padding is not None:
        own[padding] = 0
    return own


@dataclass(frozen=True, eq=False)
class RowGrad:
    r"""
    Gradient of a table, with only the rows that a batch looked up (L24).

    Parameters
    ----------
    rows : int array, shape (u,)
        Touched rows, strictly increasing; kept as int64.
    values : float32 or float64 array, shape (u, d)
        One gradient row for each entry of `rows`.
    num_rows : int
        Height of the table.

    Raises
    ------
    TypeError
        `rows` is not an integer array or `values` is neither float32 nor float64.
    ValueError
        Shapes do not fit, or `rows` does not increase strictly.
    IndexError
        A row lies outside ``[0, num_rows)``.

    Notes
    -----
    ``a == b`` compares rows, dtype, height and values; any NaN equals any NaN (L5).

    Examples
    --------
    >>> a = RowGrad(np.array([1, 3]), np.array([[1.0], [2.0]]), 4)
    >>> b = RowGrad(np.array([0, 3]), np.array([[5.0], [10.0]]), 4)
    >>> (a + b).rows, (a + b).values
    (array([0, 1, 3]), array([[ 5.],
           [ 1.],
           [12.]]))
    >>> (2 * a).to_dense()
    array([[0.],
           [2.],
           [0.],
           [4.]])
    """

    rows: IntArray
    values: FloatArray
    num_rows: int

    def __post_init__(self) -> None:
        """Check the three fields against each other."""
        rows, values = unmasked(self.rows, "rows"), unmasked(self.values, "values")
        if rows.dtype.kind not in "iu":
            raise TypeError(f"`rows` must be an integer array, not {rows.dtype}.")
        if values.dtype not in (np.float32, np.float64):
            raise TypeError(f"`values` must be float32 or float64, not {values.dtype}.")
        if rows.ndim != 1:
            raise ValueError(f"`rows` must have one dimension, not {rows.ndim}.")
        if values.ndim != 2 or len(values) != len(rows):
            raise ValueError(f"`values` must have shape ({len(rows)}, d), not {values.shape}.")
        height = as_integer(self.num_rows, "num_rows")
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        if rows.size:
            steps = np.flatnonzero(rows[1:] <= rows[:-1])
            if steps.size:
                at = int(steps[0]) + 1
                raise ValueError(f"`rows` must increase strictly, not {rows[at - 1]}, {rows[at]} at position {at}.")
            for at in (0, -1):
                if not 0 <= rows[at] < height:
                    raise IndexError(f"`rows` must lie in [0, {height}), not {rows[at]} at position {at % rows.size}.")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "num_rows", height)

    @classmethod
    def from_dense(cls, dense: ArrayLike) -> RowGrad:
        """
        Keep the rows of a dense gradient that have any value but zero.

        Parameters
        ----------
        dense : float array, shape (m, d)
            The gradient; a NaN is not a zero.

        Returns
        -------
        RowGrad
            The rows that are not all zeros.
        """
        array = unmasked(dense, "dense")
        if array.ndim != 2:
            raise ValueError(f"`dense` must have two dimensions, not {array.ndim}.")
        rows = np.flatnonzero((array != 0).any(axis=1))
        return cls(rows, array[rows], len(array))

    def to_dense(self) -> FloatArray:
        """Return the gradient as an array of the table's shape, zeros in rows not looked up."""
        dense = np.zeros((self.num_rows, self.values.shape[1]), dtype=self.values.dtype)
        dense[self.rows] = self.values
        return dense

    def __add__(self, other: object) -> RowGrad:
        """Add two gradients of one table: a row in both is added in float64, rounded once (L5)."""
        if not isinstance(other, RowGrad):
            return NotImplemented
        if self.values.dtype != other.values.dtype:
            raise TypeError(f"Gradients of one dtype can be added, not {self.values.dtype} and {other.values.dtype}.")
        if (self.num_rows, self.values.shape[1]) != (other.num_rows, other.values.shape[1]):
            raise ValueError(
                f"Gradients of one table can be added, not of shapes {(self.num_rows, self.values.shape[1])} "
                f"and {(other.num_rows, other.values.shape[1])}."
            )
        rows = np.union1d(self.rows, other.rows)
        total = np.zeros((len(rows), self.values.shape[1]))
        for grad in (self, other):
            total[np.searchsorted(rows, grad.rows)] += grad.values
        return RowGrad(rows, total.astype(self.values.dtype), self.num_rows)

    def __mul__(self, scalar: object) -> RowGrad:
        """Multiply every value by a real number, in the dtype of the values."""
        if isinstance(scalar, (bool, np.bool_)) or not isinstance(scalar, (int, float, np.integer, np.floating)):
            return NotImplemented
        return RowGrad(self.rows, self.values * self.values.dtype.type(_as_float(scalar, "scalar")), self.num_rows)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        """Return True if rows, dtype, height and values are equal; any NaN equals any NaN."""
        if not isinstance(other, RowGrad):
            return NotImplemented
        return (
            self.num_rows == other.num_rows
            and self.values.dtype == other.values.dtype
            and np.array_equal(self.rows, other.rows)
            and np.array_equal(self.values, other.values, equal_nan=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def norm(self) -> float:
        """
        Return the Euclidean norm of all values, summed in float64 (L5).

        Values whose squares leave the range of float64 are scaled first.
        """
        return _shifted(*self._norm())

    def _norm(self) -> tuple[float, int]:
        """Return the norm as (m, e) for ``m * 2**e``; e is 0 unless squares overflow or vanish."""
        if not self.values.size:
            return 0.0, 0
        if self.values.dtype == np.float32:
            return math.sqrt(np.square(self.values, dtype=np.float64).cumsum()[-1]), 0
        with np.errstate(over="ignore", under="ignore"):
            total = np.square(self.values).cumsum()[-1]
        largest = np.abs(self.values).max() if total == np.inf or total < LEAST_SQUARES else 0.0
        if largest == 0 or largest == np.inf:
            return math.sqrt(total), 0
        exponent = math.frexp(largest)[1]
        return math.sqrt(np.square(self._scaled(exponent)).cumsum()[-1]), exponent

    def _scaled(self, exponent: int) -> npt.NDArray[np.float64]:
        """Return all values divided by ``2**exponent``, in float64."""
        with np.errstate(under="ignore"):
            return np.ldexp(self.values.astype(np.float64), -exponent)

    def clip_norm(self, max: float) -> RowGrad:
        """
        Return a gradient of the same direction, with a norm of at most `max`.

        Parameters
        ----------
        max : float
            Greatest norm, at least 0.

        Returns
        -------
        RowGrad
            The gradient times ``max / norm``, or a slightly smaller factor: after rounding, its
            `norm` is never above `max`. It is the gradient itself if its norm is at most `max`, and
            always with an infinite `max`.

        Raises
        ------
        TypeError
            `max` is no real number.
        ValueError
            `max` is below 0 or NaN; or `max` is finite and a value is infinite or NaN, so that no
            multiple of the gradient has a norm. ``torch.nn.utils.clip_grad_norm_`` raises in that
            case with ``error_if_nonfinite=True``; without it, it makes NaN of infinity.
        """
        limit = _as_float(max, "max")
        if not limit >= 0:
            raise ValueError(f"`max` must be at least 0, not {max}.")
        norm, exponent = self._norm()
        if limit == math.inf or _shifted(norm, exponent) <= limit:
            return self
        if not math.isfinite(norm):
            row, column = (int(i) for i in np.argwhere(~np.isfinite(self.values))[0])
            raise ValueError(
                f"`values` must be finite to be clipped, not {self.values[row, column]} at position ({row}, {column})."
            )
        tiny, eps = _LIMITS[self.values.dtype.char]
        less = 0.0
        while True:
            factor = limit / norm * (1.0 - less)
            if exponent == 0 and factor >= tiny:
                clipped = self * factor
            else:  # the factor would lose digits, or be 0
                clipped = RowGrad(self.rows, (self._scaled(exponent) * factor).astype(self.values.dtype), self.num_rows)
            if not clipped.norm() > limit:
                return clipped
            less = 2 * less or eps  # ends with 1, which gives zeros

    def astype(self, dtype: npt.DTypeLike) -> RowGrad:
        """
        Return a copy with values of another dtype.

        Parameters
        ----------
        dtype : float32 or float64
            Dtype of the copy.

        Returns
        -------
        RowGrad
            The copy.
        """
        return RowGrad(self.rows.copy(), self.values.astype(dtype), self.num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes of rows and values together."""
        return self.rows.nbytes + self.values.nbytes
