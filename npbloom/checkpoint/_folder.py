"""Folders of a table that is cut over ranks: a safetensors file a rank, and a manifest.

Every part has the rows of one rank, and a header with digests as any checkpoint. The manifest names
the parts, with the digest of each header, and is renamed into place last: until then the folder is
the old checkpoint.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import numpy as np

from npbloom.checkpoint import _format, _replace, _structure
from npbloom.checkpoint._format import Array, Tensors
from npbloom.ops._sharded import block_bounds

MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
PART: Final = re.compile(r"\.?part-[0-9a-f]{16}-\d+-of-\d+\.safetensors(\.[0-9a-f]{16}\.npbloom-save)?")
MOST_MANIFEST: Final = 2**30  # bytes

Spans = dict[str, list[int]]  # of a tensor: the first row of a part, and the row behind its last


class Manifest(NamedTuple):
    """Content of a manifest."""

    structure: dict[str, Any]
    metadata: dict[str, str]
    sharded: list[str]  # names of layers that are cut
    shapes: dict[str, list[int]]  # of every whole tensor
    parts: list[dict[str, Any]]  # of each: file, digest of its header, spans of its tensors

    def text(self) -> str:
        """Return the manifest as JSON, with its own digest."""
        plain = {"format": FORMAT, **self._asdict()}
        return json.dumps({**plain, "sha256": _digest(plain)}, ensure_ascii=False, allow_nan=False)


def _digest(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its digest."""
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def row_factors(structure: Mapping[str, Any], shapes: Mapping[str, list[int]], sharded: list[str]) -> dict[str, int]:
    """Return the tensors that are cut, and how many of their rows make one row of the table."""
    factors: dict[str, int] = {}
    for name in sharded:
        weight = structure["layers"][name]["weight"]
        factors[weight] = 1
        for tensor, shape in shapes.items():
            if tensor.rpartition(".")[0] == f"optimizer.{name}" and shape:
                factors[tensor] = shape[0] // shapes[weight][0]
    return factors


# ---- writing -------------------------------------------------------------------------------------


def save(path: str, layers: dict[str, Any], optimizer: Any, metadata: Any) -> None:
    """Write a folder; collective. Rank 0 also writes what is not cut, and the manifest."""
    ranks = next(layer.ranks for layer in layers.values() if layer.ranks is not None)

    def describe() -> tuple[Tensors, dict[str, Any], dict[str, str]]:
        if any(layer.ranks is not None and not layer.ranks.beside(ranks) for layer in layers.values()):
            raise ValueError("`layers` must hold sharded tables of one communicator.")
        tensors, structure = _structure.describe(layers, optimizer)
        words = _structure.check_metadata(metadata)
        if ranks.rank == 0:
            _prepare(path)
        return tensors, structure, words

    tensors, structure, words = ranks.agree("save", describe)
    token = ranks.shared(secrets.token_hex(8))
    sharded = [name for name, layer in layers.items() if layer.ranks is not None]
    whole = {name: _whole_shape(name, array, structure, layers) for name, array in tensors.items()}
    spans: Spans = {}
    shapes: dict[str, list[int]] = {}
    for name, factor in row_factors(structure, whole, sharded).items():
        owner = _owner(name, structure)
        rows = layers[owner].ranks.rows
        spans[name] = [rows.start * factor, rows.stop * factor]
        shapes[name] = whole[name]
    if ranks.rank == 0:
        shapes |= {name: list(array.shape) for name, array in tensors.items() if name not in spans}
    mine = {name: array for name, array in tensors.items() if name in spans or ranks.rank == 0}
    part = ranks.agree("save", lambda: _write_part(path, token, ranks.rank, ranks.size, mine, spans))
    parts = ranks.gathered(part)
    manifest = Manifest(structure, words, sharded, shapes, parts)
    ranks.agree("save", lambda: finish(path, manifest) if ranks.rank == 0 else None)


