"""Sets of golden vectors as files, and the proof that they are the same on every platform."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from npbloom.conformance.vectors import bag, bloom, combine, errors, hashing, lookup, optim
from npbloom.conformance.vectors.format import Place, lines_of, safetensors_of
from npbloom.conformance.vectors.vector import Vector

MAKERS: dict[str, Callable[[], Iterator[Vector]]] = {
    "hash": hashing.vectors,
    "lookup": lookup.vectors,
    "bag": bag.vectors,
    "bloom": bloom.vectors,
    "optim": optim.vectors,
    "errors": errors.vectors,
    "combine": combine.vectors,
}
SETS = tuple(MAKERS)
# SHA-256 of each set's JSON file, without safetensors, on every platform.
DIGESTS: dict[str, str] = {
    "hash": "79b2c73d3c8cc52e50333465d3bbb6a66267aba209aafc932648f72cac46081d",
    "lookup": "faa37e78233e277edd7dc449a47af9e3fd610f261cb2ffc9838cd0fdcaac9923",
    "bag": "7fea028af51057419a8dbec292403d6f8a68175027d1eec104b8957b88c4676c",
    "bloom": "8fa5e9aaf228568f88d2cf1761b9ce7d29683af63a00b80bb348281972cc959e",
    "optim": "1b802939f69c711d0ed4f2513b8be4865ea2a63bce04893064c85277262b7341",
    "errors": "eea4cd749e7cd217061d87fa05fb275ff9531d5f5352181cd85183908b7de3a8",
    "combine": "b79f4c46ada1acee21773a2b61ccff6e1d9b30675488b43c42d48ab69b8ae687",
}


@cache
def vectors_of(name: str) -> dict[int, Vector]:
    """
    Return the vectors of a set by number: 1001 is the first of the first set.

    New ones are added at the end of a set.
    """
    first = 1000 * (SETS.index(name) + 1) + 1
    return dict(enumerate(MAKERS[name](), first))


def export(directory: str | os.PathLike[str], sets: Iterable[str] | None = None, *, safetensors: bool = False) -> list[Path]:
    """
    Write golden vectors to files, one JSON file for each set.

    Parameters
    ----------
    directory : path
        Folder to write to; created if missing. Files of the same names are replaced.
    sets : iterable of str, optional
        Some of ``hash``, ``lookup``, ``bag``, ``bloom``, ``optim``, ``errors``, ``combine``; all by
        default.
    safetensors : bool, default False
        Put the arrays in a ``.safetensors`` file beside each JSON file, which then names them.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        There is no such set.
    OSError
        A file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in export(folder, ["hash"])], check(folder)
    (['hash.json'], [])
    """
    folder = Path(directory)
    written = []
    for name in known(sets):
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in _contents(name, safetensors).items():
            (folder / path).write_bytes(data)
            written.append(folder / path)
    return written


def check(directory: str | os.PathLike[str] | None = None, sets: Iterable[str] | None = None) -> list[str]:
    """
    Make golden vectors again, and name every difference from the digests and from files.

    Parameters
    ----------
    directory : path, optional
        Folder that `export` has written. Without one, the vectors made now are compared only with
        the digests of npbloom.
    sets : iterable of str, optional
        As for `export`; by default those that are in the directory, or all.

    Returns
    -------
    list of str
        A sentence for each file that differs; empty if all bytes are the same.

    Raises
    ------
    ValueError
        There is no such set.
    FileNotFoundError
        The directory does not exist, or holds no vectors.

    Examples
    --------
    >>> check(sets=["hash", "bloom"])
    []
    """
    if directory is None:
        return [complaint for name in known(sets) for complaint in _unlike_digest(name)]
    folder = Path(directory)
    if not folder.is_dir():
        raise FileNotFoundError(2, "No such directory", str(folder))
    wanted = known(sets) if sets is not None else [name for name in SETS if (folder / f"{name}.json").is_file()]
    if not wanted:
        raise FileNotFoundError(2, "No golden vectors in this directory", str(folder))
    return [complaint for name in wanted for complaint in (*_unlike_digest(name), *_unlike_files(name, folder))]


def known(sets: Iterable[str] | None) -> list[str]:
    """Return the named sets, in their order; raise a ValueError for one that does not exist."""
    wanted = list(SETS if sets is None else sets)
    for name in wanted:
        if name not in SETS:
            raise ValueError(f"There is no set {name!r}; there are {', '.join(SETS)}.")
    return [name for name in SETS if name in wanted]


def digest(name: str) -> str:
    """Return the SHA-256 of a set's JSON file."""
    return hashlib.sha256(_contents(name, False)[f"{name}.json"]).hexdigest()


def _contents(name: str, safetensors: bool) -> dict[str, bytes]:
    """Return names and bytes of a set's files."""
    tensors: Place | None = {} if safetensors else None
    text = "\n".join(lines_of(name, vectors_of(name), tensors)) + "\n"
    files = {f"{name}.json": text.encode("ascii")}
    return files if tensors is None else {**files, f"{name}.safetensors": safetensors_of(tensors)}


def _unlike_digest(name: str) -> Iterator[str]:
    """Yield a complaint if this platform makes other bytes than npbloom's digest says."""
    if digest(name) != DIGESTS[name]:
        yield f"{name}: this platform makes other vectors than the digest in npbloom says"


def _unlike_files(name: str, folder: Path) -> Iterator[str]:
    """Yield a complaint for each file of a set that is missing or differs from the one made now."""
    path = folder / f"{name}.json"
    bulk = path.is_file() and b'"tensors":"' in path.read_bytes().partition(b"\n")[0]
    for file, data in _contents(name, bulk).items():
        found = (folder / file).read_bytes() if (folder / file).is_file() else None
        if found is None:
            yield f"{file}: is missing"
        elif found != data:
            yield f"{file}: {_difference(found, data) if file.endswith('.json') else 'other tensors'}"


def _difference(found: bytes, data: bytes) -> str:
    """Return a sentence that names the tests of a JSON file that differ."""
    theirs, ours = found.split(b"\n"), data.split(b"\n")
    if len(theirs) != len(ours):
        return f"{len(theirs) - 1} lines, not {len(ours) - 1}"
    lines = [number for number, (left, right) in enumerate(zip(theirs, ours, strict=True)) if left != right]
    words = [_tc_id(ours[number]) or f"line {number + 1}" for number in lines]
    return (
        f"{', '.join(words[:5])}{f' and {len(words) - 5} more' if len(words) > 5 else ''} differ{'s' if len(words) == 1 else ''}"
    )


def _tc_id(line: bytes) -> str:
    """Return the number of a test, from its line."""
    start = b'{"tcId":'
    return f"tcId {line[len(start) :].partition(b',')[0].decode()}" if line.startswith(start) else ""
