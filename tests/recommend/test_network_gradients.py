"""Forward and backward of networks: finite differences, torch's gradients, sparse targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom import num_threads
from npbloom.coding import BloomCoder
from npbloom.ops.network import log_softmax, softmax_loss
from npbloom.recommend import _network
from tests.support._threads import split_everything

BITS = 9
GIVEN = np.array([0, 3, 8, 3, 2, 1, 0]), np.array([0, 3, 3, 6])  # the second instance is empty
WANTED = np.array([1, 8, 7, 4, 5, 6]), np.array([0, 2, 3, 5])


def network(hidden: tuple[int, ...], seed: int = 0, coder: BloomCoder | None = None) -> dict[str, Any]:
    """Return layers of float64 with biases that are not zero."""
    rng = np.random.default_rng(seed)
    bits = BITS if coder is None else coder.num_bits
    layers = _network.make_layers(bits, hidden, coder, np.dtype(np.float64), rng)
    for name, layer in layers.items():
        if name.endswith("biases"):
            layer.weight[:] = rng.normal(scale=0.3, size=layer.weight.shape)
    return layers


def loss_of(layers: dict[str, Any], given: Any, wanted: Any) -> float:
    """Return the loss of the four instances."""
    _, logits = _network.forward(layers, *given)
    return softmax_loss(logits, *wanted)


def dense(bits: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return rows of zeros and ones."""
    rows = np.zeros((len(offsets), BITS))
    for row, own in zip(rows, np.split(bits, offsets[1:]), strict=True):
        row[own] = 1
    return rows


@pytest.mark.parametrize("coder", [None, BloomCoder(BITS, 6, 3, rng=0), BloomCoder.murmur(BITS, 5, 4)], ids=repr)
@pytest.mark.parametrize("hidden", [(5,), (5, 4), (3, 6, 2)])
def test_gradients_are_finite_differences(hidden, coder):
    layers = network(hidden, seed=2, coder=coder)
    given, wanted = (parts if coder is None else coder.encode(*parts) for parts in (GIVEN, WANTED))
    activations, logits = _network.forward(layers, *given)
    softmax_loss(logits, *wanted)
    grads = _network.backward(layers, activations, logits)
    grads["input"] = layers["input"].backward(given[0], grads["input"], given[1], sparse=False)
    assert grads.keys() == layers.keys()
    step = 1e-6
    for name, layer in layers.items():
        assert grads[name].shape == layer.weight.shape
        for at in np.ndindex(layer.weight.shape):
            before = layer.weight[at]
            layer.weight[at] = before + step
            above = loss_of(layers, given, wanted)
            layer.weight[at] = before - step
            below = loss_of(layers, given, wanted)
            layer.weight[at] = before
            assert grads[name][at] == pytest.approx((above - below) / (2 * step), abs=1e-8), (name, at)
        assert np.abs(grads[name]).max() > 1e-3


@pytest.mark.parametrize("hidden", [(5,), (6, 4, 3)])
def test_gradients_are_torch_s(hidden):
    layers = network(hidden, seed=1)
    weights = {name: torch.tensor(layer.weight, requires_grad=True) for name, layer in layers.items()}
    out = torch.relu(torch.tensor(dense(*GIVEN)) @ weights["input"] + weights["input_biases"])
    for number in range(1, len(hidden)):
        out = torch.relu(out @ weights[f"hidden_{number}"] + weights[f"hidden_{number}_biases"])
    scores = torch.log_softmax(out @ weights["output"].T + weights["output_biases"][:, 0], dim=1)
    target = torch.tensor(dense(*WANTED))
    loss = -(scores * target / target.sum(dim=1, keepdim=True)).sum(dim=1).mean()
    loss.backward()

    activations, logits = _network.forward(layers, *GIVEN)
    log_probs = logits.copy()
    log_softmax(log_probs)
    np.testing.assert_allclose(log_probs, scores.detach().numpy(), rtol=1e-12)
    assert softmax_loss(logits, *WANTED) == pytest.approx(loss.item(), rel=1e-12)
    grads = _network.backward(layers, activations, logits)
    grads["input"] = layers["input"].backward(GIVEN[0], grads["input"], GIVEN[1], sparse=False)
    for name, weight in weights.items():
        np.testing.assert_allclose(grads[name], weight.grad.numpy(), rtol=1e-10, atol=1e-14, err_msg=name)


@given(st.integers(1, 5), st.integers(1, 7), st.sampled_from([np.float32, np.float64]), st.data())
def test_softmax_and_its_targets_as_written(count, bits, dtype, data):
    sizes = [data.draw(st.integers(1, bits)) for _ in range(count)]
    own = [np.array(data.draw(st.permutations(range(bits)))[:size]) for size in sizes]
    scale = data.draw(st.sampled_from([1.0, 50.0, 1000.0]))
    event(f"scale {scale:g}")
    logits = (np.random.default_rng(sum(sizes)).normal(size=(count, bits)) * scale).astype(dtype)
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    target = np.zeros((count, bits))
    for row, mine in zip(target, own, strict=True):
        row[mine] = 1 / len(mine)
    offsets = np.append(0, np.cumsum(sizes))[:-1]
    rtol = 1e-12 if dtype is np.float64 else 2e-5
    for threads in (1, 2, 3):
        with split_everything(threads):
            grad, scores = logits.copy(), logits.copy()
            loss = softmax_loss(grad, np.concatenate(own), offsets)
            log_softmax(scores)
        assert loss == pytest.approx(-(target * log_probs).sum(axis=1).mean(), rel=rtol, abs=rtol)
        np.testing.assert_allclose(grad, (np.exp(log_probs) - target) / count, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(scores, log_probs, rtol=rtol, atol=rtol * scale)


def test_many_rows_have_the_same_bits_on_any_number_of_threads():
    logits = np.random.default_rng(0).normal(size=(300, 1000)).astype(np.float32)
    bits, offsets = np.tile(np.arange(0, 1000, 7), 300), np.arange(300) * 143
    found = []
    for threads in (1, 2, 5):
        with num_threads(threads):
            grad = logits.copy()
            found.append((softmax_loss(grad, bits, offsets), grad))
    for loss, grad in found[1:]:
        assert loss == found[0][0]
        np.testing.assert_array_equal(grad, found[0][1])


def test_initial_values():
    layers = _network.make_layers(4000, (50, 30), None, np.dtype(np.float32), np.random.default_rng(0))
    assert {name: layer.weight.shape for name, layer in layers.items()} == _network.make_shapes(4000, (50, 30))
    for name, fans in (("input", 4050), ("hidden_1", 80), ("output", 4030)):
        assert layers[name].weight.std() == pytest.approx(np.sqrt(2 / fans), rel=0.05)
        assert abs(layers[name].weight.mean()) < 0.05 * np.sqrt(2 / fans)
    assert not any(layer.weight.any() for name, layer in layers.items() if name.endswith("biases"))
