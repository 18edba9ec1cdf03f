"""
Cases and answers as lines of JSON, for golden vectors, files of results, and other languages.

A line is one JSON object without line breaks, in ASCII. An array is an object of its dtype, its
shape and its bytes. The bytes are little-endian, in C order, and written as hexadecimal digits,
so that floats need no decimals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs

Array = np.ndarray[Any, Any]

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
MOST_DIMENSIONS = 32
CASE_FIELDS = frozenset(each.name for each in fields(Case)) - {"op", "dtype"}
KINDS = ("outputs", "error", "unsupported")  # a reply has exactly one of them


def as_line(value: Any) -> str:
    """Return an object as one line of ASCII."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def as_object(line: str | bytes) -> dict[str, Any]:
    """Return the JSON object of a line; raise a ValueError if there is none."""
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {_shortened(line)} ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object: {_shortened(line)}")
    return value


def _no_constant(word: str) -> None:
    """Raise a ValueError: NaN and Infinity are not JSON, and arrays have them in hexadecimal."""
    raise ValueError(f"{word} is no JSON number")


def _shortened(line: str | bytes) -> str:
    """Return the start of a line, for a sentence."""
    start = line[:61]
    text = start if isinstance(start, str) else start.decode("ascii", errors="backslashreplace")
    return f"'{text}'" if len(line) <= 60 else f"'{text[:57]}...'"


def in_words(value: object) -> str:
    """Return a value or an error as part of a sentence: one line, shortened if it is long."""
    words = " ".join(str(value).split())
    return words if len(words) <= 200 else f"{words[:197]}..."


# ---- arrays and numbers --------------------------------------------------------------------------


def little_endian(array: Array) -> bytes:
    """Return the bytes of an array as files have them, on any machine."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def encoded(value: Any) -> Any:
    """
    Return a field of a case, or an output, as JSON data.

    Arrays are objects; infinities are the word "inf".
    """
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise TypeError(f"An array of {value.dtype} cannot be written as a line.")
        return {"dtype": value.dtype.name, "shape": list(value.shape), "hex": little_endian(value).hex()}
    if isinstance(value, Mapping):
        return {str(key): encoded(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encoded(item) for item in value]
    if isinstance(value, np.generic):
        return encoded(value.item())
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def array_of(value: Any, name: str) -> Array:
    """
    Return the array of an object with dtype, shape and hex.

    Raise a ValueError that describes its fault.
    """
    if not isinstance(value, dict) or not {"dtype", "shape", "hex"} <= value.keys():
        raise ValueError(f"`{name}` must be an object of dtype, shape and hex")
    return array_from(value["dtype"], value["shape"], value["hex"], name)


def array_from(dtype: Any, shape: Any, digits: Any, name: str) -> Array:
    """Return the array of these bytes."""
    if dtype not in DTYPES:
        raise ValueError(f"`{name}` has the dtype {in_words(repr(dtype))}, not one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"`{name}` has the shape {in_words(shape)}, not a list of sizes")
    try:
        data = bytes.fromhex(digits)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be hexadecimal digits, not {_shortened(str(digits))}") from None
    kind = np.dtype(dtype)
    if len(data) != math.prod(shape) * kind.itemsize:
        raise ValueError(
            f"`{name}` has {len(data)} bytes, not the {math.prod(shape) * kind.itemsize} of its shape {in_words(shape)}"
        )
    return np.frombuffer(data, dtype=kind.newbyteorder("<")).astype(kind).reshape(shape)


def decoded(value: Any, name: str) -> Any:
    """Return a field of a case from its JSON: the inverse of `encoded`, with lists as tuples."""
    if isinstance(value, dict):
        return array_of(value, name) if "hex" in value else {key: decoded(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(value)
    return {"inf": math.inf, "-inf": -math.inf}.get(value, value) if isinstance(value, str) else value


# ---- cases and replies ---------------------------------------------------------------------------


def inputs_of(case: Case) -> dict[str, Any]:
    """Return the fields of a case that are set, without its operation and dtype."""
    return {name: encoded(value) for name, value in case.given().items() if name in CASE_FIELDS}


def case_object(number: int, case: Case) -> dict[str, Any]:
    """Return a case as a runner gets it."""
    return {"tcId": number, "op": case.op, "dtype": case.dtype, "in": inputs_of(case)}


def case_of(entry: Mapping[str, Any]) -> Case:
    """Return the case of an object with op, dtype and in."""
    given = entry["in"]
    for name in given.keys() - CASE_FIELDS:
        raise ValueError(f"`in` has a field {name!r}, which no case has")
    return Case(entry["op"], entry["dtype"], **{name: decoded(value, name) for name, value in given.items()})


def reply_object(number: int, outputs: Outputs) -> dict[str, Any]:
    """Return an answer as a runner gives it."""
    return {"tcId": number, "outputs": {name: encoded(value) for name, value in outputs.items()}}


def kind_of(reply: Mapping[str, Any]) -> str:
    """
    Return the kind of a reply: outputs, error or unsupported.

    Raise a ValueError if it has none, or several.
    """
    found = [kind for kind in KINDS if kind in reply]
    if len(found) != 1:
        raise ValueError(f"must have one of {', '.join(KINDS)}, not {' and '.join(found) or 'none'}")
    return found[0]


def names_of(reply: Mapping[str, Any]) -> list[str]:
    """
    Return the outputs that a reply omits by name.

    Raise a ValueError if they are no list of names.
    """
    omits = reply.get("omits", [])
    if not isinstance(omits, list) or not all(isinstance(name, str) for name in omits):
        raise ValueError(f"`omits` must be a list of names, not {_shortened(str(omits))}")
    return omits


def outputs_of(reply: Mapping[str, Any]) -> Outputs:
    """Return the arrays of a reply; raise a ValueError that describes their fault."""
    outputs = reply["outputs"]
    if not isinstance(outputs, dict):
        raise ValueError(f"`outputs` must be an object of arrays, not {_shortened(str(outputs))}")
    found: Outputs = {}
    for name, value in outputs.items():
        if name == "state" and isinstance(value, dict):
            found[name] = {key: array_of(item, f"state[{key!r}]") for key, item in value.items()}
        else:
            found[name] = array_of(value, name)
    return found
