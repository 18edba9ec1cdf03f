"""`Case`: one operation on given inputs, for a backend to compute."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

Outputs = dict[str, Any]
LONG = 500  # elements above which an array is shown packed
BLOOMS = ("bloom", "bloom_mean", "bloom_concat")  # operations on hashed rows


@dataclass(frozen=True, eq=False)
class Case:
    """
    One operation on given inputs: its name, its options, and NumPy arrays.

    Fields that an operation does not have are None.

    Parameters
    ----------
    op : str
        ``hash``, ``hash_bytes``, ``embedding``, ``bag``, ``bloom``, ``bloom_mean``,
        ``bloom_concat``, ``bloom64``, ``sgd``, ``adagrad``, ``rowwise_adagrad``, ``adam``. An
        adapter dispatches on it alone, and raises `Unsupported` for one that it does not know.
    dtype : str
        Dtype of the table by name. float16 arrays are float16; bfloat16 arrays are float32 that
        hold bfloat16 values.
    weight : array, shape (m, d)
        The table.
    ids : int array
        For ``hash`` 1-D and within int32; for ``bag`` 1-D or 2-D.
    grad_out : array
        Gradient of the output. Lookups always have it; it is zero if only forward is tested.
    padding_idx : int, optional
        May be negative for ``embedding`` and ``bag`` only.
    max_norm, norm_type : float, optional
        As in torch.
    scale_grad_by_freq : bool
        As in torch.
    offsets : int array, optional
        As in torch.
    mode : {"sum", "mean", "max"}
        Of a bag.
    include_last_offset : bool
        As in torch.
    per_sample_weights : array, optional
        As in torch.
    num_rows, seeds : int, tuple of int
        For ``hash``: table rows and one seed for each probe.
    keys, seed : uint8 array (n, length), int
        For ``hash_bytes``: n keys of equally many bytes.
    num_embeddings, num_hash_functions : int
        For ``bloom``, ``bloom_mean``, ``bloom_concat``: see `npbloom.HashSpec`.
    share_padding_row : bool
        For these: see `npbloom.HashSpec`.
    rows, values : int array (n,), array (n, d)
        For optimizers: a gradient that is not coalesced; rows may repeat.
    state : dict of str to array
        For optimizers: complete before the first step.
    options : dict of str to number
        For optimizers: every constructor argument, defaults included.

    Examples
    --------
    >>> Case("hash", ids=np.array([3, 7]), num_rows=5, seeds=(0, 1))
    Case(op='hash', dtype='float32', ids=np.array([3, 7], dtype='int64'), num_rows=5, seeds=(0, 1))
    """

    op: str
    dtype: str = "float32"
    weight: Any = None
    ids: Any = None
    grad_out: Any = None
    padding_idx: int | None = None
    max_norm: float | None = None
    norm_type: float | None = None
    scale_grad_by_freq: bool | None = None
    offsets: Any = None
    mode: str | None = None
    include_last_offset: bool | None = None
    per_sample_weights: Any = None
    num_rows: int | None = None
    seeds: tuple[int, ...] | None = None
    keys: Any = None
    seed: int | None = None
    num_embeddings: int | None = None
    num_hash_functions: int | None = None
    share_padding_row: bool | None = None
    rows: Any = None
    values: Any = None
    state: dict[str, Any] | None = None
    options: dict[str, Any] | None = None

    def replace(self, **changes: Any) -> Case:
        """
        Return the same case with some fields changed.

        Parameters
        ----------
        **changes : Any
            New values by field.

        Returns
        -------
        Case
            A new case that shares the other arrays.
        """
        return Case(**{**self.given(), **changes})

    def given(self) -> dict[str, Any]:
        """Return the fields that are not None."""
        return {name: value for name, value in self.__dict__.items() if value is not None}

    def copy(self) -> Case:
        """
        Return a case with arrays of its own.

        A backend gets such a copy, so that writes to its inputs can be detected.
        """
        return Case(**{name: copied(value) for name, value in self.given().items()})

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return all arrays of the case by name, those of the state included."""
        found: dict[str, np.ndarray[Any, Any]] = {}
        for name, value in self.given().items():
            if isinstance(value, np.ndarray):
                found[name] = value
            elif name == "state":
                found.update({f"state[{key!r}]": np.asarray(array) for key, array in value.items()})
        return found

    def __repr__(self) -> str:
        """Return a call that makes this case, bit for bit, where `np` and `Case` are imported."""
        return f"Case({', '.join(f'{name}={literal(value)}' for name, value in self.given().items())})"


def rows_shape(case: Case) -> tuple[int, int]:
    """
    Return the height and width of the array that the `rows` of a gradient index.

    That is the table; for ``bloom_concat`` it is the table of slices (L21).
    """
    height, width = case.weight.shape
    slices = case.num_hash_functions or 1 if case.op == "bloom_concat" else 1
    return height * slices, width // slices


def copied(value: Any) -> Any:
    """Return a value whose arrays are copies, C-contiguous and writable."""
    if isinstance(value, np.ndarray):
        return np.array(value, order="C")
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value


def literal(value: Any) -> str:
    """Return Python source for a field of a case; it keeps floats bit for bit."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, np.ndarray):
        if value.size > LONG:  # thousands of rows in decimals would fill screens
            packed = zlib.compress(value.tobytes(), 9).hex()
            source = f"__import__('zlib').decompress(bytes.fromhex({packed!r}))"
            return f"np.frombuffer({source}, dtype={value.dtype.str!r}).reshape({value.shape}).copy()"
        if _has_payload(value):
            bits = f"np.frombuffer(bytes.fromhex({value.tobytes().hex()!r}), dtype={value.dtype.str!r})"
            return f"{bits}.reshape({value.shape}).copy()"
        source = _nested(value.tolist())
        empty = f".reshape({value.shape})" if value.size == 0 and value.ndim != 1 else ""
        return f"np.array({source}, dtype={value.dtype.name!r}){empty}"
    if isinstance(value, float):
        return _number(value)
    return repr(value)


def _has_payload(array: np.ndarray[Any, Any]) -> bool:
    """Return True if an array holds a NaN whose bits decimals would lose: not those of `np.nan`."""
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return False
    usual = np.full(1, np.nan, dtype=array.dtype).tobytes()
    return any(value.tobytes() != usual for value in array[np.isnan(array)])


def _nested(value: Any) -> str:
    """Return the source of nested lists of numbers."""
    if isinstance(value, list):
        return "[" + ", ".join(_nested(item) for item in value) + "]"
    return _number(value) if isinstance(value, float) else repr(value)


def _number(value: float) -> str:
    """Return the source of a float; NaN and infinities have no literal of their own."""
    if value != value:
        return "np.nan"
    if value in (np.inf, -np.inf):
        return "np.inf" if value > 0 else "-np.inf"
    return repr(value)
