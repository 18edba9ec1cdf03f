"""Interface of a contender: a table and its optimizer that look up batches and learn from them."""

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
EPS: Final = 1e-8  # FBGEMM's default, passed to torch and npbloom


@dataclass(frozen=True)
class Batch:
    """
    One batch. npbloom reads the ids; peers of a Bloom layer read the rows that the ids hash to.

    Batches of bags have offsets.
    """

    ids: IntArray  # (n,)
    grad_out: FloatArray  # (n, d), or (bags, d)
    rows: IntArray | None = None  # (n, k)
    offsets: IntArray | None = None
    per_sample_weights: FloatArray | None = None

    @property
    def touched(self) -> IntArray:
        """Rows of the table that the batch reads, sorted and distinct."""
        return np.unique(self.ids if self.rows is None else self.rows)

    @property
    def hits(self) -> npt.NDArray[np.int64]:
        """Number of reads of each touched row."""
        return np.unique(self.ids if self.rows is None else self.rows, return_counts=True)[1]


class Table(ABC):
    """
    Base of contenders.

    Each forward and each step takes the next batch, and the first again after the last.
    """

    name: ClassVar[str]

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self._next = 0

    def turn(self) -> int:
        """Return the number of the next batch."""
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
        """Return the sums of squares whose root the optimizer divides by, live."""

    @abstractmethod
    def forward(self) -> Any:
        """
        Look up the next batch as a user would, and return an array of the contender's own kind.
        """

    @abstractmethod
    def output(self) -> FloatArray:
        """Return the same as a NumPy array, outside of all timings."""

    @abstractmethod
    def step(self) -> None:
        """Take one training step on the next batch: forward, backward, update."""
