"""Tests of golden vectors as files: the same bytes everywhere, and one sentence per difference."""

from __future__ import annotations

import json
import re
import struct

import pytest
from safetensors.numpy import load_file

from npbloom.conformance.vectors import SETS, check, export, files, judge
from npbloom.conformance.vectors.format import tests_of as read_tests
from npbloom.conformance.vectors.vector import Band


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with all sets as files."""
    path = tmp_path_factory.mktemp("vectors")
    export(path)
    return path


# ---- the same bytes everywhere -------------------------------------------------------------------


def test_this_platform_makes_the_bytes_that_npbloom_knows():
    found = {name: files.digest(name) for name in SETS}
    assert found == files.DIGESTS, "Where vectors were meant to change, these are their digests."
    assert check() == []


def test_files_are_lines_of_ascii_without_escapes(folder):
    """Check the form of lines that the example in C relies on."""
    for name in SETS:
        data = (folder / f"{name}.json").read_bytes()
        assert data.isascii()
        assert b"\\" not in data
        lines = data.decode().splitlines()
        whole = json.loads(data)
        assert whole["set"] == name
        assert whole["numberOfTests"] == len(whole["tests"]) == len(lines) - 2
        for line, entry in zip(lines[1:-1], whole["tests"], strict=True):
            assert line.startswith('{"tcId":')
            assert json.loads(line.removesuffix(",")) == entry
            assert " " not in re.sub(r'"(note|spec)":"[^"]*"', "", line)
            assert line.count('"in":{') == 1
            assert line.find('"in":{') < line.find('"expect":') or "expect" not in entry


@pytest.mark.parametrize("safetensors", [False, True])
def test_files_hold_the_vectors_to_the_bit(tmp_path, safetensors):
    export(tmp_path, safetensors=safetensors)
    for name in SETS:
        tensors = load_file(tmp_path / f"{name}.safetensors") if safetensors else {}
        read = read_tests((tmp_path / f"{name}.json").read_text(), tensors)
        made = files.vectors_of(name)
        assert read.keys() == made.keys()
        for number, vector in made.items():
            assert repr(read[number].case) == repr(vector.case)
            assert (read[number].spec, read[number].flags, read[number].result) == (vector.spec, vector.flags, vector.result)
            _same_bands(read[number].expect, vector.expect)
    assert check(tmp_path) == []


def _same_bands(left, right):
    assert left.keys() == right.keys()
    for key, band in right.items():
        if not isinstance(band, Band):
            _same_bands(left[key], band)
        else:
            for edge in ("lo", "hi"):
                mine, theirs = getattr(left[key], edge), getattr(band, edge)
                assert (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())
            assert left[key].bits == band.bits


def test_tensors_are_aligned_and_in_one_order(tmp_path):
    export(tmp_path, ["bag"], safetensors=True)
    data = (tmp_path / "bag.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    at = 0
    for entry in header.values():
        width = {"I64": 8, "F64": 8, "F32": 4}[entry["dtype"]]
        assert entry["data_offsets"][0] == at
        assert at % width == 0
        at = entry["data_offsets"][1]
    assert at == len(data) - 8 - size


def test_a_tensor_that_is_named_twice_is_refused(tmp_path):
    """Refuse a second name of a tensor: a thousand names of a megabyte would need a gigabyte."""
    export(tmp_path, ["hash"], safetensors=True)
    path = tmp_path / "hash.json"
    first, second = re.findall(r'"hex":"(@[^"]+)"', path.read_text())[:2]
    for name in (first, "@none"):
        path.write_text(path.read_text().replace(second, name))
        with pytest.raises(ValueError, match=f"there is no tensor {name[1:]}, or it is named twice"):
            judge(tmp_path, [])
        second = name


def test_check_names_the_file_and_the_test_that_differ(folder, tmp_path):
    for name in ("hash", "bloom"):
        (tmp_path / f"{name}.json").write_bytes((folder / f"{name}.json").read_bytes())
    assert check(tmp_path) == []
    path = tmp_path / "bloom.json"
    lines = path.read_text().splitlines(keepends=True)

    lines[3] = lines[3].replace('"hex":"', '"hex":"0', 1)
    path.write_text("".join(lines))
    assert check(tmp_path) == ["bloom.json: tcId 4003 differs"]
    lines[5] = lines[5].replace("L2", "L3")
    lines[0] = lines[0].replace("npbloom", "nobloom")
    path.write_text("".join(lines))
    assert check(tmp_path) == ["bloom.json: line 1, tcId 4003, tcId 4005 differ"]
    path.write_text("".join(lines[:-2]))
    assert check(tmp_path) == [f"bloom.json: {len(lines) - 2} lines, not {len(lines)}"]
    path.unlink()
    assert check(tmp_path) == []  # the sets in this folder
    assert check(tmp_path, ["hash", "bloom"]) == ["bloom.json: is missing"]


def test_check_compares_tensors(tmp_path):
    export(tmp_path, ["hash"], safetensors=True)
    path = tmp_path / "hash.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert check(tmp_path) == ["hash.safetensors: other tensors"]
    path.unlink()
    assert check(tmp_path) == ["hash.safetensors: is missing"]


def test_check_names_a_platform_that_makes_other_bytes(monkeypatch):
    monkeypatch.setitem(files.DIGESTS, "hash", "0" * 64)
    assert check(sets=["hash"]) == ["hash: this platform makes other vectors than the digest in npbloom says"]


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"There is no set 'bags'; there are hash, lookup, bag"):
        export(tmp_path / "new", ["bags"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "new")
    with pytest.raises(FileNotFoundError):
        check(tmp_path)
    with pytest.raises(FileNotFoundError):
        judge(tmp_path, [])
    with pytest.raises(ValueError, match="There is no set"):
        check(tmp_path, ["bags"])
    assert [path.name for path in export(tmp_path / "new" / "deep", ["bloom", "hash"])] == ["hash.json", "bloom.json"]
