"""Logits to losses and gradients: a softmax against sparse targets, by blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from npbloom import _check, _parallel
from npbloom._kernels import network as kernels
from npbloom.ops._ids import check_ids
from npbloom.types import FloatArray, IntArray

__all__ = ["log_softmax", "softmax_loss"]

CACHED: Final = 2**16  # logits that are worked on at once, so that they stay in the second cache
GRAIN: Final = 2**15  # logits below which a second thread does not pay


def softmax_loss(logits: FloatArray, bits: IntArray, offsets: IntArray) -> float:
    r"""
    Compute the mean categorical cross-entropy of the softmax against each row's bits.

    The bits of a row share a weight of one.

    The loss is the mean over the n rows. Row i, with bits :math:`T_i`, has the loss
    :math:`\log \sum_b e^{z_{ib}} - \frac1{|T_i|} \sum_{b \in T_i} z_{ib}`.

    Parameters
    ----------
    logits : float32 or float64 array, shape (n, num_bits)
        Written to: the gradient, (softmax minus target) / n, takes the place of the logits.
    bits : int64 array, shape (t,)
        Bits of all rows, each in ``[0, num_bits)``, one row after the other; those of a row differ.
    offsets : int64 array, shape (n,)
        Where each row's bits start.

    Returns
    -------
    float
        The loss.

    Raises
    ------
    IndexError, ValueError
        `bits` or `offsets` do not fit `logits`.

    Examples
    --------
    >>> logits = np.zeros((1, 4))
    >>> round(softmax_loss(logits, np.array([1, 3]), np.array([0])), 6)     # log 4
    1.386294
    >>> logits
    array([[ 0.25, -0.25,  0.25, -0.25]])
    """
    count = len(logits)
    targets = check_ids(bits, logits.shape[1], "bits")
    starts = _check.offsets(offsets, targets, False)
    _check.shape(starts, "offsets", (count + 1,))
    losses = np.empty(count)

    def work(lo: int, hi: int) -> None:
        part = logits[lo:hi]
        part -= part.max(axis=1, keepdims=True)
        kernels.pick_range(logits, targets, starts, losses, lo, hi)
        np.exp(part, out=part)
        totals = part.sum(axis=1, keepdims=True, dtype=np.float64)
        losses[lo:hi] = np.log(totals[:, 0]) - losses[lo:hi]
        part *= (1.0 / (count * totals)).astype(part.dtype)
        kernels.subtract_range(logits, targets, starts, 1.0 / count, lo, hi)

    _by_rows(work, logits)
    return float(losses.mean())


def log_softmax(logits: FloatArray) -> None:
    """
    Turn logits into log-probabilities, in place.

    Parameters
    ----------
    logits : float32 or float64 array, shape (n, num_bits)
        Written to.

    Examples
    --------
    >>> logits = np.zeros((1, 4))
    >>> log_softmax(logits)
    >>> np.exp(logits)
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    def work(lo: int, hi: int) -> None:
        part = logits[lo:hi]
        part -= part.max(axis=1, keepdims=True)
        part -= np.log(np.exp(part).sum(axis=1, keepdims=True))

    _by_rows(work, logits)


def _by_rows(work: Callable[[int, int], None], logits: FloatArray) -> None:
    """Run some rows at a time, on all threads."""
    rows = max(1, CACHED // logits.shape[1])

    def run(lo: int, hi: int) -> None:
        # The model's `history` shows a training that diverges.
        with np.errstate(invalid="ignore", divide="ignore"):
            for first in range(lo, hi, rows):
                work(first, min(first + rows, hi))

    _parallel.run_range(run, len(logits), grain=max(1, GRAIN // logits.shape[1]))
