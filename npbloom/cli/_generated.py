"""Generated interactions, for a first run without downloads."""

from __future__ import annotations

import numpy as np

from npbloom.recommend import Interactions

NUM_USERS = 2000
NUM_ITEMS = 10000
FEWEST, MOST = 20, 60  # interactions of a user
FACTORS = 8
TASTE = 3.5  # weight of a user's taste against an item's popularity; 0 leaves only popularity to learn


def generate(seed: int) -> Interactions:
    """
    Generate interactions of users and items with latent factors.

    Items have Zipf popularity. The items of a user differ, and come in random order.
    """
    rng = np.random.default_rng(seed)
    popularity = 1.0 / (1.0 + rng.permutation(NUM_ITEMS))
    users = rng.normal(size=(NUM_USERS, FACTORS)) / np.sqrt(FACTORS)
    items = rng.normal(size=(NUM_ITEMS, FACTORS))
    # The largest values of "log weight plus Gumbel noise" are draws without replacement, with
    # probabilities in proportion to the weights.
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
