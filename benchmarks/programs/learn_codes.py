"""
Time and peak memory of `learned_hash_tables`, printed. Arguments: IDS PAIRS THREADS.

There are as many users as items, and a fifth as many rows as ids.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

import npbloom as nb
from benchmarks import huge_pages
from benchmarks.resident import resident, settle
from npbloom.coding import learned_hash_tables

GROUPS = 1_000  # number of tastes; most pairs are within one taste
RATIO, FEW = 0.2, 500


def draw(ids: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Return users and items of many tastes.

    Within a taste, items are as frequent as Zipf's law says; some pairs occur twice.
    """
    rng = np.random.default_rng(0)
    users = rng.integers(ids, size=pairs, dtype=np.int64)
    within = max(1, ids // GROUPS)
    place = np.minimum(within - 1, (within ** rng.random(pairs)).astype(np.int64) - 1)  # 1 / rank, within a taste
    anywhere = rng.random(pairs) < 0.2
    taste = np.where(anywhere, rng.integers(GROUPS, size=pairs), users % GROUPS)
    return users, np.minimum(place * GROUPS + taste, ids - 1)


def learn(users: np.ndarray, items: np.ndarray, ids: int) -> None:
    """Learn codes of both sides."""
    rows = max(2, int(RATIO * ids))
    learned_hash_tables(users, items, num_users=ids, num_items=ids, user_rows=rows, item_rows=rows, rng=0)


def main(ids: int, pairs: int, number: int) -> dict[str, Any]:
    """
    Return seconds, two peaks in bytes (of the whole process, and beyond interactions and
    interpreter), and the huge pages after the draw of the interactions.
    """
    few = np.arange(FEW) % 50
    with nb.num_threads(number):
        learn(few, few[::-1].copy(), FEW)  # compiles
        users, items = draw(ids, pairs)
        before, pages = settle(), huge_pages.of_this_process()
        start = time.perf_counter()
        learn(users, items, ids)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak": resident("VmHWM"), "more": resident("VmHWM") - before, "pages": pages}


if __name__ == "__main__":
    print(json.dumps(main(*(int(word) for word in sys.argv[1:]))))
