"""Bytes of a file: a safetensors header, the tensors after it, and a digest of each."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

KEY: Final = "npbloom"  # of the metadata; the structure of layers and optimizer is there
HEADER_DIGEST: Final = "npbloom.header_sha256"  # over names, dtypes, shapes and all other metadata
DATA_DIGEST: Final = "npbloom.data_sha256"  # over the bytes of the tensors, in order of their names
OWN_KEYS: Final = (KEY, HEADER_DIGEST, DATA_DIGEST)
FORMAT: Final = 2
MAX_HEADER: Final = 100_000_000  # bytes; readers of safetensors refuse longer ones
MAX_DIMENSIONS: Final = 2  # of a tensor of ours
CHUNK: Final = 2**20  # bytes copied, hashed and written while they are in the cache

# Widest first, so that all tensors are aligned.
DTYPES: Final = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "I32": "<i4"}
WORDS: Final = {np.dtype(code).name: word for word, code in DTYPES.items()}

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]


class Entry(NamedTuple):
    """Entry of a tensor: its safetensors dtype, its shape, and its place after the header."""

    word: str
    shape: tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """Header of a file, and the place where the tensors begin."""

    metadata: dict[str, str]
    entries: dict[str, Entry]
    base: int


# ---- digests -------------------------------------------------------------------------------------


def header_digest(metadata: Mapping[str, str], entries: Mapping[str, Entry]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and metadata, but not of places in the file."""
    described = {
        "metadata": {key: value for key, value in metadata.items() if key != HEADER_DIGEST},
        "tensors": {name: [entry.word, list(entry.shape)] for name, entry in entries.items()},
    }
    text = json.dumps(described, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# ---- writing -------------------------------------------------------------------------------------


def laid_out(tensors: Tensors) -> dict[str, Entry]:
    """Return the place of each tensor: those of the widest items come first."""
    entries = {}
    end = 0
    for name in sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize):
        start, end = end, end + tensors[name].nbytes
        entries[name] = Entry(WORDS[tensors[name].dtype.name], tensors[name].shape, start, end)
    return entries


