"""
Argument checks: each returns the checked value, or raises an error that names the argument.

Messages have one shape, and every check runs before the first write (L3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from npbloom.types import FloatArray, IntArray, as_integer, spelled, unmasked

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


# ---- numbers -------------------------------------------------------------------------------------


def positive_int(value: Any, name: str) -> int:
    """Return `value` as a Python integer of at least 1."""
    number = as_integer(value, name)
    if number < 1:
        raise ValueError(f"`{name}` must be at least 1, not {number}.")
    return number


def real(value: Any, name: str) -> float:
    """Return `value` as a Python float; refuse NaN."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"`{name}` must be a real number, not {value!r}.")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be a real number, not {value!r}.") from None
    except OverflowError:
        raise ValueError(f"`{name}` must fit a float64, not {shown(value)}.") from None
    if math.isnan(number):
        raise ValueError(f"`{name}` must be a number, not NaN.")
    return number


def at_least_zero(value: Any, name: str) -> float:
    """Return `value` as a real number of at least 0 (L33)."""
    number = real(value, name)
    if number < 0:
        raise ValueError(f"`{name}` must be at least 0, not {number:g}.")
    return number


def positive(value: Any, name: str) -> float:
    """Return `value` as a real number above 0 (L33)."""
    number = real(value, name)
    if not number > 0:
        raise ValueError(f"`{name}` must be greater than 0, not {number:g}.")
    return number


def unit_interval(value: Any, name: str) -> float:
    """Return `value` as a real number in [0, 1) (L33)."""
    number = real(value, name)
    if not 0 <= number < 1:
        raise ValueError(f"`{name}` must lie in [0, 1), not {number:g}.")
    return number


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return `value`, which must be one of the allowed words."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(repr(word) for word in allowed)
        raise ValueError(f"`{name}` must be one of {words}, not {shown(value)}.")
    return value


def shown(value: Any) -> str:
    """Return a wrong argument as text for a message: its repr if that is short, else its type."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits is no text
        return type(value).__name__
    return text if len(text) <= 60 and "\n" not in text else type(value).__name__


def flag(value: Any, name: str) -> bool:
    """Return `value` as True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, not {shown(value)}.")
    return bool(value)


def generator(value: Any, name: str = "rng") -> np.random.Generator:
    """Return a `numpy.random.Generator`: `value` itself, or one from an int seed or from None."""
    if isinstance(value, np.random.Generator):
        return value
    if value is None:
        return np.random.default_rng()
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be a numpy.random.Generator, an integer seed or None, not {shown(value)}.")
    seed = int(value)
    if seed < 0:
        raise ValueError(f"`{name}` must be a Generator or a seed of at least 0, not {spelled(seed)}.")
    return np.random.default_rng(seed)


# ---- arrays --------------------------------------------------------------------------------------


def position(flat: int, shape: tuple[int, ...]) -> str:
    """Return the position of a value as text, ``" at position (3, 1)"``; "" for a 0-d array."""
    if not shape:
        return ""
    where = tuple(int(i) for i in np.unravel_index(flat, shape))
    return f" at position {where[0] if len(where) == 1 else where}"


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the scalars of nested lists, tuples and ranges, in order."""
    if isinstance(value, (list, tuple, range)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """
    Return `value` as a plain ndarray, by the buffer protocol, ``__array__`` or DLPack.

    Masked arrays are refused (L1).
    """
    if not isinstance(value, (np.ndarray, list)) and not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    try:
        return unmasked(value, name)
    except ValueError:  # a ragged list
        raise ValueError(f"`{name}` must be an array: its rows differ in length.") from None
    except OverflowError:
        return np.asarray(value, dtype=object)


def _from_list(value: Any, array: np.ndarray[Any, Any], name: str, bound: int | None) -> np.ndarray[Any, Any]:
    """
    Return the index array of a list that NumPy did not read as integers (L1).

    Such a list is empty, or has an integer beyond int64.
    """
    if array.size == 0:
        return array.astype(np.int64)
    leaves = list(_leaves(value))
    if all(isinstance(leaf, (int, np.integer)) and not isinstance(leaf, (bool, np.bool_)) for leaf in leaves):
        if not all(-(2**63) <= leaf < 2**63 for leaf in leaves):
            raise _beyond_int64(leaves, array.shape, name, bound)
        return np.asarray([int(leaf) for leaf in leaves], dtype=np.int64).reshape(array.shape)
    return array


def _beyond_int64(values: Iterable[int], shape: tuple[int, ...], name: str, bound: int | None) -> IndexError:
    """Return the IndexError that names the first value outside ``[0, bound)``, or int64 (L2)."""
    low, high, words = (-(2**63), 2**63, "fit int64") if bound is None else (0, bound, f"lie in [0, {bound})")
    flat, value = next((flat, value) for flat, value in enumerate(values) if not low <= value < high)
    return IndexError(f"`{name}` must {words}, not {spelled(value)}{position(flat, shape)}.")


def ids(value: Any, name: str = "ids", bound: int | None = None) -> IntArray:
    """
    Return an index array (L1) as a read-only, C-contiguous int64 view, or copy if need be.

    A value beyond int64 raises an IndexError here, and `bound` is only named in that message. The
    kernels check the range of a table, and `outside` makes their error.
    """
    if type(value) is np.ndarray and value.dtype == np.int64 and value.flags.c_contiguous and value.flags.aligned:
        return read_only(value)
    array = _array(value, name)
    if isinstance(value, (list, tuple, range, int, np.integer)) and array.dtype != np.int64 and array.dtype.kind != "b":
        array = _from_list(value, array, name, bound)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be an integer array, not {array.dtype}.")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() >= 2**63:
        raise _beyond_int64(array.ravel().tolist(), array.shape, name, bound)
    return read_only(_contiguous(array, np.dtype(np.int64)))


def _contiguous(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the array if it has the dtype, C order and alignment; else a copy that has them."""
    if array.dtype == dtype and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.array(array, dtype=dtype, order="C", subok=False)


