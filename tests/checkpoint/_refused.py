"""Loads that must be refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from npbloom import checkpoint


def refused(path: Path) -> str:
    """Return the reason why a file is refused, mapped or not."""
    reasons = set()
    for mmap in (False, True):
        with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom: ") as caught:
            checkpoint.load(path, mmap=mmap)
        text = str(caught.value)
        assert text.startswith(f"{path} is not a whole checkpoint of npbloom: ")
        assert text.endswith(".")
        assert "\n" not in text
        reasons.add(text.split("npbloom: ", 1)[1])
    (reason,) = reasons
    return reason
