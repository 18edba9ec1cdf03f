"""Catalogue of the study: every method by its name, in the order of the tables."""

from __future__ import annotations

from benchmarks.accuracy_study.composites import LowRank
from benchmarks.smaller.methods import DIM, Fixed, Maker, decomposed, full, hashed, learned, low_rank
from benchmarks.smaller.variants import VARIANTS

FULL_DIMS = (8, 16, 32, 64)


def full_name(dim: int) -> str:
    """Return the name of a full table with this number of columns."""
    return "full" if dim == DIM else f"full, d={dim}"


METHODS: dict[str, Maker] = {
    **{full_name(dim): full(dim) for dim in (DIM, 8, 16, 64)},
    "full, from the decomposition": decomposed(),
    "narrow": full(),
    "narrow, from the decomposition": decomposed(narrow=True),
    "learned, k=1": learned(1),
    "learned, k=2": learned(2),
    "learned, k=4": learned(4),
    "learned, k=8": learned(8),
    "learned, k=16": learned(16),
    "learned, k=4, random start": learned(4, start=False),
    "learned, k=8, random start": learned(8, start=False),
    "sum, k=4 (Spotlight)": hashed("sum", 4),
    "concat, k=4": hashed("concat", 4),
    "frequent half exact, concat k=4": hashed("concat", 4, frequent=True),
    "low rank": low_rank(LowRank),
    "low rank, matrix fixed": low_rank(Fixed),
    **VARIANTS,
}
UNCOMPRESSED = (*map(full_name, FULL_DIMS), "full, from the decomposition")
POPULARITY, DECOMPOSITION, NARROW_DECOMPOSITION = "popularity", "decomposition alone", "decomposition alone, fewer columns"
NOT_TRAINED = {f"{name}, not trained": name for name in ("learned, k=4", "learned, k=8")}  # before the first step
ROUNDED = dict.fromkeys(("full", "learned, k=4", "learned, k=8", DECOMPOSITION), (8, 4))  # bits, rounded after training
PLACES = {
    name: place
    for place, name in enumerate(
        name
        for base in (*METHODS, *NOT_TRAINED, DECOMPOSITION, NARROW_DECOMPOSITION, POPULARITY)
        for name in (base, *(f"{base}, {bits} bits" for bits in (8, 4)))
    )
}
