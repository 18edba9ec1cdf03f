"""Drawings of lessons: words and boxes do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from notebooks import style


@pytest.fixture
def axes() -> Iterator[Axes]:
    """Return axes from 0 to 1 in both directions."""
    figure = plt.figure()
    yield figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
    plt.close(figure)


def written(axes: Axes) -> list[str]:
    return [note.get_text() for note in axes.texts]


def test_label_leaves_out_what_covers_others(axes):
    style.label(axes, [(0.5, 0.5), (0.502, 0.5), (0.504, 0.5), (0.5, 0.8)], ["first", "second", "third", "above"])
    assert written(axes) == ["first", "second", "above"]  # the second to the left of its place, no side for the third
    first, second = axes.texts[0].get_window_extent(), axes.texts[1].get_window_extent()
    assert second.x1 < first.x0


def test_label_stays_within_the_axes(axes):
    style.label(axes, [(0.99, 0.5), (0.5, 0.999), (2, 2)], ["left of its place", "too high", "outside"])
    assert written(axes) == ["left of its place"]


@pytest.mark.parametrize("num_rows", [2, 6, 9])
def test_probes_draws_boxes_apart(axes, num_rows):
    style.probes(axes, list("ABCDEF"), [[row % 2] for row in range(6)], num_rows)
    boxes = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, style.Rectangle)]
    assert len(boxes) == 6 + num_rows
    assert [box.count_overlaps(boxes) for box in boxes] == [1] * len(boxes)  # with itself
    assert all(axes.bbox.count_contains(box.corners()) == 4 for box in boxes)
