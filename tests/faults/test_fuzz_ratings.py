"""Damaged files of ratings: read as they are, or refused with a message that names the file."""

from __future__ import annotations

import gzip
import logging
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from npbloom.recommend import Interactions, read_ratings
from npbloom.recommend._lines import Lines
from tests.faults._mutations import cases, mutated, tried, watched

LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
MOST_MEMORY = 32 * 2**20  # bytes, for files of some kilobytes

ROWS = [(user, item, (user + item) % 9 / 2, 10**9 + user) for user in range(12) for item in range(1, 30, 3)]
TEXTS = [
    "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in ROWS),
    "".join(f"{u}::{i}::{r}::{t}\n" for u, i, r, t in ROWS),
    "".join(f"u{u} é{i}\r\n" for u, i, r, t in ROWS),
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in ROWS),
    '\ufeff"title";"user";"asin";"stars";"date"\n'
    + "".join(f'"a; ""b""\nc";{u};{i};{r};2001-09-{u + 1:02}\n' for u, i, r, t in ROWS),
]
SEEDS = [text.encode() for text in TEXTS]
SEEDS += [gzip.compress(data, mtime=0) for data in SEEDS[:2]]


def judge(path: Path) -> str:
    """Return the result for a file: consistent interactions, or one message."""
    found, refused = tried(lambda: read_ratings(path))
    if refused:
        assert refused.startswith(str(path))
        return "refused"
    assert isinstance(found, Interactions)
    assert len(found) > 0
    for ids, labels, size in (
        (found.user_ids, found.user_labels, found.num_users),
        (found.item_ids, found.item_labels, found.num_items),
    ):
        assert ids.dtype == np.int64
        assert labels is not None
        assert len(labels) == size == ids.max() + 1
        assert ids.min() == 1
        assert len(set(labels[1:].tolist())) == size - 1  # the first stands for nothing
    for numbers in (found.ratings, found.timestamps):
        assert numbers is None or (len(numbers) == len(found) and np.isfinite(numbers).all())
    return "read"


def test_damaged_ratings(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    for data in SEEDS:
        path.write_bytes(data)
        assert judge(path) == "read"
    counts: Counter[str] = Counter()
    tracemalloc.start()
    with watched():
        for case in cases():
            data = mutated(SEEDS, case)[1]
            path.write_bytes(data)
            counts[judge(path)] += 1
            counts["bytes"] += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert min(counts["read"], counts["refused"]) > 0.1 * len(cases())
    LOG.info("%s", dict(counts))


def test_a_few_kilobytes_that_are_gigabytes(tmp_path: Path) -> None:
    for name, data in (
        ("zeros", bytes(2**26)),
        ("digits", b"1" * 2**26),
        ("later", b"1,2\n" + b"7" * 2**26),
        ("not text", b"\xff" * 2**26),
    ):
        path = tmp_path / f"{name}.csv.gz"
        path.write_bytes(gzip.compress(data, mtime=0))
        assert path.stat().st_size < 2**17
        tracemalloc.start()
        found, refused = tried(lambda path=path: read_ratings(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found is None
        size = path.stat().st_size  # the length is looked at before any line is
        assert refused == f"{path}: the text must be at most 128 times as long as the gzip file, which has {size:,} bytes."
        assert peak < MOST_MEMORY


@pytest.mark.parametrize("zipped", [False, True])
def test_what_can_be_seen_early_is_refused_early(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(b"ann\t50\t1\n" * 300_000) if zipped else b'"' + b"\n" * 300_000
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    given, lines = [], Lines.__iter__
    monkeypatch.setattr(Lines, "__iter__", lambda self: (given.append(line) or line for line in lines(self)))
    with pytest.raises(ValueError, match="128 times as long" if zipped else "one column"):
        read_ratings(path)
    assert len(given) < 10
