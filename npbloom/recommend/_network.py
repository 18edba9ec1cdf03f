"""
Network of the paper: bits, ReLU layers, softmax over bits, with forward and backward passes.

Every matrix is the table of a layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from npbloom.coding import BloomCoder
from npbloom.layers import BloomEmbedding, ScaledEmbedding, ScaledEmbeddingBag, ZeroEmbedding
from npbloom.types import FloatArray, IntArray

Layers = dict[str, Any]


def make_layers(
    num_bits: int, hidden: tuple[int, ...], coder: BloomCoder | None, dtype: np.dtype[Any], rng: np.random.Generator
) -> Layers:
    """Return layers with zero biases and normal weights of variance 2 / (inputs + outputs)."""

    def drawn(rows: int, columns: int, inputs: int, outputs: int) -> FloatArray:
        values: FloatArray = rng.standard_normal((rows, columns), dtype=dtype.type)
        values *= dtype.type(np.sqrt(2.0 / (inputs + outputs)))
        return values

    first, last = hidden[0], hidden[-1]
    layers: Layers = {
        "input": ScaledEmbeddingBag(num_bits, first, mode="sum", weight=drawn(num_bits, first, num_bits, first)),
        "input_biases": ZeroEmbedding(1, first, dtype=dtype),
    }
    for number, (inputs, outputs) in enumerate(pairwise(hidden), 1):
        layers[f"hidden_{number}"] = ScaledEmbedding(inputs, outputs, weight=drawn(inputs, outputs, inputs, outputs))
        layers[f"hidden_{number}_biases"] = ZeroEmbedding(1, outputs, dtype=dtype)
    layers["output"] = ScaledEmbedding(num_bits, last, weight=drawn(num_bits, last, last, num_bits))
    layers["output_biases"] = _output_biases(num_bits, coder, dtype)
    return layers


def make_shapes(num_bits: int, hidden: tuple[int, ...]) -> dict[str, tuple[int, int]]:
    """Return the shapes of the tables that `make_layers` makes."""
    shapes = {"input": (num_bits, hidden[0]), "input_biases": (1, hidden[0])}
    for number, (inputs, outputs) in enumerate(pairwise(hidden), 1):
        shapes |= {f"hidden_{number}": (inputs, outputs), f"hidden_{number}_biases": (1, outputs)}
    return {**shapes, "output": (num_bits, hidden[-1]), "output_biases": (num_bits, 1)}


def _output_biases(num_bits: int, coder: BloomCoder | None, dtype: np.dtype[Any]) -> ZeroEmbedding | BloomEmbedding:
    """
    Return the layer of output biases, one bias for each bit.

    With a coder an item's bias is the sum of its bits' biases. So the layer, and its file, know
    which bits an item has.
    """
    if coder is None:
        return ZeroEmbedding(num_bits, 1, dtype=dtype)
    options: dict[str, Any] = {"hash_table": coder.table}
    if coder.table is None:
        options = {"num_hash_functions": coder.num_hashes}
    zeros = np.zeros((num_bits, 1), dtype=dtype)
    return BloomEmbedding(coder.num_items, 1, num_rows=num_bits, padding_idx=None, weight=zeros, **options)


def coder_of(layers: Layers) -> BloomCoder | None:
    """Return the coder that `make_layers` was given."""
    biases = layers["output_biases"]
    if not isinstance(biases, BloomEmbedding):
        return None
    sizes = biases.num_embeddings, biases.compressed_num_embeddings
    if biases.hashing.table is not None:
        return BloomCoder(*sizes, table=biases.hashing.table)
    return BloomCoder.murmur(*sizes, biases.num_hash_functions)


# ---- forward and backward ------------------------------------------------------------------------


def forward(layers: Layers, bits: IntArray, offsets: IntArray) -> tuple[list[FloatArray], FloatArray]:
    """Return outputs of the ReLU layers, and logits (n, num_bits), of instances given as bits."""
    first: FloatArray = layers["input"].forward(bits, offsets)
    first += layers["input_biases"].weight
    activations = [np.maximum(first, 0, out=first)]
    for number in range(1, _depth(layers)):
        hidden: FloatArray = activations[-1] @ layers[f"hidden_{number}"].weight
        hidden += layers[f"hidden_{number}_biases"].weight
        activations.append(np.maximum(hidden, 0, out=hidden))
    logits: FloatArray = activations[-1] @ layers["output"].weight.T
    logits += layers["output_biases"].weight[:, 0]
    return activations, logits


def backward(layers: Layers, activations: list[FloatArray], grad_logits: FloatArray) -> dict[str, FloatArray]:
    """
    Return the gradients of all tables, each of the shape of its table.

    For "input" the gradient is that of the layer's output, shape (n, width).
    """
    grads = {
        "output": grad_logits.T @ activations[-1],
        "output_biases": grad_logits.sum(axis=0)[:, np.newaxis],
    }
    grad = grad_logits @ layers["output"].weight
    for number in range(_depth(layers) - 1, 0, -1):
        grad *= activations[number] > 0
        grads[f"hidden_{number}"] = activations[number - 1].T @ grad
        grads[f"hidden_{number}_biases"] = grad.sum(axis=0, keepdims=True)
        grad = grad @ layers[f"hidden_{number}"].weight.T
    grad *= activations[0] > 0
    grads["input_biases"] = grad.sum(axis=0, keepdims=True)
    grads["input"] = grad
    return grads


def _depth(layers: Layers) -> int:
    """Return the number of ReLU layers."""
    return len(layers) // 2 - 1
