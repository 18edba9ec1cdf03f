"""Damaged golden vectors and results: judged, or refused with one message."""

from __future__ import annotations

import json
import logging
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from npbloom.conformance.runner.wire import as_line, reply_object
from npbloom.conformance.vectors import Judgement, judge
from npbloom.conformance.vectors.files import SETS, vectors_of
from npbloom.conformance.vectors.format import lines_of, safetensors_of
from npbloom.conformance.vectors.vector import answer_of
from tests.faults._mutations import cases, forge, mutated, tried, watched

LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
MOST_MEMORY = 32 * 2**20  # bytes, for files of some kilobytes


def some(name: str) -> dict[int, Any]:
    """Return a few tests of a set."""
    vectors = list(vectors_of(name).items())
    return dict(vectors[:: max(1, len(vectors) // 6)])


@pytest.fixture(scope="module")
def texts() -> dict[str, bytes]:
    """Return the JSON file of each set, with a few tests."""
    return {name: ("\n".join(lines_of(name, some(name))) + "\n").encode() for name in SETS}


@pytest.fixture(scope="module")
def replies() -> list[str]:
    """Return a right answer to each test."""
    return [
        as_line(reply_object(number, answer_of(vector)) if vector.expect else {"tcId": number, "error": "refused"})
        for name in SETS
        for number, vector in some(name).items()
    ]


def outcome(folder: Path, results: list[str]) -> str:
    """Return the result for files that are judged, or refused with a message."""
    found, refused = tried(lambda: judge(folder, results))
    if refused:
        return "refused"
    assert isinstance(found, Judgement)
    assert str(found)
    json.loads(found.to_json())
    return "ok" if found.ok else "not ok"


def run(folder: Path, seeds: list[bytes], place: Any, results: list[str]) -> Counter[str]:
    """
    Run all cases of one kind of file.

    `place` writes a case; it returns the results to judge if these are damaged.
    """
    counts: Counter[str] = Counter()
    tracemalloc.start()
    with watched():
        for case in cases():
            chosen, data = mutated(seeds, case)
            counts[outcome(folder, place(chosen, data) or results)] += 1
            counts["bytes"] += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY
    LOG.info("%s", dict(counts))
    return counts


def test_damaged_vectors(texts: dict[str, bytes], replies: list[str], tmp_path: Path) -> None:
    for name, text in texts.items():
        (tmp_path / f"{name}.json").write_bytes(text)
    assert outcome(tmp_path, replies) == "ok"
    names = list(texts)

    def place(chosen: int, data: bytes) -> None:
        for name in names:
            (tmp_path / f"{name}.json").unlink(missing_ok=True)
        (tmp_path / f"{names[chosen]}.json").write_bytes(data)

    known = {
        name: [reply for reply in replies if int(json.loads(reply)["tcId"]) // 1000 == SETS.index(name) + 1] for name in names
    }
    counts = run(tmp_path, list(texts.values()), lambda chosen, data: place(chosen, data) or known[names[chosen]], [])
    assert counts["refused"] > 0.3 * len(cases())
    assert counts["ok"] < 0.5 * len(cases())


def test_forged_vectors(texts: dict[str, bytes], replies: list[str], tmp_path: Path) -> None:
    """The structure of a test is changed, and the file stays JSON."""
    names = list(texts)
    counts: Counter[str] = Counter()
    with watched():
        for case in cases():
            chance = random.Random(case)
            name = chance.choice(names)
            whole = json.loads(texts[name])
            for _ in range(chance.choice((1, 1, 2, 5))):
                tests = whole.get("tests")
                inside = isinstance(tests, list) and tests and chance.random() < 0.9
                forge(chance.choice(tests) if inside else whole, chance)
            for each in names:
                (tmp_path / f"{each}.json").unlink(missing_ok=True)
            (tmp_path / f"{name}.json").write_text(json.dumps(whole))
            known = [reply for reply in replies if int(json.loads(reply)["tcId"]) // 1000 == SETS.index(name) + 1]
            counts[outcome(tmp_path, known)] += 1
    LOG.info("%s", dict(counts))
    assert min(counts["refused"], counts["ok"]) > 0.1 * len(cases())


def test_damaged_tensors(replies: list[str], tmp_path: Path) -> None:
    tensors: dict[str, Any] = {}
    (tmp_path / "bag.json").write_text("\n".join(lines_of("bag", some("bag"), tensors)) + "\n")
    seeds = [safetensors_of(tensors), safetensors_of(dict(list(tensors.items())[:9]))]
    known = [reply for reply in replies if int(json.loads(reply)["tcId"]) // 1000 == SETS.index("bag") + 1]

    def place(chosen: int, data: bytes) -> None:
        (tmp_path / "bag.safetensors").write_bytes(data)

    place(0, seeds[0])
    assert outcome(tmp_path, known) == "ok"
    counts = run(tmp_path, seeds, place, known)
    assert counts["refused"] > 0.3 * len(cases())


def test_damaged_results(texts: dict[str, bytes], replies: list[str], tmp_path: Path) -> None:
    (tmp_path / "hash.json").write_bytes(texts["hash"])
    (tmp_path / "bag.json").write_bytes(texts["bag"])
    known = [reply for reply in replies if int(json.loads(reply)["tcId"]) // 1000 in (1, 3)]
    seeds = ["\n".join(known).encode(), f"[{','.join(known)}]".encode()]
    assert outcome(tmp_path, known) == "ok"
    counts = run(tmp_path, seeds, lambda chosen, data: data.decode("utf-8", "surrogateescape").splitlines(), [])
    assert min(counts["refused"], counts["not ok"]) > 0.05 * len(cases())
