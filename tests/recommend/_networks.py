"""Small networks and what they are computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from npbloom.coding import BloomCoder
from npbloom.recommend import ImplicitNetworkModel, Interactions

CODERS = {
    "items": None,
    "coder": BloomCoder(22, 13, 3, rng=0),
    "murmur": BloomCoder.murmur(30, 13, 2),
    "one hash": BloomCoder(22, 9, 1, rng=0),
}
coders = pytest.mark.parametrize("coder", CODERS.values(), ids=CODERS)


def make(coder: BloomCoder | None = None, **settings: Any) -> ImplicitNetworkModel:
    """Return a small network."""
    return ImplicitNetworkModel(**{"hidden": (6, 5), "coder": coder, "n_iter": 3, "batch_size": 5, "rng": 0, **settings})


def instances(met: Interactions) -> dict[int, set[int]]:
    """Return the items that each user has met."""
    return {user: set(met.item_ids[met.user_ids == user].tolist()) for user in range(met.num_users)}


def dense(model: ImplicitNetworkModel, items: list[list[int]]) -> np.ndarray:
    """Return instances as rows of zeros and ones over the bits."""
    coder = model.coder
    rows = np.zeros((len(items), model.num_items if coder is None else coder.num_bits))
    for row, own in zip(rows, items, strict=True):
        for item in own:
            row[[item] if coder is None else coder.hash_rows(item)] = 1
    return rows


# ---- training ------------------------------------------------------------------------------------


class Torch:
    """
    The same network in torch, trained by torch's optimizers.

    Only touched rows of the input are updated (L27).
    """

    def __init__(self, model: ImplicitNetworkModel) -> None:
        """Start from the model's weights."""
        self.model = model
        self.weights = {name: torch.tensor(layer.weight, requires_grad=True) for name, layer in model.layers.items()}
        others = [weight for name, weight in self.weights.items() if name != "input"]
        kind = torch.optim.Adam if model.optimizer == "adam" else torch.optim.SGD
        self.optimizer = kind(others, lr=model.learning_rate, weight_decay=model.l2)
        self.first, self.second = (torch.zeros_like(self.weights["input"]) for _ in range(2))
        self.count = 0

    def log_probs(self, rows: np.ndarray) -> torch.Tensor:
        """Return log-probabilities of the bits."""
        out = torch.relu(torch.tensor(rows) @ self.weights["input"] + self.weights["input_biases"])
        for number in range(1, len(self.model.hidden)):
            out = torch.relu(out @ self.weights[f"hidden_{number}"] + self.weights[f"hidden_{number}_biases"])
        return torch.log_softmax(out @ self.weights["output"].T + self.weights["output_biases"][:, 0], dim=1)

    def step(self, given: np.ndarray, wanted: np.ndarray) -> float:
        """Run one step on rows of bits; return the loss before it."""
        target = torch.tensor(wanted / wanted.sum(axis=1, keepdims=True))
        loss = -(self.log_probs(given) * target).sum(dim=1).mean()
        self.optimizer.zero_grad()
        self.weights["input"].grad = None
        loss.backward()
        self.optimizer.step()
        self.count += 1
        self.move_input(torch.tensor(given.any(axis=0)))
        return loss.item()

    def move_input(self, touched: torch.Tensor) -> None:
        """Update the touched rows of the input by SGD or Adam."""
        weight, lr, decay = self.weights["input"], self.model.learning_rate, self.model.l2
        with torch.no_grad():
            grad = weight.grad[touched] + decay * weight[touched]
            if self.model.optimizer == "sgd":
                weight[touched] -= lr * grad
                return
            self.first[touched] = 0.9 * self.first[touched] + 0.1 * grad
            self.second[touched] = 0.999 * self.second[touched] + 0.001 * grad * grad
            first = self.first[touched] / (1 - 0.9**self.count)
            second = self.second[touched] / (1 - 0.999**self.count)
            weight[touched] -= lr * first / (second.sqrt() + 1e-8)
