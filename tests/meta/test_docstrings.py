"""Docstrings of the public modules pass numpydoc's validation, which rejects faulty ones."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.meta import docstrings

MODULES = [
    "npbloom",
    "npbloom.checkpoint",
    "npbloom.coding",
    "npbloom.distributed",
    "npbloom.hashing",
    "npbloom.interop",
    "npbloom.layers",
    "npbloom.ops",
    "npbloom.optimizers",
    "npbloom.recommend",
]

GOOD = '''
def double(n):
    """
    Twice a number.

    Parameters
    ----------
    n : int
        The number.

    Returns
    -------
    int
        Its double.

    Examples
    --------
    >>> double(2)
    4
    """
    return 2 * n


class Word:
    """
    A word.

    Parameters
    ----------
    text : str
        Its letters.

    Examples
    --------
    >>> Word("a").size
    1
    """

    def __init__(self, text):
        self.text = text

    @property
    def size(self):
        """Number of letters."""
        return len(self.text)

    def upper(self):
        """The word in capitals."""
        return self.text.upper()


__all__ = ["Word", "double"]
'''


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_are_complete(name):
    module = importlib.import_module(name)
    assert list(docstrings.public_objects(module)), "a module without public objects"
    assert docstrings.faults(module) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("", "", None),
        ("    n : int\n", "    number : int\n", "PR01"),
        ("        The number.\n", "", "PR07"),
        ("Twice a number.", "Twice a number", "SS03"),
        ("    Returns\n    -------\n    int\n        Its double.\n", "", "RT01"),
        ("    Examples\n    --------\n    >>> double(2)\n    4\n", "", "EX01"),
        ('        """Number of letters."""\n', "", "GL08"),
        ("text : str", "letters : str", "PR02"),
        ("def upper(self)", "def upper(self, loudly)", "PR01"),
    ],
)
def test_faults_are_found(tmp_path, monkeypatch, old, new, code):
    (tmp_path / "npbloom_sample.py").write_text(GOOD.replace(old, new, 1) if old else GOOD, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "npbloom_sample", raising=False)
    found = docstrings.faults(importlib.import_module("npbloom_sample"))
    monkeypatch.delitem(sys.modules, "npbloom_sample")
    assert found == [] if code is None else any(f": {code} " in fault for fault in found)
