"""What every contender is: a table and its optimizer that look batches up and learn from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[Any]

LEARNING_RATE: Final = 0.01
EPS: Final = 1e-8  # FBGEMM's default; torch's and ours are told


@dataclass(frozen=True)
class Batch:
    """One batch: ids for us; for peers the rows they hash to, where they are hashed; where bags begin, where there are bags."""

    ids: IntArray  # (n,)
    grad_out: FloatArray  # (n, d), or (bags, d)
    rows: IntArray | None = None  # (n, k)
    offsets: IntArray | None = None
    per_sample_weights: FloatArray | None = None

    @property
    def touched(self) -> IntArray:
        """The rows of the table that the batch reads, sorted and distinct."""
        return np.unique(self.ids if self.rows is None else self.rows)

    @property
    def hits(self) -> npt.NDArray[np.int64]:
        """How often each touched row is read."""
        return np.unique(self.ids if self.rows is None else self.rows, return_counts=True)[1]


class Table(ABC):
    """A contender. Each forward and each step takes the next of its batches, from the first again after the last."""

    name: ClassVar[str]

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self._next = 0

    def turn(self) -> int:
        """The number of the next batch."""
        number = self._next
        self._next = (number + 1) % len(self.batches)
        return number

    def rewind(self) -> None:
        """Begin with the first batch again."""
        self._next = 0

    @property
    @abstractmethod
    def weight(self) -> FloatArray:
        """The table, live."""

    @abstractmethod
    def accumulators(self) -> list[FloatArray]:
        """The sums of squares that the optimizer divides by the root of, live."""

    @abstractmethod
    def forward(self) -> Any:
        """Look the next batch up, as a user would; an array of the contender's own kind."""

    @abstractmethod
    def output(self) -> FloatArray:
        """The same as a NumPy array, outside of all timings."""

    @abstractmethod
    def step(self) -> None:
        """One training step on the next batch: forward, backward, update."""
