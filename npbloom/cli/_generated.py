"""Interactions made up on the spot, for a first run that downloads nothing."""

from __future__ import annotations

import numpy as np

from npbloom.recommend import Interactions

NUM_USERS = 2000
NUM_ITEMS = 10000
FEWEST, MOST = 20, 60  # interactions of a user
FACTORS = 8
TASTE = 3.5  # how much a user's taste counts against an item's popularity; at 0 there is nothing to learn but popularity


def generate(seed: int) -> Interactions:
    """Users and items with latent factors, items of Zipf popularity; each user's items differ and come in random order."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / (1.0 + rng.permutation(NUM_ITEMS))
    users = rng.normal(size=(NUM_USERS, FACTORS)) / np.sqrt(FACTORS)
    items = rng.normal(size=(NUM_ITEMS, FACTORS))
    # The largest of "log weight plus Gumbel noise" are draws without replacement, each as likely as
    # its weight says.
    noise = rng.gumbel(size=(NUM_USERS, NUM_ITEMS))
    scores = np.log(popularity) + TASTE * (users @ items.T) + noise
    counts = rng.integers(FEWEST, MOST + 1, NUM_USERS)
    best = np.argpartition(-scores, MOST, axis=1)[:, :MOST]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)
    chosen = [rng.permutation(row[:count]) for row, count in zip(best, counts, strict=True)]
    return Interactions(
        np.repeat(np.arange(1, NUM_USERS + 1), counts),
        np.concatenate(chosen) + 1,
        num_users=NUM_USERS + 1,
        num_items=NUM_ITEMS + 1,
        padding_idx=0,
    )