def write(file: io.FileIO, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Write a whole file. The header comes last: it has the digest of the tensors."""
    entries = laid_out(tensors)
    blank = metadata | {HEADER_DIGEST: "0" * 64, DATA_DIGEST: "0" * 64}
    size = len(_header_text(blank, entries))  # digests are of one length, so this is the header's
    sha = hashlib.sha256()
    for name in sorted(tensors):
        file.seek(8 + size + entries[name].start)
        _write_tensor(file, tensors[name], sha)
    words = metadata | {DATA_DIGEST: sha.hexdigest()}
    words[HEADER_DIGEST] = header_digest(words, entries)
    file.seek(0)
    _write_all(file, size.to_bytes(8, "little") + _header_text(words, entries))


def _header_text(metadata: dict[str, str], entries: dict[str, Entry]) -> bytes:
    """Return the header as JSON, padded with spaces so that the tensors are aligned."""
    header: dict[str, Any] = {"__metadata__": metadata}
    for name, entry in entries.items():
        header[name] = {"dtype": entry.word, "shape": list(entry.shape), "data_offsets": [entry.start, entry.end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"`metadata` must leave a header of at most {MAX_HEADER} bytes, not {len(text)}.")
    return text


def _write_tensor(file: io.FileIO, array: Array, sha: Any) -> None:
    """
    Hash and write a tensor in chunks.

    Each chunk is copied first, so that training meanwhile changes neither.
    """
    flat = array.reshape(-1)
    items = CHUNK // array.itemsize
    for start in range(0, flat.size, items):
        chunk = flat[start : start + items].astype(array.dtype.newbyteorder("<"))
        sha.update(chunk)
        _write_all(file, chunk.view(np.uint8).data)


def _write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write all of the bytes; a raw file may take only a part of them at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


# ---- reading -------------------------------------------------------------------------------------


def opened(path: str) -> io.FileIO:
    """Open a file unbuffered. A pipe or a device raises a ValueError and does not block."""
    file = io.FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("it is no regular file")
    return file


def read_header(file: io.FileIO) -> Header:
    """Read the header of a file and check its form; `structure_of` checks format and digest."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(_read_some(file, 8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        raise ValueError(f"it is no safetensors file or a part of one ({size} bytes, header of {length})")
    raw = _read_some(file, length)
    try:
        if not raw.startswith(b"{"):
            raise ValueError("no JSON object")
        header = parsed(raw.decode())
    except (RecursionError, ValueError) as error:
        raise ValueError(f"it is no safetensors file or a part of one (its header: {error})") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no JSON object of text")
    if KEY not in metadata:
        raise ValueError(f"its metadata have no key {KEY!r}")
    entries = {name: _entry(name, value) for name, value in header.items()}
    _check_places(entries, size - 8 - length)
    return Header(metadata, entries, 8 + length)


def structure_of(header: Header) -> Any:
    """Return layers and optimizer from the metadata, after checks of format and header digest."""
    structure = parsed(header.metadata[KEY])
    found = structure["format"]
    if found != FORMAT:
        relation = "not" if not isinstance(found, int) else "newer than" if found > FORMAT else "older than"
        raise ValueError(f"its format is {found!r}, {relation} {FORMAT}, the one that this version reads")
    if header.metadata[HEADER_DIGEST] != header_digest(header.metadata, header.entries):
        raise ValueError("its names, dtypes, shapes or metadata are not those that were written: their SHA-256 differs")
    return structure


def check_data(header: Header, found: str) -> None:
    """Compare the digest of the bytes that were read with that in the header."""
    if header.metadata[DATA_DIGEST] != found:
        raise ValueError("the bytes of its tensors are not those that were written: their SHA-256 differs")


def read_tensors(file: io.FileIO, header: Header) -> Tensors:
    """Return every tensor, in memory; the returned bytes are those that were hashed."""
    tensors = {name: np.empty(entry.shape, DTYPES[entry.word]) for name, entry in header.entries.items()}
    check_data(header, _hash(file, header, {name: array.reshape(-1).view(np.uint8) for name, array in tensors.items()}))
    return {name: _native(array) for name, array in tensors.items()}


def read_through(file: io.FileIO, header: Header) -> None:
    """Compare the digest of the tensors, without keeping them."""
    check_data(header, _hash(file, header, {}))


def map_tensors(file: io.FileIO, header: Header) -> Tensors:
    """
    Return every tensor, mapped copy-on-write.

    One that is not aligned or not native is copied.
    """
    data = np.memmap(file, dtype=np.uint8, mode="c").view(np.ndarray)[header.base :]
    return {
        name: _native(data[entry.start : entry.end].view(DTYPES[entry.word]).reshape(entry.shape))
        for name, entry in header.entries.items()
    }


def _hash(file: io.FileIO, header: Header, targets: Mapping[str, Array]) -> str:
    """
    Return the SHA-256 of all tensors by name.

    `targets` are flat arrays of bytes to read into.
    """
    sha, scratch = hashlib.sha256(), np.empty(CHUNK, np.uint8)
    for name, entry in sorted(header.entries.items()):
        file.seek(header.base + entry.start)
        for start in range(0, entry.end - entry.start, CHUNK):
            length = min(CHUNK, entry.end - entry.start - start)
            chunk = (targets[name][start : start + length] if name in targets else scratch[:length]).data
            read_all(file, chunk, name)
            sha.update(chunk)
    return sha.hexdigest()


def read_all(file: io.FileIO, target: memoryview, name: str) -> None:
    """Fill all of the memory, or raise a ValueError."""
    while target:
        count = file.readinto(target)
        if not count:
            raise ValueError(f"it ends inside the tensor {name!r}")  # it was longer a moment ago
        target = target[count:]


def _read_some(file: io.FileIO, length: int) -> bytes:
    """Return as many bytes as the file has, up to a length."""
    parts = []
    while length and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _native(array: Array) -> Array:
    """Return the array if NumPy and the kernels can work on it, else a copy."""
    if array.flags.aligned and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="C")


def parsed(text: str) -> Any:
    """Return a JSON object. Keys that occur twice, NaN and Infinity raise a ValueError."""
    value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the dict of these pairs; refuse a key that occurs twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} occurs twice")
        found[key] = value
    return found


def _no_constant(word: str) -> None:
    """Refuse JSON that Python reads and other readers do not."""
    raise ValueError(f"{word} is no JSON number")


def _entry(name: str, value: Any) -> Entry:
    """Return a tensor's entry in the header, after a check of its values."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of the tensor {name!r} is not dtype, shape and data_offsets")
    word, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(word, str) or word not in DTYPES:
        raise ValueError(f"the tensor {name!r} is of type {word}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"the tensor {name!r} has a shape or data_offsets that are no list of sizes")
    if len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise ValueError(f"the tensor {name!r} has {len(shape)} dimensions and {len(offsets)} data_offsets")
    if math.prod(shape) * np.dtype(DTYPES[word]).itemsize != offsets[1] - offsets[0]:
        raise ValueError(f"the tensor {name!r} has data_offsets that do not fit its shape")
    return Entry(word, tuple(shape), *offsets)


def _check_places(entries: Mapping[str, Entry], size: int) -> None:
    """Check that the tensors fill the rest of the file without gap or overlap."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != end:
            raise ValueError(f"the tensor {name!r} begins at {entry.start}, and the one before it ends at {end}")
        end = entry.end
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, and {size} follow its header")