def read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """
    Return a view that cannot be written to.

    So inputs do not change, and kernels are compiled for one kind of array only.
    """
    return closed(array.view(np.ndarray))


def closed(view: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Make an array read-only and return it; nobody else may use it."""
    view.setflags(False)  # type: ignore[call-arg]  # 15 ns; an assignment to `flags.writeable` takes 200
    return view


def apart(array: np.ndarray[Any, Any], *written: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    """Return a read-only array to read from: a copy if it may share memory with `written`."""
    for memory in written:
        if memory is not None and np.may_share_memory(array, memory):
            return closed(np.array(array))
    return read_only(array) if array.flags.writeable else array


def floats(value: Any, name: str, dtype: np.dtype[Any] | None) -> FloatArray:
    """
    Return a real floating array or list, rounded to `dtype`, read-only (L24).

    With None float32 and float64 are kept, and other dtypes become float64.
    """
    array = _array(value, name)
    if array.dtype.kind != "f":
        raise TypeError(f"`{name}` must be a real floating array, not {array.dtype}.")
    if dtype is None:
        dtype = array.dtype.newbyteorder("=") if array.dtype.newbyteorder("=") in FLOAT_DTYPES else np.dtype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # float64 beyond float32 becomes inf (L33)
        return read_only(_contiguous(array, dtype))


def shape(array: np.ndarray[Any, Any], name: str, expected: tuple[int, ...]) -> None:
    """Raise a ValueError unless the array has exactly this shape."""
    if array.shape != expected:
        raise ValueError(f"`{name}` must have shape {expected}, not {array.shape}.")


def grad_out(value: Any, leading: tuple[int, ...], dim: int | None, dtype: np.dtype[Any] | None) -> FloatArray:
    """
    Return the gradient of an output of shape ``leading + (dim,)``, as (rows, dim).

    If `dim` is None, it is taken from the array.
    """
    array = floats(value, "grad_out", dtype)
    if dim is None:
        if array.ndim != len(leading) + 1 or array.shape[:-1] != leading or array.shape[-1] < 1:
            words = ", ".join([*(str(size) for size in leading), "d"]) + ("," if not leading else "")
            raise ValueError(f"`grad_out` must have shape ({words}), not {array.shape}.")
        dim = array.shape[-1]
    shape(array, "grad_out", (*leading, dim))
    return array.reshape(math.prod(leading), dim)


def table(value: Any, name: str = "weight") -> FloatArray:
    """
    Check a table and return a view of it, never a copy.

    It must be (m, d), float32 or float64 in native byte order, C-contiguous and aligned.
    """
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must be a NumPy array, not {type(value).__name__}.")
    if value.dtype not in FLOAT_DTYPES or not value.dtype.isnative:
        raise ValueError(f"`{name}` must be float32 or float64 in native byte order, not {value.dtype.str}.")
    if value.ndim != 2 or value.shape[0] < 1 or value.shape[1] < 1:
        raise ValueError(f"`{name}` must have shape (rows, dim), both at least 1, not {value.shape}.")
    if not (value.flags.c_contiguous and value.flags.aligned):
        raise ValueError(f"`{name}` must be C-contiguous and aligned.")
    return value.view(np.ndarray)


def writable(array: np.ndarray[Any, Any], name: str, why: str) -> None:
    """Raise a ValueError if an array that must be written to is read-only."""
    if not array.flags.writeable:
        raise ValueError(f"`{name}` must be writable {why}; it is read-only.")


def same_kind(array: Any, name: str, like: FloatArray, expected: tuple[int, ...]) -> FloatArray:
    """
    Check an array of optimizer state and return a view of it.

    It must have the dtype of `like` and the given shape, be writable and C-contiguous.
    """
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must be a NumPy array, not {type(array).__name__}.")
    if array.dtype != like.dtype or not array.dtype.isnative:
        why = ", as the table is" if like.ndim else ""
        raise ValueError(f"`{name}` must be {like.dtype}{why}, not {array.dtype if array.dtype.isnative else array.dtype.str}.")
    shape(array, name, expected)
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"`{name}` must be C-contiguous and aligned.")
    writable(array, name, "for an update")
    return array.view(np.ndarray)


def no_negative(array: np.ndarray[Any, Any], label: str) -> None:
    """Raise a ValueError for the first number below 0; NaN passes."""
    if array.size and np.fmin.reduce(array, axis=None) < 0:
        flat = int(np.argmax(array.reshape(-1) < 0))
        raise ValueError(f"{label} must be at least 0, not {array.reshape(-1)[flat]:g}{position(flat, array.shape)}.")


def own_memory(array: np.ndarray[Any, Any], name: str, *known: tuple[str, np.ndarray[Any, Any]]) -> None:
    """Raise a ValueError if a written array overlaps another written array."""
    for other, memory in known:
        if np.may_share_memory(array, memory):
            raise ValueError(f"`{name}` must be memory of its own; it overlaps `{other}`.")


def padding_row(value: Any, num_rows: int, name: str = "padding_idx") -> int:
    """Return a padding index as a row: negative ones count from the end; -1 for None (L9)."""
    if value is None:
        return -1
    number = as_integer(value, name)
    if not -num_rows <= number < num_rows:
        raise ValueError(f"`{name}` must lie in [{-num_rows}, {num_rows}), not {number}.")
    return number % num_rows


def offsets(value: Any, indices: IntArray, include_last_offset: bool) -> IntArray:
    """Return the start of each bag, and the end of the last: (bags + 1,) int64 (L13)."""
    if indices.ndim == 2:
        if value is not None:
            raise ValueError("`offsets` must be None for 2-D indices: each row is a bag.")
        starts: IntArray = np.arange(indices.shape[0] + 1, dtype=np.int64) * indices.shape[1]
        return starts
    if indices.ndim != 1:
        raise ValueError(f"`indices` must have 1 or 2 dimensions, not {indices.ndim}.")
    if value is None:
        raise ValueError("`offsets` must be given for 1-D indices: where each bag starts.")
    starts = _bag_starts(value)
    size = indices.shape[0]
    if starts.ndim != 1:
        raise ValueError(f"`offsets` must have one dimension, not {starts.ndim}.")
    if starts.size == 0:
        if size:
            raise ValueError(f"`offsets` must not be empty: there are {size} indices.")
        return np.zeros(1, dtype=np.int64)
    if starts[0] != 0:
        raise ValueError(f"`offsets` must start at 0, not {starts[0]}.")
    falls = np.flatnonzero(starts[1:] < starts[:-1])
    if falls.size:
        at = int(falls[0]) + 1
        raise ValueError(f"`offsets` must never decrease, not from {starts[at - 1]} to {starts[at]} at position {at}.")
    if starts[-1] > size:
        at = int(np.flatnonzero(starts > size)[0])
        raise ValueError(f"`offsets` must end at or before {size}, not {starts[at]} at position {at}.")
    if include_last_offset:
        if starts[-1] != size:
            raise ValueError(f"`offsets` must end with the number of indices, {size}, not {starts[-1]}.")
        return np.array(starts)
    return np.append(starts, size)


def _bag_starts(value: Any) -> IntArray:
    """
    Return `offsets` as int64.

    A value beyond int64 raises a ValueError, since offsets are a shape and not a range.
    """
    try:
        return ids(value, "offsets")
    except IndexError as error:
        raise ValueError(str(error)) from None


def per_sample_weights(value: Any, indices: IntArray, mode: str, dtype: np.dtype[Any]) -> FloatArray | None:
    """Return the weights of the entries, flat, or None; only mode "sum" takes them (L18)."""
    if value is None:
        return None
    if mode != "sum":
        raise ValueError(f"`per_sample_weights` must be None for mode {mode!r}: only 'sum' takes weights.")
    weights = floats(value, "per_sample_weights", dtype)
    shape(weights, "per_sample_weights", indices.shape)
    return weights.reshape(-1)


def outside(flat: int, indices: IntArray, bound: int, name: str) -> IndexError:
    """Return the IndexError for the id at a flat position, that a kernel found (L2)."""
    return IndexError(f"`{name}` must lie in [0, {bound}), not {indices.reshape(-1)[flat]}{position(flat, indices.shape)}.")
