"""Checks of `bloom`, `bloom_mean` and `bloom_concat`: many ids in a small, hashed table."""

from __future__ import annotations

from npbloom.conformance.cases.structures import Features
from npbloom.conformance.checks.embedding import out_of_bounds_check, touched_check
from npbloom.conformance.checks.lookup import lookup_check

lookup_check("bloom.forward", "L21", "Each id gives the sum of the rows that its probes name.", ("out",), Features())
lookup_check(
    "bloom.backward",
    "L7",
    "A row gets an id's gradient once for each probe that names it, coinciding probes included.",
    ("grad_weight",),
    Features(),
)
lookup_check(
    "bloom.padding",
    "L22",
    "The padding id gives zero and has no gradient; probes of row 0 add zero, and row 0 has no gradient.",
    ("out", "grad_weight"),
    Features(padding=True),
)
lookup_check(
    "bloom.share_padding_row",
    "L22",
    "With share_padding_row=False no other id probes row 0: 1 + floor_mod(h, m - 1).",
    ("out", "grad_weight"),
    Features(padding=True, unshared=True),
)
touched_check("bloom", Features(padding=True))
out_of_bounds_check("bloom", Features())

# The checks of `bloom` test hashing and tables of every size; these test how rows are combined.
STAGES = ("exhaustive", "exact", "fingerprint", "bounded")
lookup_check(
    "bloom_mean.forward",
    "L21",
    "Each id gives the sum of the rows that its probes name, divided by k.",
    ("out",),
    Features(),
    stages=STAGES,
)
lookup_check(
    "bloom_mean.backward",
    "L21",
    "A row gets a k-th of an id's gradient for each probe that names it.",
    ("grad_weight",),
    Features(),
    stages=STAGES,
)
lookup_check(
    "bloom_mean.padding",
    "L22",
    "Probes of row 0 add zero and count in the mean; row 0 has no gradient.",
    ("out", "grad_weight"),
    Features(padding=True),
    stages=STAGES,
)
lookup_check(
    "bloom_concat.forward",
    "L21",
    "Probe j gives columns j*d/k to (j+1)*d/k, which it reads from the same columns of its row.",
    ("out",),
    Features(),
    stages=STAGES,
)
lookup_check(
    "bloom_concat.backward",
    "L21",
    "Each slice of an id's gradient goes to the slice that its probe read, and to no other.",
    ("grad_weight",),
    Features(),
    stages=STAGES,
)
lookup_check(
    "bloom_concat.padding",
    "L22",
    "A slice whose probe names row 0 is zero, and row 0 has no gradient.",
    ("out", "grad_weight"),
    Features(padding=True),
    stages=STAGES,
)
touched_check("bloom_concat", Features(padding=True))
