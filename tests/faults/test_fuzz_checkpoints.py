"""
Damaged and forged checkpoints.

A damaged one is refused with a ValueError, or loads as the original, bit for bit. A forged one
gives a ValueError or layers.
"""

from __future__ import annotations

import json
import logging
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom import checkpoint
from tests.faults._mutations import cases, forge, mutated, tried, watched
from tests.support._files import LAYERS, bytes_of, sealed, train

LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO
MOST_MEMORY = 32 * 2**20  # bytes, for files of a few kilobytes


def shown(found: checkpoint.Checkpoint) -> Any:
    """Return everything that a checkpoint holds."""
    state = {name: bytes_of(layer) for name, layer in found.layers.items()}
    rows = {name: layer.hashing.table for name, layer in found.layers.items() if hasattr(layer, "hashing")}
    hashes = {name: None if table is None else table.tobytes() for name, table in rows.items()}
    words = {name: repr(layer) for name, layer in found.layers.items()}
    optimizer = found.optimizer
    if optimizer is not None:
        state |= {f"state of {name}": bytes_of(found.layers[name], optimizer) for name in found.layers}
    return state, hashes, words, list(found.layers), repr(optimizer), found.metadata


def lengths(held: Any) -> Any:
    """Return the same without the bits of tables, hash tables and state."""
    state, _, *more = held
    return {name: {key: len(array) for key, array in arrays.items()} for name, arrays in state.items()}, *more


def described(found: checkpoint.Checkpoint) -> Any:
    """Return what the digest of the header covers."""
    return lengths(shown(found))


def write_seeds(folder: Path) -> list[bytes]:
    """Return checkpoints of all kinds of layers and optimizers."""
    makers: list[Any] = [None, lambda layers: nb.SGD(layers, 0.5, momentum=0.9), nb.Adagrad, nb.RowWiseAdagrad, nb.Adam]
    names = [name for name in LAYERS if name != "rows"]
    seeds = []
    for number, make in enumerate(makers):
        layers = {name: LAYERS[name]() for name in (names[number], names[number + 3])}
        optimizer = None if make is None else make(list(layers.values()))
        for layer in layers.values() if optimizer is not None else ():
            train(layer, optimizer, number)
        path = folder / f"seed {number}"
        checkpoint.save(path, layers, optimizer, {"note": "käse", "number": str(number)})
        seeds.append(path.read_bytes())
    return seeds


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return undamaged checkpoints."""
    return write_seeds(tmp_path_factory.mktemp("seeds"))


def outcome(path: Path, original: Any) -> str:
    """
    Return the result for a damaged file, which is loaded, verified and mapped.

    The three results must fit each other.
    """
    _, unverified = tried(lambda: checkpoint.verify(path))
    found, refused = tried(lambda: checkpoint.load(path))
    mapped, _ = tried(lambda: checkpoint.load(path, mmap=True))
    assert bool(unverified) == bool(refused)
    if not refused:
        assert shown(found) == original
        assert shown(mapped) == original
        return "the original"
    for sentence in (unverified, refused):
        assert sentence.startswith(f"{path} is not a whole checkpoint of npbloom: ")
    if mapped is None:
        return "refused"
    assert described(mapped) == lengths(original)  # what the digest of the header covers
    return "refused but where mapped"


def test_damaged_checkpoints(seeds: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    originals = []
    for data in seeds:
        path.write_bytes(data)
        originals.append(shown(checkpoint.load(path)))
    counts: Counter[str] = Counter()
    tracemalloc.start()
    with watched():
        for case in cases():
            chosen, data = mutated(seeds, case)
            path.write_bytes(data)
            same = seeds.index(data) if data in seeds else chosen  # the rest of another file, from the start
            counts[outcome(path, originals[same])] += 1
            counts["bytes"] += len(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert counts["refused"] > 0.6 * len(cases())
    LOG.info("%s", dict(counts))


# ---- forgeries: the digests fit, what they cover was never written by `save` ---------------------


def test_forged_checkpoints(seeds: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "forged"
    counts: Counter[str] = Counter()
    with watched():
        for case in cases():
            chance = random.Random(case)
            raw = chance.choice(seeds)
            length = int.from_bytes(raw[:8], "little")
            header = json.loads(raw[8 : 8 + length])
            structure = json.loads(header["__metadata__"]["npbloom"])
            for _ in range(chance.choice((1, 1, 2, 5))):
                forge(structure, chance)
            words = header.pop("__metadata__") | {"npbloom": json.dumps({**structure, "format": 2})}
            words = sealed(tensors_of(header, raw[8 + length :]), words)
            text = json.dumps({"__metadata__": words, **header}).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
            checkpoint.verify(path)  # a forger can make digests
            for mmap in (False, True):
                found, refused = tried(lambda mmap=mmap: checkpoint.load(path, mmap=mmap))
                counts["refused" if refused else "taken"] += 1
                if refused:
                    assert "is not a whole checkpoint of npbloom: " in refused
                    continue
                checkpoint.save(tmp_path / "again", *found)
                assert described(checkpoint.load(tmp_path / "again")) == described(found)
    assert counts["refused"] > len(cases())
    LOG.info("%s", dict(counts))


def tensors_of(header: dict[str, Any], data: bytes) -> dict[str, np.ndarray]:
    """Return the tensors that a header names."""
    kinds = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "I32": "<i4"}
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }
