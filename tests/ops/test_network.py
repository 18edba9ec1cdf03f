"""A softmax against sparse targets: bits and offsets are checked before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

from npbloom.ops.network import softmax_loss


@pytest.mark.parametrize(
    ("bits", "offsets", "error", "words"),
    [
        ([0, 4], [0, 1], IndexError, "`bits`.*position 1"),
        ([-1, 0], [0, 1], IndexError, "`bits`.*position 0"),
        ([0, 1], [0], ValueError, "`offsets`"),
        ([0, 1], [0, 3], ValueError, "`offsets`"),
    ],
)
def test_targets_that_do_not_fit_are_refused(bits: list[int], offsets: list[int], error: type[Exception], words: str) -> None:
    logits = np.arange(8.0).reshape(2, 4)
    with pytest.raises(error, match=words):
        softmax_loss(logits, np.array(bits), np.array(offsets))
    np.testing.assert_array_equal(logits, np.arange(8.0).reshape(2, 4))


def test_the_gradient_takes_the_place_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 5))
    bits, offsets = np.array([4, 0, 2]), np.array([0, 2, 2])  # the second row has no target
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected[0, [4, 0]] -= 0.5
    expected[2, 2] -= 1
    softmax_loss(logits, bits, offsets)
    np.testing.assert_allclose(logits, expected / 3, rtol=1e-12, atol=1e-15)
