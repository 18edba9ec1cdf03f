"""
Memory of reading a file, as a multiple of the file's size, whatever the file holds.

docs/guarantees.md lists the multiples. `tracemalloc` measures them: it sees the memory of Python
and of NumPy. `NPBLOOM_FUZZ_CASES` asks for more than 20 files of each kind.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import npbloom as nb
from npbloom import checkpoint
from npbloom.recommend import read_ratings
from npbloom.recommend._lines import MOST, SLACK
from tests.faults._mutations import forge, watched
from tests.faults._promises import CASES, FIRST, LOG, Judge
from tests.support._files import contents, sealed, write_example


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Load the compiled kernels once a process: they take 20 MB, whatever the file."""
    nb.BloomEmbedding(9, 4, num_rows=5, rng=0).hash_rows([1])


# ---- files of ratings ----------------------------------------------------------------------------

LETTERS = "abcxyzABCXYZ0123456789"
TAILS = ("", "é", "\U0001f600", "字")


def spelled(number: int) -> str:
    """Return a short label for a number."""
    word = ""
    while number or not word:
        number, digit = divmod(number, len(LETTERS))
        word += LETTERS[digit]
    return word


def label(chance: random.Random) -> Callable[[int], str]:
    """Return a function that names the user or the item of a line."""
    tail, few = chance.choice(TAILS), chance.choice((1, 7, 1000))
    long = chance.choice((50, 1000, 4000, 4097)) * chance.choice((*TAILS[:3], "x")) or "one"
    ways: tuple[Callable[[int], str], ...] = (
        lambda line: spelled(line) + tail,
        lambda line: spelled(line % few) + tail,
        lambda line: str(line),
        lambda line: long if line == 5 else spelled(line),
        lambda line: long + spelled(line % few),
        lambda line: long + spelled(line),
        lambda line: " " * (line % 100) + spelled(line),
    )
    return chance.choice(ways)


def text_of(chance: random.Random) -> str:
    """Return a file of ratings of up to 300 kB, of the kinds that take memory."""
    users, items = label(chance), label(chance)
    separator = chance.choice((",", ",", "\t", "::", " "))
    width = chance.choice((0, 0, 0, 1, 2, 10, 5000, 80_000))
    fillers = ("", "1", "ab", "x" * 1000, " " * 1000, "\U0001f600", '"\n"' if separator in ",\t" else "1")
    more = [chance.choice(fillers)] * width
    if separator == " ":
        more = [field.strip() or "1" for field in more]
    named = width > 2 or chance.random() < 0.3
    lines = [separator.join(["user", "item", *(f"c{column}" for column in range(width))])] if named else []
    size, most = 0, chance.choice((1000, 50_000, 300_000))
    while size < most:
        lines.append(separator.join([users(len(lines)), items(len(lines)), *more]))
        size += len(lines[-1])
    if chance.random() < 0.1:
        lines[chance.randrange(len(lines))] = chance.choice(("", '"', "x", "\n" * 100_000, "a,b,c,d" * 1000))
    return "\n".join(lines) + "\n"


def test_ratings(tmp_path: Path) -> None:
    """For a gzip file the size of the text counts, which is at most 128 times that of the file."""
    path, judge = tmp_path / "ratings", Judge("read_ratings")
    with watched():
        for case in range(FIRST, FIRST + CASES):
            chance = random.Random(case)
            raw = text_of(chance).encode()
            zipped = chance.random() < 0.3
            data = gzip.compress(raw * chance.choice((1, 1, 4)), mtime=0) if zipped else raw
            path.write_bytes(data)
            judge(
                case,
                min(len(gzip.decompress(data)), MOST * len(data) + SLACK) if zipped else len(data),
                lambda: read_ratings(path),
            )
    assert 0.05 * CASES < judge.refused < 0.7 * CASES
    LOG.info("%d of %d refused; the worst held %.2f of what is promised", judge.refused, CASES, judge.worst)


