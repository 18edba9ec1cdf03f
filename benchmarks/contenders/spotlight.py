"""
Spotlight's factorization on torch, written anew: its layers, its network, its losses and the loop
of its `fit`.

It does what the published code does. The Bloom layer keeps a table of every id's hashes, and sums
the k rows that an `Embedding` with dense gradients looks up. Users of negatives are looked up once
a negative. `torch.optim.Adam` moves every row of every table in every step.

There is one difference: the highest negative is chosen among an interaction's own, where
Spotlight's reshape mixes users. The work is the same, and the results can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import murmurhash3_32

import npbloom as nb
from benchmarks.contenders.table import FloatArray, IntArray

NEGATIVES = 5


class BloomEmbedding(torch.nn.Module):
    """Bloom layer that reads a precomputed table of hashes."""

    def __init__(self, num_embeddings: int, dim: int, ratio: float = 0.2, num_hash_functions: int = 4) -> None:
        super().__init__()
        height = int(ratio * num_embeddings)
        ids = np.arange(num_embeddings, dtype=np.int32)
        seeds = nb.hashing.SPOTLIGHT_SEEDS[:num_hash_functions]
        hashes = np.column_stack([murmurhash3_32(ids, seed=int(seed)) for seed in seeds]).astype(np.int64) % height
        hashes[0] = 0
        self.hashes = torch.from_numpy(hashes)
        self.embeddings = torch.nn.Embedding(height, dim, padding_idx=0)

    @property
    def weight(self) -> torch.Tensor:
        """The table."""
        return self.embeddings.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Sum the rows of each id's hashes."""
        out: torch.Tensor = self.embeddings(torch.index_select(self.hashes, 0, ids)).sum(1)
        return out


class BilinearNet(torch.nn.Module):
    """Dot products of users' and items' vectors, plus biases."""

    def __init__(self, users: torch.nn.Module, items: torch.nn.Module, num_users: int, num_items: int) -> None:
        super().__init__()
        self.users, self.items = users, items
        self.user_biases, self.item_biases = torch.nn.Embedding(num_users, 1), torch.nn.Embedding(num_items, 1)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return the score of each pair."""
        dots = (self.users(users) * self.items(items)).sum(1)
        out: torch.Tensor = dots + self.user_biases(users).squeeze() + self.item_biases(items).squeeze()
        return out


class Spotlight:
    """The model with its optimizer. `minibatch` is the body of its loop."""

    def __init__(self, num_users: int, num_items: int, dim: int, bloom: bool, learning_rate: float) -> None:
        make: Any = BloomEmbedding if bloom else torch.nn.Embedding
        self.net = BilinearNet(make(num_users, dim), make(num_items, dim), num_users, num_items)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=learning_rate)
        self.num_items = num_items

    @property
    def weights(self) -> dict[str, FloatArray]:
        """All four tables, live, under npbloom's names."""
        net: Any = self.net
        named = {"user_embeddings": net.users, "item_embeddings": net.items}
        named |= {"user_biases": net.user_biases, "item_biases": net.item_biases}
        return {name: module.weight.detach().numpy() for name, module in named.items()}

    def minibatch(self, users: IntArray, items: IntArray, negatives: IntArray) -> float:
        """
        Take one step on interactions with negatives (n, 5), and return the loss before the step.
        """
        their, met = torch.from_numpy(users), torch.from_numpy(items)
        positive = self.net(their, met)
        repeated = their.view(-1, 1).expand(len(users), NEGATIVES).reshape(-1)
        drawn = self.net(repeated, torch.from_numpy(negatives.reshape(-1))).view(len(users), NEGATIVES)
        highest, _ = torch.max(drawn, 1)
        self.optimizer.zero_grad()
        loss = torch.clamp(highest - positive + 1.0, 0.0).mean()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def epoch(self, users: IntArray, items: IntArray, batch_size: int, minibatches: int, rng: np.random.Generator) -> None:
        """Train on the first minibatches of a shuffled epoch."""
        order = rng.permutation(len(users))
        users, items = users[order], items[order]
        for start in range(0, minibatches * batch_size, batch_size):
            part = slice(start, start + batch_size)
            negatives = rng.integers(0, self.num_items, (len(users[part]), NEGATIVES))
            self.minibatch(users[part], items[part], negatives)
