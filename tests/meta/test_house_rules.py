"""Each house rule gets a tree that breaks it, and one that barely keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta import house


def write(root: Path, name: str, text: str) -> Path:
    """Put one file into a tree and return the tree."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def statements(count: int, indent: str = "") -> str:
    """Return this many lines of code."""
    return "".join(f"{indent}name_{number} = {number}\n" for number in range(count))


SILENT = '"""A docstring\nof two lines."""\n\n# a comment\n\n'


def test_code_lines_leave_out_docstrings_blanks_and_comments():
    source = (
        '"""One\n\ntwo."""\n\n# three\nvalue = """a\n\nstring"""  # four\n\n\ndef word():\n    """Five."""\n    return value\n'
    )
    assert house.code_lines(source) == {6, 7, 8, 11, 13}


@pytest.mark.parametrize(("lines", "faults"), [(300, []), (301, ["npbloom/long.py: 301 lines of code"])])
def test_long_files(tmp_path, lines, faults):
    assert house.long_files(write(tmp_path, "npbloom/long.py", SILENT + statements(lines))) == faults


@pytest.mark.parametrize(("lines", "faults"), [(49, []), (50, ["npbloom/a.py:2 method: 51 lines of code"])])
def test_long_functions(tmp_path, lines, faults):
    source = 'class Word:\n    def method(self):\n        """A\n        b."""\n\n        # why\n' + statements(lines, " " * 8)
    assert house.long_functions(write(tmp_path, "npbloom/a.py", source)) == faults


@pytest.mark.parametrize(("count", "faults"), [(16, []), (17, ["npbloom/_kernels/wide.py:1 wide_range: 17 arguments"])])
def test_wide_kernels(tmp_path, count, faults):
    arguments = ", ".join(f"argument_{number}" for number in range(count))
    assert house.wide_kernels(write(tmp_path, "npbloom/_kernels/wide.py", f"def wide_range({arguments}):\n    pass\n")) == faults


@pytest.mark.parametrize("line", ["import numba", "from numba import njit", "import llvmlite.ir", "import numpy, numba as fast"])
def test_compiler_named(tmp_path, line):
    write(tmp_path, "npbloom/_kernels/jit.py", "import numba\nfrom llvmlite import ir\n")
    assert house.compiler_named(write(tmp_path, "npbloom/fine.py", '"""Numba: numba."""\n# numba\n')) == []
    (fault,) = house.compiler_named(write(tmp_path, "npbloom/ops/jit.py", line + "\n"))
    assert fault.startswith("npbloom/ops/jit.py:1 names ")


def test_layer_internals(tmp_path):
    layer = "class Layer:\n    _kind: str\n\n    def _fill(self, other):\n        self._weight = other._kind\n"
    write(tmp_path, "npbloom/layers/_table.py", layer)
    write(tmp_path, "npbloom/fine.py", "layer.weight, layer.__dict__, self._weight, other._weights, _fill\n")
    assert house.layer_internals(tmp_path) == []
    write(tmp_path, "npbloom/optimizers/sgd.py", "layer._weight\nmodel.layers[0]._kind\nlayer._fill()\n")
    assert house.layer_internals(tmp_path) == [
        "npbloom/optimizers/sgd.py:1 touches _weight of a layer",
        "npbloom/optimizers/sgd.py:2 touches _kind of a layer",
        "npbloom/optimizers/sgd.py:3 touches _fill of a layer",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [('["SGD", "a", "b"]', None), ('["b", "a"]', "not sorted"), ('["a", "a"]', "not sorted"), ("sorted(globals())", "literal")],
)
def test_unsorted_all(tmp_path, value, words):
    faults = house.unsorted_all(write(tmp_path, "npbloom/__init__.py", f"__all__ = {value}\n"))
    assert len(faults) == (words is not None)
    assert all(words in fault for fault in faults)


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ('__all__ = ["one"]\n\ndef one(): ...\n\ndef _two(): ...\n', []),
        ('__all__ = ["one"]\n\ndef one(): ...\n\ndef two(): ...\n', ["npbloom/ops/a.py:5 two is not in `__all__`"]),
        ("class One: ...\n", ["npbloom/ops/a.py:1 One is not in `__all__`"]),
    ],
)
def test_unlisted_operations(tmp_path, source, faults):
    write(tmp_path, "npbloom/ops/_b.py", "def three(): ...\n")
    assert house.unlisted_operations(write(tmp_path, "npbloom/ops/a.py", source)) == faults


@pytest.mark.parametrize("top", ["root", "tmp", "work", "home", "Users"])
def test_machine_paths(tmp_path, top):
    assert (
        house.machine_paths(write(tmp_path, "docs/a.md", "`tests/work/x`, /usr/bin/env, ../tmp/file, http://host/home/page\n"))
        == []
    )
    write(tmp_path, ".git/config", f"/{top}/one")
    (fault,) = house.machine_paths(write(tmp_path, "docs/b.md", f"fine\nsee /{top}/one\n"))
    assert fault == f"docs/b.md:2 see /{top}/one"


def fake_package(root: Path, body: str) -> Path:
    """Return a package named npbloom with a subpackage that only some users need."""
    write(root, "npbloom/recommend/__init__.py", "")
    return write(root, "npbloom/__init__.py", body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import json", None),
        ("import npbloom.recommend", "npbloom.recommend is imported"),
        ("import hypothesis", "hypothesis is imported"),
        ("import numba\nadd = numba.njit('int64(int64)')(lambda n: n + 1)", "npbloom.add is compiled on import"),
        ("raise KeyError('this')", "KeyError: 'this'"),
        ("import warnings\nwarnings.warn('old', DeprecationWarning)", "DeprecationWarning: old"),
    ],
)
def test_import_faults(tmp_path, body, words):
    faults = house.import_faults(fake_package(tmp_path / "tree", body), tmp_path / "cache")
    assert faults == [] if words is None else any(words in fault for fault in faults)


def test_import_that_fills_the_cache_is_seen(tmp_path):
    body = "import numba\n\n@numba.njit(cache=True)\ndef add(n):\n    return n + 1\n\nadd(1)\ndel add\n"
    faults = house.import_faults(fake_package(tmp_path / "tree", body), tmp_path / "cache")
    assert any(fault.endswith("is written on import") for fault in faults)
