"""
Vectors as text: one JSON file for each set, one line for each test.

A reader needs no JSON library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from npbloom.conformance.runner.wire import DTYPES, array_from, as_line, case_of, in_words, inputs_of, little_endian
from npbloom.conformance.vectors.source import Array
from npbloom.conformance.vectors.vector import FLAGS, RESULTS, Band, Bands, Vector

FORMAT = "npbloom-vectors-1"
HEADER = (
    "Line 1 is this header, each line after it one test, the last line closes the object; everything is ASCII without escapes.",
    "A test: tcId; op; dtype of the table; flags; spec, the law of npbloom's semantics; result; note; in; expect.",
    "An array is its dtype, shape and hex: little-endian bytes in C order. A field that is not in `in` is not given.",
    "expect: lo and hi are arrays of the given dtype and shape; x is right if lo <= x and x <= hi, or if lo and x are NaN.",
    "expect with bits instead: the bits of x must be these.",
    "result: valid (answer as expected), invalid (refuse), acceptable (answering otherwise or refusing is a documented choice).",
    "Answer each test with a line {tcId, outputs: {name: array}}, or {tcId, error: text}, or {tcId, unsupported: reason}.",
    "A gradient is grad_weight, or rows and values. An output that does not come is not exercised: omits: [name] declines it.",
    "Integers are murmurhash3_x86_32(bytes of the 32-bit counter, seed of the stream); see npbloom.conformance.vectors.",
)
# Names of dtypes in safetensors.
KINDS = {name: f"{'F' if name[0] == 'f' else name[0].upper()}{name.lstrip('uintfloa')}" for name in DTYPES}

Place = dict[str, Array]


def lines_of(name: str, vectors: Mapping[int, Vector], tensors: Place | None = None) -> Iterator[str]:
    """
    Yield the lines of a set's file.

    With `tensors` the arrays go there, and ``@name`` stands for their digits.
    """
    used = sorted({flag for vector in vectors.values() for flag in vector.flags})
    beside = {} if tensors is None else {"tensors": f"{name}.safetensors: a value @name is the bytes of that tensor"}
    head = {
        "format": FORMAT,
        "set": name,
        "header": list(HEADER),
        **beside,
        "notes": {flag: FLAGS[flag] for flag in used},
        "numberOfTests": len(vectors),
    }
    yield as_line(head)[:-1] + ',"tests":['
    for number, vector in vectors.items():
        yield as_line(_test(number, vector, tensors)) + ("," if number < max(vectors) else "")
    yield "]}"


def _test(number: int, vector: Vector, tensors: Place | None) -> dict[str, Any]:
    """Return one test as an object."""
    entry = {
        "tcId": number,
        "op": vector.case.op,
        "dtype": vector.case.dtype,
        "flags": list(vector.flags),
        "spec": vector.spec,
        "result": vector.result,
        "note": vector.note,
        "in": inputs_of(vector.case),
    }
    if vector.expect:
        entry["expect"] = {name: _expected(each) for name, each in vector.expect.items()}
    return entry if tensors is None else _moved(entry, str(number), tensors)


def _expected(expect: Band | Mapping[str, Band]) -> dict[str, Any]:
    """Return a band, or the bands of a state, as an object."""
    if not isinstance(expect, Band):
        return {name: _expected(each) for name, each in expect.items()}
    edges = {"bits": expect.lo} if expect.bits else {"lo": expect.lo, "hi": expect.hi}
    digits = {edge: little_endian(array).hex() for edge, array in edges.items()}
    return {"dtype": expect.lo.dtype.name, "shape": list(expect.lo.shape), **digits}


def _moved(entry: Any, path: str, tensors: Place) -> Any:
    """Return the same object with every array's digits moved to `tensors`."""
    if isinstance(entry, dict) and {"dtype", "shape"} <= entry.keys():
        moved = dict(entry)
        for edge in ("hex", "lo", "hi", "bits"):
            if edge in entry:
                name = path if edge == "hex" else f"{path}.{edge}"
                tensors[name] = array_from(entry["dtype"], entry["shape"], entry[edge], name)
                moved[edge] = f"@{name}"
        return moved
    if isinstance(entry, dict):
        return {key: _moved(item, f"{path}.{key}", tensors) for key, item in entry.items()}
    return entry


# ---- reading -------------------------------------------------------------------------------------


def tests_of(text: str, tensors: Place) -> dict[int, Vector]:
    """Return the vectors of a set's file by number; raise a ValueError that describes its fault."""
    try:
        whole = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"is no JSON: {in_words(error)}") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT or not isinstance(whole.get("tests"), list):
        raise ValueError(f"is no file of vectors in the format {FORMAT}")
    found: dict[int, Vector] = {}
    for entry in whole["tests"]:
        number = entry.get("tcId") if isinstance(entry, dict) else None
        if type(number) is not int or number in found:
            raise ValueError(f"has a test without a number of its own: {in_words(entry)}")
        try:
            found[number] = _vector(_filled(entry, tensors))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"has a test {number} that cannot be read: {in_words(error)}") from None
    if whole.get("numberOfTests") != len(found):
        raise ValueError(f"has {len(found)} tests, not the {in_words(whole.get('numberOfTests'))} that it speaks of")
    return found


def _vector(entry: Mapping[str, Any]) -> Vector:
    """Return the vector of a test."""
    if entry["result"] not in RESULTS:
        raise ValueError(f"its result is {entry['result']!r}")
    expect: Bands = {name: _bands(each, name) for name, each in entry.get("expect", {}).items()}
    return Vector(case_of(entry), entry["spec"], entry["note"], expect, tuple(entry["flags"]), entry["result"])


def _bands(each: Mapping[str, Any], name: str) -> Any:
    """Return a band, or the bands of a state."""
    if not {"dtype", "shape"} <= each.keys():
        return {key: _bands(item, key) for key, item in each.items()}
    if "bits" in each:
        array = array_from(each["dtype"], each["shape"], each["bits"], name)
        return Band(array, array, bits=True)
    low, high = (array_from(each["dtype"], each["shape"], each[edge], name) for edge in ("lo", "hi"))
    return Band(low, high)


def _filled(entry: Any, tensors: Place) -> Any:
    """
    Return the object with the digits of its tensors.

    They are removed from `tensors`: else a tensor that many tests name would be copied for each.
    """
    if isinstance(entry, dict):
        return {key: _filled(item, tensors) for key, item in entry.items()}
    if isinstance(entry, str) and entry.startswith("@"):
        if entry[1:] not in tensors:
            raise ValueError(f"there is no tensor {in_words(entry[1:])}, or it is named twice")
        return little_endian(tensors.pop(entry[1:])).hex()
    return entry


# ---- safetensors ---------------------------------------------------------------------------------


def safetensors_of(tensors: Place) -> bytes:
    """
    Return the tensors as a safetensors file: the same bytes on every platform.

    The widest dtype comes first, so that each is aligned. The format is stable, but the safetensors
    library may change how it orders and pads a file.
    """
    header: dict[str, Any] = {}
    data = bytearray()
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize):
        start = len(data)
        data += little_endian(array)
        header[name] = {"dtype": KINDS[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, len(data)]}
    head = as_line(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + bytes(data)
