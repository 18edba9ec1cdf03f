"""Labels: the file's own ids of users and items, and the row numbers that stand for them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.types import as_integer, refuse_masked, unmasked

LabelArray = npt.NDArray[Any]  # integers, or objects that are str
Label = int | str


def text_labels(names: list[str]) -> LabelArray:
    """
    Return text labels as an array of Python strings.

    An array of NumPy's str would take the width of the longest label for every entry.
    """
    return np.array(names, dtype=object)


def check_labels(labels: Any, name: str, size: int, padding_idx: int | None) -> LabelArray | None:
    """
    Check that every id has a label of its own, an integer or a string; return the labels.

    The label of the padding id is not checked.
    """
    if labels is None:
        return None
    array = _label_array(labels, name)
    _check.shape(array, name, (size,))
    real = array.tolist()
    if padding_idx is not None:
        del real[padding_idx]
    if len(set(real)) != len(real):
        twice = next(label for label, times in Counter(real).items() if times > 1)
        raise ValueError(f"`{name}` must be distinct, not {twice!r} twice.")
    return array


def _label_array(labels: Any, name: str) -> LabelArray:
    """
    Return a copy of the labels, so that later writes by the caller cannot make two of them equal.

    Integers among strings become strings.
    """
    if hasattr(labels, "__array__"):
        array = unmasked(labels, name)
    else:
        refuse_masked(labels, name)
        array = np.array(labels, dtype=object)
    if array.dtype.kind in "UT":
        return array.astype(object)
    kinds = set(map(type, array.ravel().tolist())) if array.dtype.kind == "O" else set()
    if not any(issubclass(kind, str) for kind in kinds):
        array = np.array(labels)
        if array.dtype.kind not in "iu":
            raise TypeError(f"`{name}` must be integers or strings, not {array.dtype}.")
        return array
    for kind in kinds:
        if not issubclass(kind, (str, int)) or kind is bool:
            raise TypeError(f"`{name}` must be integers or strings, not {kind.__name__}.")
    return text_labels([str(label) for label in array.ravel()]).reshape(array.shape)


class Labels:
    """Labels of ids, and ids of labels; without labels the ids are the labels."""

    def __init__(self, values: LabelArray | None, size: int, padding_idx: int | None, kind: str) -> None:
        """Take `values` from `check_labels`; errors call the ids by `kind`, "user" or "item"."""
        self.values = values
        self.size = size
        self.padding_idx = padding_idx
        self.kind = kind
        self._numbers: dict[Label, int] | None = None  # made on the first lookup

    def agrees_with(self, other: Labels) -> bool:
        """
        Return True if no id has two different labels.

        A side without labels agrees with every other side.
        """
        if self.values is None or other.values is None or self.values is other.values:
            return True
        return np.array_equal(self.values, other.values)

    def names(self, ids: npt.NDArray[np.int64]) -> list[Label]:
        """Return the labels of checked ids, as Python integers or strings."""
        found: list[Label] = (ids if self.values is None else self.values[ids]).tolist()
        return found

    def number(self, label: Any) -> int:
        """
        Return the id of a label, or raise a ValueError if the label is unknown.

        A string of digits finds an integer label, and an integer finds a label of digits.
        """
        given: Label = str(label) if isinstance(label, str) else as_integer(label, f"{self.kind}_label")
        integers = self.values is None or self.values.dtype.kind in "iu"
        wanted: Label | None = _as_number(given) if integers else str(given)
        number = None if wanted is None else self._find(wanted)
        if number is None:
            raise ValueError(f"{self.kind.capitalize()} {label!r} is unknown: there is no such {self.kind} in the interactions.")
        return number

    def _find(self, label: Label) -> int | None:
        """Return the id of a label of the right type, or None."""
        if self.values is None:
            known = isinstance(label, int) and 0 <= label < self.size and label != self.padding_idx
            return int(label) if known else None
        if self._numbers is None:
            names = self.values.tolist()
            self._numbers = dict(zip(names, range(self.size), strict=True))
            if self.padding_idx is not None:
                padding = names[self.padding_idx]
                if self._numbers.get(padding) == self.padding_idx:  # a real label may equal the placeholder
                    del self._numbers[padding]
        return self._numbers.get(label)


def _as_number(label: Label) -> int | None:
    """
    Return an integer as it is, and a string of decimal digits as the integer it spells.

    For any other string return None.
    """
    if isinstance(label, int):
        return label
    try:
        number = int(label)
    except ValueError:
        return None
    return number if str(number) == label else None
