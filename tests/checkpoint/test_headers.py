"""Headers that `npbloom.checkpoint` refuses: no header, or entries that do not fit tensors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoint._refused import refused

HEADERS = {  # found by mutation, or known faults of readers of the format
    "a list": (b"[]", "(its header: no JSON object)."),
    "a space first": (b' {"__metadata__":{}}', "(its header: no JSON object)."),
    "no UTF-8": (b'{"__metadata__":{"a":"\xff"}}', "can't decode byte 0xff in position 22: invalid start byte)."),
    "a surrogate": (b'{"__metadata__":{"npbloom":"{}","a":"\\ud800"}}', "there is no 'format'."),
    "deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "while decoding a JSON array from a unicode string)."),
    "a key twice": (b'{"__metadata__":{},"__metadata__":{}}', "(its header: the key '__metadata__' occurs twice)."),
    "NaN": (b'{"a":NaN}', "(its header: NaN is no JSON number)."),
    "a number without end": (b'{"a":' + b"9" * 5000 + b"}", "use sys.set_int_max_str_digits() to increase the limit)."),
    "metadata of numbers": (b'{"__metadata__":{"npbloom":1}}', "its metadata are no JSON object of text."),
    "metadata as a list": (b'{"__metadata__":[["npbloom","{}"]]}', "its metadata are no JSON object of text."),
}
ENTRIES = {
    "no object": ("7", "the entry of the tensor 'a' is not dtype, shape and data_offsets."),
    "no shape": ('{"dtype":"F32","data_offsets":[0,4]}', "the entry of the tensor 'a' is not dtype, shape and data_offsets."),
    "an unknown key": (
        '{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":0}',
        "the entry of the tensor 'a' is not dtype, shape and data_offsets.",
    ),
    "another dtype": ('{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}', "the tensor 'a' is of type BF16."),
    "a long dtype": (
        '{"dtype":"' + "F" * 1000 + '","shape":[2],"data_offsets":[0,4]}',
        f"the tensor 'a' is of type {'F' * 374}....",
    ),
    "a dtype that is no text": ('{"dtype":[],"shape":[2],"data_offsets":[0,4]}', "the tensor 'a' is of type []."),
    "a negative size": (
        '{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}',
        "the tensor 'a' has a shape or data_offsets that are no list of sizes.",
    ),
    "a size that is none": (
        '{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}',
        "the tensor 'a' has a shape or data_offsets that are no list of sizes.",
    ),
    "sizes whose product wraps to 4 bytes": (
        '{"dtype":"F32","shape":[4294967297,4294967297],"data_offsets":[0,4]}',
        "the tensor 'a' has data_offsets that do not fit its shape.",
    ),
    "many sizes": (
        '{"dtype":"F32","shape":[' + "2," * 100_000 + '1],"data_offsets":[0,4]}',
        "the tensor 'a' has 100001 dimensions and 2 data_offsets.",
    ),
    "three offsets": (
        '{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}',
        "the tensor 'a' has 1 dimensions and 3 data_offsets.",
    ),
    "an exabyte": (
        '{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}',
        "its tensors take 4611686018427387904 bytes, and 4 follow its header.",
    ),
    "backwards": (
        '{"dtype":"F32","shape":[1],"data_offsets":[4,0]}',
        "the tensor 'a' has data_offsets that do not fit its shape.",
    ),
    "a gap": (
        '{"dtype":"F32","shape":[0],"data_offsets":[4,4]}',
        "the tensor 'a' begins at 4, and the one before it ends at 0.",
    ),
    "an overlap": (
        '{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
        "the tensor 'b' begins at 0, and the one before it ends at 4.",
    ),
}


def with_header(header: bytes, data: bytes = b"") -> bytes:
    """Return the bytes of a safetensors file."""
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(("header", "reason"), HEADERS.values(), ids=HEADERS)
def test_headers_that_are_none_are_refused(header: bytes, reason: str, path: Path) -> None:
    path.write_bytes(with_header(header))
    assert refused(path).endswith(reason)


@pytest.mark.parametrize(("entry", "reason"), ENTRIES.values(), ids=ENTRIES)
def test_entries_that_lie_are_refused(entry: str, reason: str, path: Path) -> None:
    path.write_bytes(with_header(f'{{"__metadata__":{{"npbloom":"{{}}"}},"a":{entry}}}'.encode(), b"\0\0\0\0"))
    assert refused(path) == reason


@pytest.mark.parametrize("length", [99, 1000, 10**8, 10**8 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_not_read(length: int, path: Path) -> None:
    path.write_bytes(length.to_bytes(8, "little") + b'{"__metadata__":{"npbloom":"{}"}}')
    assert refused(path) == f"it is no safetensors file or a part of one (41 bytes, header of {length})."
