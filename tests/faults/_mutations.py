"""
Files with random damage, the same in each run.

A case is a number, and `NPBLOOM_FUZZ_CASES` is the number of cases.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support._examples import repeats

CASES = int(os.environ.get("NPBLOOM_FUZZ_CASES", repeats(150)))  # of each target; more by hand
FIRST = int(os.environ.get("NPBLOOM_FUZZ_FIRST", "0"))  # first case
PATIENCE = 600  # seconds for a whole test, after which a hang is ended with a traceback

NUMBERS = (
    b"0 -1 1 2 7 -0 1e5 1E999 -1e999 NaN Infinity 2147483648 4294967297 9223372036854775808 18446744073709551616 1.5 007".split()
)
NUMBERS += [b"9" * 30, b"9" * 5000, b"null", b"true", b'"7"', b"[]", b"{}"]
BYTES = b'\x00\x01\x7f\x80\xff"{}[]:,\n\r\t \\-eE.0;'


@contextmanager
def watched() -> Iterator[None]:
    """End the process with a traceback if the block hangs."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def tried(call: Callable[[], Any]) -> tuple[Any, str]:
    """
    Return the result of a call and "", or None and the message of its ValueError.

    The message must be one line that quotes no whole file.
    """
    try:
        return call(), ""
    except ValueError as error:
        sentence = str(error)
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 1200
    return None, sentence


def cases() -> range:
    """Return the numbers of the cases to run."""
    return range(FIRST, FIRST + CASES)


def mutated(seeds: Sequence[bytes], case: int) -> tuple[int, bytes]:
    """Return the index of a seed, and that seed after one to four mutations."""
    chance = random.Random(case)
    chosen = chance.randrange(len(seeds))
    data = bytearray(seeds[chosen])
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        chance.choice(MUTATIONS)(data, chance, seeds)
    return chosen, bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Return a position; the first bytes, with lengths and headers, are more likely than others."""
    return chance.randrange(min(len(data), 16)) if data and chance.random() < 0.25 else chance.randrange(len(data) + 1)


def _span(data: bytes | bytearray, chance: random.Random) -> slice:
    """Return a range of bytes; short ones are more likely."""
    start = chance.randrange(len(data) + 1)
    return slice(start, start + chance.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


def flip_bits(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Flip one to eight bits."""
    for _ in range(chance.choice((1, 1, 2, 8)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_byte(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Set a byte to one that has a meaning for a parser."""
    if data:
        data[chance.randrange(len(data))] = chance.choice(BYTES)


def insert(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Insert bytes."""
    at = _place(data, chance)
    data[at:at] = chance.choice((bytes([chance.choice(BYTES)]), chance.randbytes(8), chance.choice((b"[", b"{")) * 5000))


def truncate(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Cut the end off."""
    del data[_place(data, chance) :]


def delete(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Delete a range."""
    del data[_span(data, chance)]


def repeat(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Insert a copy of a range."""
    part = data[_span(data, chance)]
    at = _place(data, chance)
    data[at:at] = part


def blank(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Set a range to zeros, as if it was never written."""
    span = _span(data, chance)
    data[span] = bytes(len(data[span]))


def splice(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Replace a range by one of another file."""
    other = chance.choice(seeds)
    data[_span(data, chance)] = other[_span(other, chance)]


def cross(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Replace the rest by that of another file."""
    other = chance.choice(seeds)
    at = _place(data, chance)
    data[at:] = other[at:]


def integer(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """
    Set eight bytes to an integer near a limit.

    At the start of a file they are the length of the header.
    """
    at = 0 if chance.random() < 0.5 else _place(data, chance)
    number = chance.choice((0, 1, 2, 8, 99, 2**31, 2**32, 2**63, 2**64)) + chance.choice((-1, 0, 1))
    data[at : at + 8] = (number % 2**64).to_bytes(8, "little")


def number(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """Replace a decimal number by another, or by none."""
    found = list(re.finditer(rb"\d+", data))
    if found:
        data[slice(*chance.choice(found).span())] = chance.choice(NUMBERS)


def word(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    """
    Replace a word by another word of the file.

    So keys occur twice, and dtypes and names change places.
    """
    found = list(re.finditer(rb"[A-Za-z_.]+", data))
    if found:
        data[slice(*chance.choice(found).span())] = chance.choice(found).group()


MUTATIONS: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    *(flip_bits, set_byte, insert, truncate, delete, repeat, blank, splice, cross, integer, number, number, word, word),
)


# ---- structures of JSON --------------------------------------------------------------------------

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    7,
    2**31,
    2**63,
    2**64,
    1.5,
    1e308,
    "",
    "x",
    "inf",
    "weight",
    [],
    {},
    [[]],
    {"a": {}},
]
EXTRA_KEYS = ["format", "weight", "layers", "hash_table", "extra", "hex", "state", "ids"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place in a structure of JSON."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def forge(structure: Any, chance: random.Random) -> None:
    """Change, drop or move one item."""
    if not places(structure):
        return  # all items are dropped
    path = chance.choice(places(structure))
    holder = structure
    for key in path[:-1]:
        holder = holder[key]
    other: Any = structure
    for key in chance.choice(places(structure)):
        other = other[key]
    if chance.random() < 0.2:
        del holder[path[-1]]
    else:
        holder[path[-1]] = json.loads(json.dumps(chance.choice([*HOSTILE, other])))  # a copy: lists and objects are changed later
    if isinstance(holder, dict) and chance.random() < 0.1:
        holder[chance.choice(EXTRA_KEYS)] = json.loads(json.dumps(other))