def _owner(tensor: str, structure: Mapping[str, Any]) -> str:
    """Return the name of the layer that a tensor belongs to."""
    for name, entry in structure["layers"].items():
        if entry["weight"] == tensor or tensor.rpartition(".")[0] == f"optimizer.{name}":
            return str(name)
    raise ValueError(f"no layer has the tensor {tensor!r}")


def _whole_shape(tensor: str, array: Array, structure: Mapping[str, Any], layers: Mapping[str, Any]) -> list[int]:
    """Return the shape of the whole tensor; a block may have no rows to find its factor from."""
    layer = layers[_owner(tensor, structure)] if not tensor.endswith(".hash_table") else None
    if layer is None or layer.ranks is None or not array.ndim:
        return list(array.shape)
    factor = layer.num_slices if array.ndim == 1 else 1
    return [layer.ranks.num_rows * factor, *array.shape[1:]]


def _prepare(folder: str) -> None:
    """Make the folder, and remove what killed saves left in it."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    os.makedirs(folder, exist_ok=True)
    named = {part["file"] for part in read_manifest(folder).parts} if os.path.exists(os.path.join(folder, MANIFEST)) else set()
    _remove_others(folder, named)


def _remove_others(folder: str, named: set[str]) -> None:
    """Remove parts that no manifest names."""
    for name in os.listdir(folder):
        if PART.fullmatch(name) and name not in named:
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _write_part(folder: str, token: str, rank: int, size: int, tensors: Tensors, spans: Spans) -> dict[str, Any]:
    """Write the file of a rank, and return its entry in the manifest."""
    name = f"part-{token}-{rank}-of-{size}.safetensors"
    path = os.path.join(folder, name)
    words = {_format.KEY: json.dumps({"format": _format.FORMAT, "part": [rank, size]})}
    _replace.replace(path, lambda file: _format.write(file, tensors, words))
    with _format.opened(path) as file:
        digest = _format.read_header(file).metadata[_format.HEADER_DIGEST]
    return {"file": name, "header_sha256": digest, "rows": spans}


def finish(folder: str, manifest: Manifest) -> None:
    """Put the manifest in its place, and remove the parts that it does not name."""

    def write(file: io.FileIO) -> None:
        rest = memoryview(manifest.text().encode())
        while rest:
            rest = rest[file.write(rest) :]

    _replace.replace(os.path.join(folder, MANIFEST), write)
    _remove_others(folder, {part["file"] for part in manifest.parts})


# ---- reading -------------------------------------------------------------------------------------


def read_manifest(folder: str) -> Manifest:
    """Read and check a manifest."""
    with _format.opened(os.path.join(folder, MANIFEST)) as file:
        if os.fstat(file.fileno()).st_size > MOST_MANIFEST:
            raise ValueError("its manifest is larger than any manifest")
        found = _format.parsed(file.readall().decode())
    if found.get("format") != FORMAT:
        raise ValueError(f"its manifest has the format {found.get('format')!r}, and this version reads {FORMAT}")
    digest = found.pop("sha256", None)
    if digest != _digest(found):
        raise ValueError("its manifest is not the one that was written: its SHA-256 differs")
    del found["format"]
    return Manifest(**found)


def opened_parts(folder: str, manifest: Manifest) -> Iterator[tuple[io.FileIO, _format.Header, Spans]]:
    """Yield each part that the manifest names, with its header compared."""
    for part in manifest.parts:
        if not PART.fullmatch(part["file"]):
            raise ValueError(f"its manifest names the file {part['file']!r}")
        with _format.opened(os.path.join(folder, part["file"])) as file:
            header = _format.read_header(file)
            _format.structure_of(header)
            if header.metadata[_format.HEADER_DIGEST] != part["header_sha256"]:
                raise ValueError(f"the part {part['file']!r} is not the one that was written: its header's SHA-256 differs")
            yield file, header, part["rows"]


def verify(folder: str) -> None:
    """Compare all digests of a folder."""
    for file, header, _ in opened_parts(folder, read_manifest(folder)):
        _format.read_through(file, header)


def read_rows(folder: str, manifest: Manifest, wanted: Mapping[str, tuple[int, int]]) -> Tensors:
    """
    Return tensors, of those in `wanted` only these rows.

    Bytes of a part are compared with their digest, also those that are not wanted, unless none of
    the part is.
    """
    tensors: Tensors = {}
    seen: dict[str, int] = {}
    for file, header, spans in opened_parts(folder, manifest):
        targets: dict[str, tuple[int, Array]] = {}
        for name, entry in header.entries.items():
            first, last = spans.get(name, [0, entry.shape[0] if entry.shape else 1])
            begin, end = wanted.get(name, (0, manifest.shapes[name][0] if entry.shape else 1))
            if name not in tensors:
                shape = (end - begin, *entry.shape[1:]) if entry.shape else ()
                tensors[name] = np.empty(shape, _format.DTYPES[entry.word])
            lo, hi = max(first, begin), min(last, end)
            if lo < hi or not entry.shape:
                array = tensors[name].reshape(-1) if not entry.shape else tensors[name][lo - begin : hi - begin].reshape(-1)
                width = array.nbytes // (hi - lo) if array.size else 0
                targets[name] = ((lo - first) * width, array.view(np.uint8))
                seen[name] = seen.get(name, 0) + hi - lo
        if targets:
            _read_part(file, header, targets)
    for name, array in tensors.items():
        if seen.get(name, 0) != (array.shape[0] if array.ndim else 1):
            raise ValueError(f"its parts do not have all rows of {name!r}")
    if tensors.keys() != manifest.shapes.keys():
        raise ValueError("its parts do not have the tensors that its manifest names")
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in tensors.items()}


def _read_part(file: io.FileIO, header: _format.Header, targets: Mapping[str, tuple[int, Array]]) -> None:
    """Hash all bytes of a part, and copy those from an offset on into each target."""
    sha, scratch = hashlib.sha256(), np.empty(_format.CHUNK, np.uint8)
    for name, entry in sorted(header.entries.items()):
        file.seek(header.base + entry.start)
        size = entry.end - entry.start
        offset, target = targets.get(name, (0, scratch[:0]))
        for start in range(0, size, _format.CHUNK):
            chunk = scratch[: min(_format.CHUNK, size - start)]
            _format.read_all(file, chunk.data, name)
            sha.update(chunk.data)
            lo, hi = max(start, offset), min(start + chunk.size, offset + target.size)
            if lo < hi:
                target[lo - offset : hi - offset] = chunk[lo - start : hi - start]
    _format.check_data(header, sha.hexdigest())


def reshard(old: str, new: str, ranks: int) -> None:
    """Write a folder again for another number of ranks; no more than a block is in memory."""
    manifest = read_manifest(old)
    if os.path.realpath(old) == os.path.realpath(new):
        raise ValueError("`new` must be another folder than `old`.")
    if os.path.exists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    factors = row_factors(manifest.structure, manifest.shapes, manifest.sharded)
    os.makedirs(new)
    token, parts = secrets.token_hex(8), []
    for rank in range(ranks):
        spans: Spans = {}
        for name, factor in factors.items():
            bounds = block_bounds(manifest.shapes[name][0] // factor, ranks) * factor
            spans[name] = bounds[rank : rank + 2].tolist()
        wanted = {name: (0, 0) for name, shape in manifest.shapes.items() if rank and shape and name not in factors}
        found = read_rows(old, manifest, {**wanted, **{name: (lo, hi) for name, (lo, hi) in spans.items()}})
        kept = {name: array for name, array in found.items() if name in factors or not rank}
        parts.append(_write_part(new, token, rank, ranks, kept, spans))
    finish(new, manifest._replace(parts=parts))
