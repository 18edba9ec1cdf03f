"""The words all floors share: array aliases, `SPOTLIGHT_SEEDS`, `HashSpec` and `RowGrad`."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[Any]  # float32 or float64, by the table
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


def as_integer(value: Any, name: str) -> int:
    """`value` as a Python integer; a TypeError for anything that is not one (bool included)."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be an integer, not {value!r}.")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer, not {value!r}.") from None


@dataclass(frozen=True, eq=False)
class HashSpec:
    r"""
    How ids become table rows: everything a Bloom lookup needs to know besides the table.

    Parameters
    ----------
    num_embeddings : int
        Number of ids: ``0 <= id < num_embeddings <= 2**63``. Above ``2**31`` ids are hashed as eight bytes (L20).
    num_rows : int
        Rows of the table, 1 (2 with a padding id) to ``2**31`` (L19).
    num_hash_functions : int, default 4
        Probes an id makes, 1 to 24. With a `table` it is the table's width, whatever that is.
    padding_idx : int, optional
        The padding id, ``0 <= padding_idx < num_embeddings``. It reserves table row 0 (L22).
    share_padding_row : bool, default True
        Whether other ids may probe the reserved row 0, as in Spotlight. Nothing to decide without a padding id.
    table : int array, shape (num_embeddings, k), optional
        Rows of each id, instead of murmurhash3. Copied; the padding id's entries are ignored and kept as 0.

    Raises
    ------
    TypeError
        A number is not an integer, or `table` is not an integer array.
    ValueError
        A number is out of its range, or `table` has the wrong shape or names a row that does not exist.

    Notes
    -----
    Laws L19, L20, L21, L22. Compared and hashed by identity.

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
            ("table", table),
        ):
            object.__setattr__(self, name, value)

    def with_rows(self, rows: npt.NDArray[np.int32]) -> HashSpec:
        """
        The same mapping, read from all ids' probes computed before.

        Parameters
        ----------
        rows : int32 array, shape (num_embeddings, k)
            What `hash_rows` gives for every id; trusted, neither checked nor copied, and made read-only.

        Returns
        -------
        HashSpec
            One that looks rows up.
        """
        spec = object.__new__(HashSpec)
        spec.__dict__.update(self.__dict__)
        rows.flags.writeable = False
        object.__setattr__(spec, "table", rows)
        return spec


def _rows_table(table: Any, num_embeddings: int, num_rows: int, padding: int | None, share: bool) -> npt.NDArray[np.int32]:
    """A checked, read-only int32 copy of a user's hash table, the padding id's entries set to row 0."""
    if isinstance(table, np.ma.MaskedArray):
        raise TypeError("`hash_table` must be an integer array, not a masked one: its mask would be dropped.")
    given = np.asarray(table)
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
    own.flags.writeable = False
    return own


@dataclass(frozen=True, eq=False)
class RowGrad:
    r"""
    Gradient of a table that holds only the rows a batch looked up (L24).

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
    ``a == b`` compares rows, dtype, height and values, any NaN equal to any NaN (L5).

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
        for name in ("rows", "values"):
            if isinstance(getattr(self, name), np.ma.MaskedArray):
                raise TypeError(f"`{name}` must not be a masked array: its mask would be dropped.")
        rows, values = np.asarray(self.rows), np.asarray(self.values)
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
        Keep the rows of a dense gradient that hold anything but zeros.

        Parameters
        ----------
        dense : float array, shape (m, d)
            The gradient; a NaN is not a zero.

        Returns
        -------
        RowGrad
            Its rows that are not zero.
        """
        if isinstance(dense, np.ma.MaskedArray):
            raise TypeError("`dense` must not be a masked array: its mask would be dropped.")
        array = np.asarray(dense)
        if array.ndim != 2:
            raise ValueError(f"`dense` must have two dimensions, not {array.ndim}.")
        rows = np.flatnonzero((array != 0).any(axis=1))
        return cls(rows, array[rows], len(array))

    def to_dense(self) -> FloatArray:
        """The gradient as an array of the table's shape, zeros where nothing was looked up."""
        dense = np.zeros((self.num_rows, self.values.shape[1]), dtype=self.values.dtype)
        dense[self.rows] = self.values
        return dense

    def __add__(self, other: object) -> RowGrad:
        """Merge two gradients of one table; a row in both is added in float64 and rounded once (L5)."""
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
        """Every value times a real number, in the dtype of the values."""
        if isinstance(scalar, (bool, np.bool_)) or not isinstance(scalar, (int, float, np.integer, np.floating)):
            return NotImplemented
        return RowGrad(self.rows, self.values * self.values.dtype.type(scalar), self.num_rows)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        """Whether rows, dtype, height and values agree, any NaN equal to any NaN."""
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
        """Euclidean norm of all values, summed in float64 (L5)."""
        squares = np.square(self.values, dtype=np.float64).ravel()
        return float(np.sqrt(np.cumsum(squares)[-1])) if squares.size else 0.0

    def clip_norm(self, max: float) -> RowGrad:
        """
        The same direction with a norm of at most `max`.

        Parameters
        ----------
        max : float
            At least 0.

        Returns
        -------
        RowGrad
            Scaled by ``max / norm``; itself where it is short enough already.
        """
        limit = float(max)
        if not limit >= 0:
            raise ValueError(f"`max` must be at least 0, not {max}.")
        norm = self.norm()
        return self * (limit / norm) if norm > limit else self

    def astype(self, dtype: npt.DTypeLike) -> RowGrad:
        """
        A copy with values of another dtype.

        Parameters
        ----------
        dtype : float32 or float64
            Of the copy.

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
