"""Tests of structures at the sizes of every profile: a right backend accepts them."""

from __future__ import annotations

import pytest

from npbloom.conformance._check import PROFILES
from npbloom.conformance.cases.structures import Features, thresholds


@pytest.mark.parametrize("last_offset", [False, True])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_offsets_at_every_size_are_a_partition(profile: str, last_offset: bool) -> None:
    sizes = PROFILES[profile].sizes
    structures = list(thresholds("bag", Features(modes=("sum",), last_offset=last_offset), sizes))
    assert {structure.fields["ids"].size for structure in structures} >= set(sizes)
    for structure in structures:
        offsets, size = structure.fields["offsets"].tolist(), structure.fields["ids"].size
        assert offsets == sorted(offsets)
        assert (offsets[0], offsets[-1] == size or not last_offset) == (0, True)
        assert offsets[-1] <= size
