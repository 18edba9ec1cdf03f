"""Helpers of the tests of golden vectors."""

from __future__ import annotations

from npbloom.conformance.vectors import SETS
from npbloom.conformance.vectors.files import vectors_of
from npbloom.conformance.vectors.vector import Band

VECTORS = {number: vector for name in SETS for number, vector in vectors_of(name).items()}


def paths(expect, before=()):
    """Return the paths of the bands of an expectation: ``("out",)``, ``("state", "sum")``."""
    for key, each in expect.items():
        yield from [(*before, key)] if isinstance(each, Band) else paths(each, (*before, key))


def at(outputs, path):
    """Return the output at a path."""
    for key in path:
        outputs = outputs[key]
    return outputs
