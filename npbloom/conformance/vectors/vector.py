"""Golden vectors: a case, the interval of each element of its outputs, and a note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import ROUNDOFF, SMALLEST, stored
from npbloom.conformance.expected.bounds import absolute, gamma, sum_error
from npbloom.conformance.expected.lookup import LOOKUPS, Array

RESULTS = ("valid", "invalid", "acceptable")

FLAGS = {
    "BytesAbove127": "Bytes of a key above 127: a language whose characters are signed extends their sign.",
    "CoincidingProbes": "Probes of one id meet in one row, which counts, and gets the gradient, once for each.",
    "Duplicates": "An id or a row occurs more than once: its contributions add up, and an optimizer sees their sum.",
    "EmptyBag": "A bag without entries, or with padding only, gives zero and has no gradient.",
    "InvalidOffsets": "Offsets that are no partition raise. Where what they do is undefined, answer `unsupported`.",
    "Lazy": "Rows that the gradient does not name keep every bit, in the table and in the state.",
    "MaxNaN": "A NaN in a bag makes its maximum NaN wherever it stands; other choices are acceptable.",
    "MaxTie": "Among equal maxima the first in the bag takes the gradient; other choices are acceptable.",
    "MeanWeights": "Per-sample weights with mean or max raise; giving them a meaning is acceptable.",
    "OutOfBounds": "An id outside its range raises.",
    "Padding": "There is a padding id.",
    "PaddingForward": "A lookup gives the padding row as it is stored; a vector of zeros is acceptable.",
    "RawBits": "`expect` holds bits: every bit of a row is copied, NaN payloads, -0.0 and subnormals included.",
    "Rounding": "Sums, products or reciprocals round: any order, and any accumulator from the table's dtype up, is within.",
    "SignedRemainder": "The remainder of the hash read as unsigned, or one that truncates, gives another row.",
    "Verification": "SMHasher's verification value of MurmurHash3_x86_32.",
}


@dataclass(frozen=True)
class Band:
    """The smallest and largest right value of each element; NaN in both if only NaN is right."""

    lo: Array
    hi: Array
    bits: bool = False  # the exact bits of `lo`

    def holds(self, got: Array) -> Array:
        """Return a mask of the elements of an array of this shape that are right."""
        if self.bits:
            kind = f"u{self.lo.dtype.itemsize}"
            with np.errstate(invalid="ignore"):
                same = np.ascontiguousarray(got.astype(self.lo.dtype))
            right: Array = (same.view(kind) == np.ascontiguousarray(self.lo).view(kind)).reshape(self.lo.shape)
            return right
        return ((self.lo <= got) & (got <= self.hi)) | (np.isnan(self.lo) & np.isnan(got))


Bands: TypeAlias = Mapping[str, "Band | Mapping[str, Band]"]


@dataclass(frozen=True)
class Vector:
    """One golden vector; its place in its set gives its number."""

    case: Case
    spec: str  # the law: "L21"
    note: str
    expect: Bands = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    result: str = "valid"


def exact(values: Any, dtype: str) -> Band:
    """Return a band of one value each: exactly this float, or this integer."""
    array = np.asarray(values).astype(dtype)
    if not np.array_equal(array, values, equal_nan=True):
        raise ValueError(f"A value that is to be exact is no {dtype}.")
    return Band(array, array)


def within(value: Array, tolerance: Array, dtype: str = "float32") -> Band:
    """Return a band of the floats that are this close to a value."""
    low, high = value - tolerance, value + tolerance
    bands = []
    for edge, toward in ((low, np.inf), (high, -np.inf)):
        rounded = edge.astype(dtype)
        outside = (rounded < edge) if toward > 0 else (rounded > edge)
        bands.append(np.where(outside, np.nextafter(rounded, rounded.dtype.type(toward)), rounded))
    if not ((bands[0] <= bands[1]) | np.isnan(value)).all():
        raise ValueError(f"No {dtype} is this close to a value.")
    return Band(bands[0], bands[1])


def expect_exact(case: Case) -> dict[str, Band]:
    """
    Return the outputs of a lookup whose arithmetic does not round.

    This holds in any order, in the table's dtype.
    """
    return {key: exact(value, case.dtype) for key, value in _outputs(case).items()}


def expect_divided(case: Case) -> dict[str, Band]:
    """
    Return the outputs of a lookup on integers with divisors like 3.

    They are exact for a division, but not for a product with the reciprocal.
    """
    return _rounded(case, least=np.array(0.5))


def expect_rounded(case: Case) -> dict[str, Band]:
    """
    Return the outputs of a lookup on floats of a wide range.

    Each sum is within the error of its accumulator, in any order.
    """
    return _rounded(case, least=None)


def _rounded(case: Case, least: Array | None) -> dict[str, Band]:
    """
    Return bands of sums that round, in the table's dtype or wider.

    In float64 the expected value has the same error, so the unit doubles.
    """
    values, sizes = _outputs(case), _outputs(absolute(case))
    unit = ROUNDOFF[case.dtype] * (2 if case.dtype == "float64" else 1)
    terms = np.asarray(case.ids).size * (case.num_hash_functions or 1)
    bands = {}
    for key, value in values.items():
        if key == "out" and (case.mode == "max" or case.op == "bloom_concat"):
            bands[key] = exact(value, case.dtype)  # copies values, adds none
            continue
        count = case.weight.shape[1] if key == "grad_per_sample_weights" else terms
        tolerance = sum_error(sizes[key], gamma(count + 4, unit), (terms + 4) * SMALLEST[case.dtype])
        if (tolerance > 0.25 * (np.abs(value) if least is None else least))[sizes[key] > 0].any():
            raise ValueError("An element says nothing: terms cancel until less than the tolerance is left.")
        bands[key] = within(value, tolerance, case.dtype)
    return bands


def expect_normed(case: Case) -> dict[str, Band]:
    """
    Return output and table of a lookup with max_norm.

    Each row is within 16 roundings of a norm, a quotient and a product.
    """
    values, before = _outputs(case), np.asarray(case.weight, dtype=np.float64)
    moved = (values["weight"] != before).any(axis=1, keepdims=True)
    table = np.where(moved, 16 * ROUNDOFF[case.dtype] * np.abs(values["weight"]), 0.0)
    if case.op == "bag":
        error = (16 + np.asarray(case.ids).size) * ROUNDOFF[case.dtype] * np.abs(_outputs(absolute(case))["out"])
    else:
        error = table[case.ids]
    return {"out": within(values["out"], error), "weight": within(values["weight"], table)}


def _outputs(case: Case) -> dict[str, Array]:
    """Return outputs of the reference in float64, without the list of touched rows."""
    answer = LOOKUPS["bloom" if case.op == "bloom64" else case.op]
    outputs = answer(case)
    return {key: value for key, value in outputs.items() if key != "rows" or case.op == "hash"}


def answer_of(vector: Vector) -> Outputs:
    """Return the middle of each band: outputs that are right."""
    return {
        key: _middle(band) if isinstance(band, Band) else {name: _middle(each) for name, each in band.items()}
        for key, band in vector.expect.items()
    }


def _middle(band: Band) -> Array:
    """Return a right array, in the dtype of the band."""
    if band.bits or band.lo.dtype.kind != "f":
        return band.lo.copy()
    middle: Array = stored((band.lo.astype(np.float64) + band.hi.astype(np.float64)) / 2, band.lo.dtype.name)
    return middle
