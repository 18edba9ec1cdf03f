"""Bytes that must move, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import traffic


@pytest.mark.parametrize(
    ("items", "width", "lines"),
    [
        ([], 256, 0),
        ([0], 256, 4),
        ([0, 5], 256, 8),
        ([0], 4, 1),
        ([0, 15], 4, 1),  # both on the first line
        ([0, 16], 4, 2),
        ([0, 1], 48, 2),  # bytes 0 to 95
        ([0, 2], 48, 3),  # 0 to 47, 96 to 143: lines 0; 1, 2
        ([1], 48, 2),  # 48 to 95
        ([0, 1, 2, 3], 48, 3),
        ([0], 132, 3),  # d = 33: bytes 0 to 131
        ([0, 1], 132, 5),  # 0 to 263
        ([1, 3], 132, 6),  # 132 to 263: lines 2 to 4; 396 to 527: lines 6 to 8
    ],
)
def test_lines_count_once(items, width, lines):
    assert traffic.touched_bytes(np.array(items, dtype=np.int64), width) == lines * 64


@pytest.mark.parametrize("width", [4, 20, 64, 132, 200, 256])
def test_lines_are_those_of_a_set(width):
    items = np.flatnonzero(np.random.default_rng(width).random(300) < 0.3)
    lines = {byte // 64 for item in items.tolist() for byte in range(item * width, (item + 1) * width)}
    assert traffic.touched_bytes(items, width) == 64 * len(lines)


IDS = np.array([1, 2, 1])
ROWS = np.array([[3, 5], [5, 9], [3, 5]])  # three distinct rows, read six times


def test_a_forward_by_hand():
    assert traffic.forward_bytes(IDS, ROWS, 32, 4) == {
        "ids": 24,
        "table, read": 3 * 128,
        "output, written": 3 * 32 * 4,
    }


@pytest.mark.parametrize(
    ("optimizer", "state"),
    [("sgd", 0), ("adagrad", 2 * 3 * 128), ("adam", 2 * 2 * 3 * 128), ("rowwise_adagrad", 2 * 64)],
)
def test_an_update_by_hand(optimizer, state):
    assert traffic.update_bytes(ROWS, 32, 4, optimizer) == {
        "gradients, read": 3 * 32 * 4,
        "table, read and written": 2 * 3 * 128,
        "state, read and written": state,
    }


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_copy_copies(threads):
    copy = traffic.Copy(threads, size=8_000)
    assert copy.bytes == 16_000
    copy()
    assert sum(len(target) for target, _ in copy._parts) == 1_000
    for target, source in copy._parts:
        np.testing.assert_array_equal(target, source)
        assert source.all()
    copy.close()
