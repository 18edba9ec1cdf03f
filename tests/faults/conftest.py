"""Settings that tests of several files ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import npbloom as nb


@pytest.fixture
def four_threads() -> Iterator[None]:
    """Split the calls of all threads into four, also on a machine with one processor."""
    before = nb.get_num_threads()
    nb.set_num_threads(4)
    yield
    nb.set_num_threads(before)
