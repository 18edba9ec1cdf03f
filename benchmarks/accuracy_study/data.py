"""Three sets of interactions, each split into what is learned, what hyperparameters are chosen by, and what is tested."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

from npbloom.recommend import Interactions, leave_last_out, read_ratings

NAMES = ("ml-latest-small", "ml-100k", "beauty")


def _folder() -> Path:
    """Where the files are."""
    named = os.environ.get("NPBLOOM_DATA_DIR")
    if not named:
        raise SystemExit("NPBLOOM_DATA_DIR must name the folder of ml-latest-small/ratings.csv and amazon-beauty/beauty.txt.")
    return Path(named)


def _movielens_100k() -> Path:
    """MovieLens 100K out of the installed recbole package, which is not imported."""
    spec = importlib.util.find_spec("recbole")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "dataset_example" / "ml-100k" / "ml-100k.inter"
        if path.is_file():
            return path
    raise SystemExit("MovieLens 100K is read out of recbole: python -m pip install --no-deps recbole==1.2.1")


@functools.cache
def load(name: str) -> Interactions:
    """A set by its name."""
    if name == "ml-latest-small":
        return read_ratings(_folder() / "ml-latest-small" / "ratings.csv")
    if name == "ml-100k":
        return read_ratings(_movielens_100k())
    return read_ratings(_folder() / "amazon-beauty" / "beauty.txt")


@functools.cache
def split(name: str, stage: str) -> tuple[Interactions, Interactions]:
    """For "test" all but each user's last interaction, and those; for "validation" the same of what is left."""
    train, test = leave_last_out(load(name))
    return (train, test) if stage == "test" else leave_last_out(train)
