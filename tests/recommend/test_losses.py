"""Losses: their formulas, and gradients against finite differences and torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, event, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional

from npbloom.recommend import losses

Tensor = torch.Tensor

PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bpr": lambda positive, negative: (1 - torch.sigmoid(positive - negative)).mean(),
    "log_bpr": lambda positive, negative: -functional.logsigmoid(positive - negative).mean(),
    "pointwise": lambda positive, negative: (1 - torch.sigmoid(positive) + torch.sigmoid(negative)).mean(),
    "hinge": lambda positive, negative: functional.relu(1 - positive + negative).mean(),
    "adaptive_hinge": lambda positive, negatives: functional.relu(1 - positive + negatives.max(dim=1).values).mean(),
}
RATINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "regression": functional.mse_loss,
    "poisson": lambda scores, ratings: functional.poisson_nll_loss(scores, ratings),
    "logistic": lambda scores, ratings: functional.binary_cross_entropy_with_logits(scores, (ratings > 0).double()),
}


def scores(shape: tuple[int, ...], bound: float) -> st.SearchStrategy[np.ndarray]:
    """
    Draw distinct scores, so that maxima and margins have no ties.

    The torch losses and these may break ties differently.
    """
    return hnp.arrays(np.float64, shape, elements=st.floats(-bound, bound), unique=True)


@given(st.data(), st.sampled_from(sorted(PAIRS)), st.integers(1, 6))
def test_pair_losses_against_torch(data: st.DataObject, name: str, count: int) -> None:
    event(name)
    positive = data.draw(scores((count,), 30.0))
    negative = data.draw(scores((count, 3) if name == "adaptive_hinge" else (count,), 30.0))
    margin = 1 - positive + (negative.max(axis=1) if name == "adaptive_hinge" else negative)
    assume("hinge" not in name or (margin != 0).all())  # the kink's slope is tested below
    value, *grads = getattr(losses, name)(positive, negative)
    tensors = [torch.tensor(array, requires_grad=True) for array in (positive, negative)]
    expected = PAIRS[name](*tensors)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12, atol=1e-14)
    for grad, tensor in zip(grads, tensors, strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


@given(st.data(), st.sampled_from(sorted(RATINGS)), st.integers(1, 6))
def test_rating_losses_against_torch(data: st.DataObject, name: str, count: int) -> None:
    event(name)
    predicted = data.draw(hnp.arrays(np.float64, count, elements=st.floats(-20, 20)))
    ratings = data.draw(hnp.arrays(np.int64, count, elements=st.integers(-2, 5)))
    value, grad = getattr(losses, name)(predicted, ratings)
    tensor = torch.tensor(predicted, requires_grad=True)
    expected = RATINGS[name](tensor, torch.tensor(ratings, dtype=torch.float64))
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12, atol=1e-14)
    assert tensor.grad is not None
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", [*PAIRS, *RATINGS])
def test_gradients_are_finite_differences(name: str) -> None:
    rng = np.random.default_rng(3)
    shape = (7, 4) if name == "adaptive_hinge" else (7,)
    arrays = [rng.normal(size=7), rng.normal(size=shape) if name in PAIRS else rng.integers(0, 3, 7)]
    loss = getattr(losses, name)
    step = 1e-6
    for which, grad in enumerate(loss(*arrays)[1:]):
        for place in np.ndindex(grad.shape):
            up, down = ([array.copy() for array in arrays] for _ in range(2))
            up[which][place] += step
            down[which][place] -= step
            slope = (loss(*up)[0] - loss(*down)[0]) / (2 * step)
            np.testing.assert_allclose(grad[place], slope, atol=1e-8)


def test_values_by_hand() -> None:
    log2 = np.log(2)
    assert losses.bpr([0.0, np.log(3)], [0.0, 0.0])[0] == pytest.approx((0.5 + 0.25) / 2)
    assert losses.log_bpr([0.0], [0.0])[0] == pytest.approx(log2)
    assert losses.pointwise([np.log(3)], [np.log(3)])[0] == pytest.approx(0.25 + 0.75)
    assert losses.hinge([0.5, 3.0], [0.0, 0.0])[0] == pytest.approx(0.25)
    assert losses.adaptive_hinge([0.5], [[-9.0, 0.25, 0.0]])[0] == pytest.approx(0.75)
    assert losses.regression([1.0, 2.0], [3, 2])[0] == pytest.approx(2.0)
    assert losses.poisson([log2], [3])[0] == pytest.approx(2 - 3 * log2)
    assert losses.logistic([0.0, 0.0], [0, 4])[0] == pytest.approx(log2)


def test_each_positive_is_compared_with_its_own_negatives() -> None:
    value, grad_positive, grad_negatives = losses.adaptive_hinge([5.0, 0.0], [[9.0, 1.0], [-5.0, -4.0]])
    assert value == pytest.approx((1 - 5 + 9 + 0) / 2)
    np.testing.assert_array_equal(grad_positive, [-0.5, 0.0])
    np.testing.assert_array_equal(grad_negatives, [[0.5, 0.0], [0.0, 0.0]])


def test_the_first_of_equal_negatives_takes_the_gradient() -> None:
    grad = losses.adaptive_hinge([0.0], [[1.0, 2.0, 2.0]])[2]
    np.testing.assert_array_equal(grad, [[0.0, 1.0, 0.0]])


def test_no_slope_at_exactly_the_margin() -> None:
    assert losses.hinge([1.0], [0.0])[0] == 0.0
    np.testing.assert_array_equal(losses.hinge([1.0], [0.0])[1], [0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*PAIRS, *RATINGS])
def test_large_scores_neither_overflow_nor_warn(name: str, dtype: type) -> None:
    large = np.array([300.0, -300.0, 80.0, -80.0], dtype=dtype)
    other = -large.astype(np.float64) if name in RATINGS else -large
    value, *grads = getattr(losses, name)(large, other[:, np.newaxis] if name == "adaptive_hinge" else other)
    assert np.isfinite(value)
    for grad in grads:
        assert grad.dtype == dtype
    if name != "poisson":  # its gradient is as steep as the exponential function
        assert all(np.isfinite(grad).all() for grad in grads)


def test_tails_keep_their_relative_precision() -> None:
    assert losses.bpr([40.0], [0.0])[0] == pytest.approx(np.exp(-40.0), rel=1e-12)
    assert losses.logistic([40.0], [1])[1][0] == pytest.approx(-np.exp(-40.0), rel=1e-12)
    assert losses.poisson([1000.0], [1])[0] == np.inf


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_a_diverged_score_shows_in_value_and_gradient(name: str) -> None:
    nan = np.array([np.nan])
    value, *grads = getattr(losses, name)(nan, nan[:, np.newaxis] if name == "adaptive_hinge" else nan)
    assert np.isnan(value)
    assert all(np.isnan(grad).all() for grad in grads)


@pytest.mark.parametrize("name", [*PAIRS, *RATINGS])
def test_bad_arguments(name: str) -> None:
    loss = getattr(losses, name)
    with pytest.raises(TypeError, match="must be a real floating array, not int64"):
        loss([1, 2], [0.0, 0.0])
    with pytest.raises(ValueError, match="must have shape"):
        loss([1.0, 2.0], [[0.0], [0.0], [0.0]])
    with pytest.raises(ValueError, match="must not be empty"):
        loss(np.empty(0), np.empty((0, 1)) if name == "adaptive_hinge" else np.empty(0))
    if name in RATINGS:
        with pytest.raises(TypeError, match="`ratings` must be real numbers"):
            loss([1.0], ["a"])
