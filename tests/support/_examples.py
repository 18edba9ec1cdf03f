"""Numbers of examples that grow with the Hypothesis profile."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100  # examples of a test that names no number, by day
NIGHTLY = 1000


def repeats(count: int) -> int:
    """Return so many by day, and by night more in the same proportion as Hypothesis draws more."""
    return count * settings.default.max_examples // USUAL


def examples(count: int) -> settings:
    """Draw so many examples by day, and by night more in the same proportion as other tests do."""
    return settings(max_examples=repeats(count))
