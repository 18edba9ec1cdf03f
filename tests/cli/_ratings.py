"""A small file of ratings, and a run of `npbloom fit` on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from npbloom.cli import main

USERS, ITEMS = 30, 40
METHODS = ("full", "narrow", "learned", "bloom", "concat", "frequent")
GOOD = "user,item,rating\n" + "".join(f"{user},{item},{1 + (user + item) % 5}\n" for user in range(1, 7) for item in range(1, 9))


def write_ratings(folder: Path) -> str:
    """Write a file with string ids: users like items of their own half."""
    rng = np.random.default_rng(0)
    lines = ["user,item,rating,time"]
    for user in range(USERS):
        for time, item in enumerate(rng.permutation(ITEMS // 2)[:12] * 2 + user % 2):
            lines.append(f"u{user},i{item},{rng.integers(1, 6)},{time}")
    path = folder / "ratings.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def run_fit(capsys: Any, ratings: str, *options: str) -> dict[str, Any]:
    """Run `npbloom fit --json` for three epochs, and return the object that it printed."""
    assert main(["fit", ratings, "--json", "--epochs", "3", "--l2", "0", "--batch-size", "32", *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found: dict[str, Any] = json.loads(printed.out)
    return found
