"""Models to files and back: tensors by `npbloom.checkpoint`, all else as JSON in the file's metadata; nothing is pickled."""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import Any

import numpy as np

from npbloom import checkpoint
from npbloom.optimizers import Optimizer
from npbloom.recommend._labels import LabelArray
from npbloom.types import IntArray

KEY = "npbloom.recommend"
FORMAT = 1
GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")  # those of NumPy; a file cannot name any other class

Path = str | os.PathLike[str]


def write(path: Path, layers: dict[str, Any], optimizer: Optimizer | None, description: dict[str, Any]) -> None:
    """Layers, optimizer and a description that JSON can hold."""
    text = json.dumps({"format": FORMAT, **description}, separators=(",", ":"))
    checkpoint.save(path, layers, optimizer, {KEY: text})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], Optimizer | None]:
    """What `write` wrote: the description, the layers, the optimizer."""
    found = checkpoint.load(path)
    text = (found.metadata or {}).get(KEY)
    if text is None:
        raise ValueError(f"{path} holds layers, but no recommender model.")
    try:
        description: dict[str, Any] = json.loads(text)
    except ValueError:
        raise ValueError(f"{path} is damaged: its description of the model cannot be read.") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of npbloom: its format is not {FORMAT}.")
    return description, found.layers, found.optimizer


def pack_labels(labels: LabelArray | None) -> list[Any] | None:
    """Labels as a list of integers or strings."""
    return None if labels is None else list(labels.tolist())


def unpack_labels(labels: list[Any] | None) -> LabelArray | None:
    """The labels of `pack_labels`."""
    return None if labels is None else np.array(labels)


def pack_numbers(numbers: IntArray) -> str:
    """Increasing integers as text: differences, compressed."""
    return base64.b64encode(zlib.compress(np.diff(numbers, prepend=0).astype("<i8").tobytes())).decode("ascii")


def unpack_numbers(text: str) -> IntArray:
    """The integers of `pack_numbers`."""
    return np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<i8")).astype(np.int64)


def pack_generator(rng: np.random.Generator) -> Any:
    """Where a generator stands, arrays as lists."""
    return json.loads(json.dumps(rng.bit_generator.state, default=lambda array: array.tolist()))


def unpack_generator(state: Any) -> np.random.Generator:
    """A generator that goes on from there."""
    if state["bit_generator"] not in GENERATORS:
        raise ValueError(f"there is no bit generator {state['bit_generator']!r}.")
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