LARGE = {
    "all new": lambda line: f"{spelled(line)} {spelled(line)}\n",
    "all new, integers": lambda line: f"{line},{line}\n",
    "one long among short": lambda line: "\U0001f600" * 4096 + ",1\n" if not line else f"{spelled(line)},1\n",
    "all long": lambda line: f"{spelled(line):x<4000},1\n",
    "all the same": lambda line: "a b\n",
    "dates": lambda line: "a,b,1,2001-01-01\n",
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_ratings(kind: str, tmp_path: Path) -> None:
    path, size = tmp_path / "ratings.csv", 0
    with path.open("w", encoding="utf-8") as file:
        while size < 1_500_000:
            size += file.write("".join(LARGE[kind](line) for line in range(size, size + 1000)))
    judge = Judge("read_ratings")
    judge(kind, path.stat().st_size, lambda: read_ratings(path))
    LOG.info("%s: %.2f of what is promised", kind, judge.worst)


@pytest.mark.parametrize("data", [b"\n", b"a,b\n", b"x", b"a,b,\xc3\xa9\n", b'a,"\n",'], ids=repr)
def test_gzip_of_nothing_but_the_same(data: bytes, tmp_path: Path) -> None:
    """The file has 8 kB, and its text 8 MB."""
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress(data * (2**23 // len(data)), mtime=0))
    size = path.stat().st_size
    assert Judge("read_ratings")(data, MOST * size + SLACK, lambda: read_ratings(path))


# ---- checkpoints whose digests fit ---------------------------------------------------------------

Forgery = tuple[dict[str, Any], dict[str, Any], dict[str, str]]  # tensors, structure, more metadata
BLOOM = {"num_rows": 5, "num_hash_functions": 1, "padding_idx": 0, "precompute_hashes": True}


def layer(kind: str, rows: int, dim: int, weight: str = "w", **options: Any) -> dict[str, Any]:
    """Return a layer as a file describes it."""
    return {"class": kind, "num_embeddings": rows, "embedding_dim": dim, "options": options, "weight": weight}


def many(count: int, kind: str, rows: int, dim: int, optimizer: str = "", **options: Any) -> Forgery:
    """Return many layers on one table, and the optimizer of all of them."""
    layers = {f"{number:x}": layer(kind, rows, dim, **options) for number in range(count)}
    structure: dict[str, Any] = {"layers": layers}
    if optimizer:
        structure["optimizer"] = {"class": optimizer, "layers": list(layers), "hyperparameters": {"lr": 0.5}}
    return {"w": np.zeros((5 if "num_rows" in options else rows, dim), np.float32)}, structure, {}


FORGERIES: dict[str, Callable[[], Forgery]] = {
    "lists": lambda: ({}, {"layers": {}, "x": [[]] * 300_000}, {}),
    "objects": lambda: ({}, {"layers": {}, "x": [{"a": {}}] * 100_000}, {}),
    "keys": lambda: ({}, {"layers": {}}, {f"{number:x}": "" for number in range(100_000)}),
    "wide text": lambda: ({}, {"layers": {}}, {"x": "\U0001f600" * 250_000}),
    "tensors": lambda: ({f"{number:x}": np.zeros(0, np.float32) for number in range(16_000)}, {"layers": {}}, {}),
    "layers": lambda: many(9000, "ScaledEmbedding", 1, 1, "SGD"),
    "wide layers": lambda: many(2000, "ScaledEmbedding", 1, 100_000, "Adam"),
    "wide layers without state": lambda: many(2000, "ScaledEmbedding", 1, 100_000, "SGD"),
    "probes": lambda: many(1, "BloomEmbedding", 10**7, 1, **BLOOM),
    "a million probes": lambda: many(1, "BloomEmbedding", 2**20, 1, **BLOOM),
    "many probes": lambda: many(1, "BloomEmbedding", 8 * 10**6, 100_000, **BLOOM),
    "probes of many layers": lambda: many(4000, "BloomEmbedding", 10**4, 1, **BLOOM),
}


def write_forgery(path: Path, tensors: dict[str, Any], structure: dict[str, Any], words: dict[str, str]) -> int:
    """Write a file with right digests; return its size."""
    text = json.dumps({"format": 2, **structure}, separators=(",", ":"))
    safetensors_numpy.save_file(tensors, path, sealed(tensors, {**words, "npbloom": text}))
    return path.stat().st_size


@pytest.mark.parametrize("mmap", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", FORGERIES)
def test_large_checkpoints(kind: str, mmap: bool, path: Path) -> None:
    size = write_forgery(path, *FORGERIES[kind]())
    judge = Judge("checkpoint.load")
    judge(kind, size, lambda: checkpoint.load(path, mmap=mmap))
    LOG.info("%s: %.2f of what is promised", kind, judge.worst)


def test_forged_checkpoints(path: Path) -> None:
    """Numbers in files of some kilobytes are made large."""
    seeds = []
    for make in (lambda: write_example(path), lambda: checkpoint.save(path, {"a": nb.BloomEmbedding(9, 4, 1.0, rng=0)})):
        make()
        seeds.append(contents(path))
    judge = Judge("checkpoint.load")
    with watched():
        for case in range(FIRST, FIRST + CASES):
            chance = random.Random(case)
            tensors, words = chance.choice(seeds)
            structure = json.loads(words["npbloom"])
            for entry in structure["layers"].values():
                if chance.random() < 0.5 and "compression_ratio" in entry["options"]:
                    large = chance.choice((10**5, 10**6, 10**7, 10**8, 2**40, 2**62))
                    entry["options"] |= {"precompute_hashes": True, "compression_ratio": 9.5 / large}
                    entry["num_embeddings"] = large
            for _ in range(chance.choice((0, 1, 2))):
                forge(structure, chance)
            size = write_forgery(path, tensors, structure, words)
            judge(case, size, partial(checkpoint.load, path, mmap=bool(case % 2)))
    assert 0.2 * CASES < judge.refused < CASES
    LOG.info("%d of %d refused; the worst held %.2f of what is promised", judge.refused, CASES, judge.worst)
