"""Three sets of interactions, each split into training, validation and test interactions."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

from npbloom.recommend import Interactions, leave_last_out, read_ratings

NAMES = ("ml-latest-small", "ml-100k", "beauty")


def _folder() -> Path:
    """Return the folder of the data sets."""
    named = os.environ.get("NPBLOOM_DATA_DIR")
    if not named:
        raise SystemExit("NPBLOOM_DATA_DIR must name the folder of ml-latest-small/ratings.csv and amazon-beauty/beauty.txt.")
    return Path(named)


def _movielens_100k() -> Path:
    """Return the file of MovieLens 100K in the installed recbole package, which is not imported."""
    spec = importlib.util.find_spec("recbole")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "dataset_example" / "ml-100k" / "ml-100k.inter"
        if path.is_file():
            return path
    raise SystemExit("MovieLens 100K is read out of recbole: python -m pip install --no-deps recbole==1.2.1")


@functools.cache
def load(name: str) -> Interactions:
    """Return the set of this name."""
    if name == "ml-latest-small":
        return read_ratings(_folder() / "ml-latest-small" / "ratings.csv")
    if name == "ml-100k":
        return read_ratings(_movielens_100k())
    return read_ratings(_folder() / "amazon-beauty" / "beauty.txt")


@functools.cache
def split(name: str, stage: str) -> tuple[Interactions, Interactions]:
    """
    Return training interactions and held-out ones.

    For "test", the last interaction of each user is held out. For "validation", the same is done to
    the training interactions of "test".
    """
    train, test = leave_last_out(load(name))
    return (train, test) if stage == "test" else leave_last_out(train)
