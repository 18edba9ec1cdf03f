"""Checks of `bloom`: many ids in a small table, reached through murmurhash3."""

from __future__ import annotations

from npbloom.conformance._structures import Features
from npbloom.conformance.checks._lookup import lookup_check
from npbloom.conformance.checks.embedding import out_of_bounds_check, touched_check

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
