"""
Files of models: tensors in `npbloom.checkpoint`'s format, all else as JSON in the metadata.

Nothing is pickled.
"""

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
# Limit of unpacked pairs: 32 times the bytes of their text and of the tables, and 16 MiB. The
# pairs of real data take 2 to 20 times their text, all possible pairs 500 times. `pack_numbers`
# pads a text that would be too short, so that a forged one can be told from it.
MOST_NUMBERS = 32
FEW_NUMBERS = 2**24
GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")  # those of NumPy; a file cannot name any other class

Path = str | os.PathLike[str]


def write(path: Path, layers: dict[str, Any], optimizer: Optimizer | None, description: dict[str, Any]) -> None:
    """Write layers, an optimizer and a description that JSON can hold."""
    text = json.dumps({"format": FORMAT, **description}, separators=(",", ":"))
    checkpoint.save(path, layers, optimizer, {KEY: text})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], Optimizer | None]:
    """Return the description, the layers and the optimizer that `write` wrote."""
    found = checkpoint.load(path)
    text = (found.metadata or {}).get(KEY)
    if text is None:
        raise ValueError(f"{path} holds layers, but no recommender model.")
    try:
        description: dict[str, Any] = json.loads(text)
    except (RecursionError, ValueError):
        raise ValueError(f"{path} is damaged: its description of the model cannot be read.") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of npbloom: its format is not {FORMAT}.")
    return description, found.layers, found.optimizer


def pack_labels(labels: LabelArray | None) -> list[Any] | None:
    """Return labels as a list of integers or strings."""
    return None if labels is None else list(labels.tolist())


def pack_numbers(numbers: IntArray, tables: int = 0) -> str:
    """
    Return increasing integers as text: their differences, compressed.

    The text is padded with spaces if `unpack_numbers`, given the same `tables`, would find it too
    short. `tables` is the number of bytes of all tables in the file.
    """
    text = base64.b64encode(zlib.compress(np.diff(numbers, prepend=0).astype("<i8").tobytes())).decode("ascii")
    return text.ljust(-(-(numbers.size * 8 - FEW_NUMBERS) // MOST_NUMBERS) - tables)


def unpack_numbers(text: str, tables: int = 0) -> IntArray:
    """
    Return the integers that `pack_numbers` packed.

    Raise a ValueError if they would take far more memory than the text and the tables.
    """
    most = MOST_NUMBERS * (len(text) + tables) + FEW_NUMBERS
    stream = zlib.decompressobj()
    raw = stream.decompress(base64.b64decode(text), most + 1)  # 1 more byte: it shows the end
    if not stream.eof:
        raise ValueError(f"its pairs of users and items are cut off, or take more than {most:,} bytes")
    numbers = np.frombuffer(raw, dtype="<i8")
    return np.cumsum(numbers, dtype=np.int64)


def pack_generator(rng: np.random.Generator) -> Any:
    """Return the state of a generator, with arrays as lists."""
    return json.loads(json.dumps(rng.bit_generator.state, default=lambda array: array.tolist()))


def unpack_generator(state: Any) -> np.random.Generator:
    """Return a generator that continues from a packed state."""
    if state["bit_generator"] not in GENERATORS:
        raise ValueError(f"there is no bit generator {state['bit_generator']!r}.")
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
