"""`plan`: shares against counts over real hashes and all tuples, bytes against real layers."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.coding import plan
from npbloom.coding._plan import UNITS, read_bytes, repeat_probe, share_all
from npbloom.optimizers import BY_NAME


def shared(rows: np.ndarray, ordered: bool) -> float:
    """Return the share of ids whose rows are those of another id, too."""
    keys = rows if ordered else np.sort(rows, axis=1)
    _, which, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return float((counts[which.reshape(-1)] > 1).mean())


@pytest.mark.parametrize(
    ("num_ids", "num_rows", "k"),
    [(20_000, 4000, 1), (20_000, 40_000, 1), (20_000, 150, 2), (20_000, 60, 3), (20_000, 40, 4), (50_000, 30, 5), (20_000, 9, 6)],
)
@pytest.mark.parametrize("combine", ["sum", "concat"])
@pytest.mark.parametrize("padding", ["none", "shared", "own"])
def test_shares_are_those_of_real_hashes(num_ids, num_rows, k, combine, padding):
    options = {"padding_idx": None if padding == "none" else 0, "share_padding_row": padding != "own"}
    layer = nb.BloomEmbedding(num_ids, 60, num_rows=num_rows, num_hash_functions=k, combine=combine, **options)
    planned = plan(num_ids, 60, ratio=(num_rows + 0.5) / num_ids, num_hashes=k, combine=combine, **options)
    rows = layer.hash_rows(np.arange(0 if padding == "none" else 1, num_ids))
    ordered = np.sort(rows, axis=1)
    found = {
        "share_all": shared(rows, combine == "concat"),
        "repeat_probe": float((ordered[:, 1:] == ordered[:, :-1]).any(axis=1).mean()),
        "touch_padding": float((rows == 0).any(axis=1).mean()) if padding == "shared" else 0.0,
    }
    assert planned.num_rows == num_rows
    for name, share in found.items():
        expected = getattr(planned, name)
        deviation = math.sqrt(2 * max(expected * (1 - expected), 1e-6) / num_ids)  # shared ids come in pairs at least
        assert abs(share - expected) < 5 * deviation, name
    assert planned.ids_per_row == pytest.approx(rows.size / (num_rows - (padding == "own")))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_shares_are_those_of_all_tuples(num_ids, num_rows, k, ordered):
    tuples = list(itertools.product(range(num_rows), repeat=k))
    sizes = Counter(one if ordered else tuple(sorted(one)) for one in tuples)
    weights = [size / len(tuples) for size in sizes.values()]
    expected = sum(weight * (1 - (1 - weight) ** (num_ids - 1)) for weight in weights)
    assert share_all(num_ids, num_rows, k, ordered) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    repeated = sum(len(set(one)) < k for one in tuples) / len(tuples)
    assert repeat_probe(num_rows, k) == pytest.approx(repeated, rel=1e-9, abs=1e-12)


def test_very_small_and_very_large_shares():
    assert share_all(2**63, 2**31, 24, ordered=False) < 1e-150
    assert share_all(10**6, 10**5, 2, ordered=True) == pytest.approx(1e-4, rel=1e-3)
    assert share_all(10**9, 1000, 1, ordered=False) == 1.0
    assert share_all(1, 1, 3, ordered=False) == 0.0
    assert repeat_probe(10**9, 2) == pytest.approx(1e-9)
    assert math.copysign(1.0, repeat_probe(10, 1)) == 1.0


@pytest.mark.parametrize("combine", ["sum", "mean", "concat"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [None, *BY_NAME])
def test_bytes_are_those_of_layers_and_optimizers(combine, dtype, optimizer):
    how = {"combine": combine, "dtype": dtype}
    planned = plan(5000, 12, ratio=0.3, num_hashes=3, optimizer=optimizer, **how)
    layer = nb.BloomEmbedding(5000, 12, 0.3, 3, **how)
    assert planned.num_rows == layer.compressed_num_embeddings
    assert planned.table_bytes == layer.nbytes
    state = BY_NAME[optimizer](layer, lr=0.1).state(layer) if optimizer else {}
    assert planned.state_bytes == sum(array.nbytes for name, array in state.items() if name != "step")
    full = nb.ScaledEmbedding(5000, 12, dtype=dtype)
    state = BY_NAME[optimizer](full, lr=0.1).state(full) if optimizer else {}
    assert planned.full_bytes == full.nbytes + sum(array.nbytes for name, array in state.items() if name != "step")
    assert planned.total_bytes == planned.table_bytes + planned.state_bytes


@given(st.integers(2, 10**7), st.integers(1, 64), st.integers(10**3, 10**9), st.sampled_from([None, "adam", "rowwise_adagrad"]))
def test_the_highest_table_that_fits_a_memory(num_ids, dim, memory, optimizer):
    try:
        planned = plan(num_ids, dim, memory, optimizer=optimizer)
    except ValueError as error:
        least = int(re.search(r"at least (\d+) bytes", str(error))[1])
        assert memory < least
        assert plan(num_ids, dim, least, optimizer=optimizer, num_hashes=2).num_rows == 2
        return
    row = (planned.table_bytes + planned.state_bytes) // planned.num_rows
    assert planned.total_bytes <= memory
    assert planned.num_rows == num_ids or planned.total_bytes + row > memory
    assert planned.compression_ratio == planned.num_rows / num_ids
    assert planned.num_hash_functions == planned.suggested_hashes
    assert planned.suggested_ratio == (1.0 if planned.full_bytes <= memory else planned.compression_ratio)


def test_what_is_suggested():
    assert plan(10**6, 64).suggested_hashes == 2
    assert plan(10**6, 64).suggested_ratio == 0.2
    assert plan(10**6, 64, ratio=0.002).suggested_hashes == 3
    assert plan(10**6, 64, ratio=1e-5).suggested_hashes == 4  # nothing is enough
    assert plan(10**6, 64, ratio=0.002, combine="concat").suggested_hashes == 4  # 3 does not divide 64
    assert plan(10**6, 7, combine="concat").suggested_hashes == 1
    assert plan(100, 8, memory="1 MB").suggested_ratio == 1.0
    assert plan(10**6, 64, num_hashes=7).num_hash_functions == 7


def test_state_of_slices_decides_how_many_hashes_fit():
    how = {"combine": "concat", "optimizer": "rowwise_adagrad", "num_hashes": None}
    assert plan(1000, 4, memory=2 * (16 + 8), **how).suggested_hashes == 2  # k = 4 needs two rows of 32 bytes
    assert plan(1000, 4, memory=2 * (16 + 16), **how).suggested_hashes == 4


@pytest.mark.parametrize("choice", [True, False])
def test_precomputed_hashes_are_deprecated(choice):
    with pytest.warns(DeprecationWarning, match="`precompute_hashes` has no effect any more") as caught:
        planned = plan(10**6, 8, precompute_hashes=choice)
    assert caught[0].filename == __file__
    assert planned == plan(10**6, 8)
    with pytest.warns(DeprecationWarning, match="`probe_bytes` is 0"):
        assert planned.probe_bytes == 0


def test_bytes_in_words():
    words = {"5": 5, "2 kB": 2000, "1.5MB": 1_500_000, ".5 gb": 500_000_000, "2GiB": 2**31, "1 TiB": 2**40, " 7 B ": 7}
    assert {word: read_bytes(word) for word in words} == words
    assert read_bytes(2.5e6) == 2_500_000
    assert len(UNITS) == 10


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((0, 4), {}, ValueError, "`num_ids` must be at least 1, not 0."),
        ((2**63 + 1, 4), {}, ValueError, "`num_ids` must lie in [1, 2**63], not 9223372036854775809."),
        ((5, 0), {}, ValueError, "`dim` must be at least 1, not 0."),
        ((5, 4.0), {}, TypeError, "`dim` must be an integer, not 4.0."),
        (
            (100, 4, 1000, 0.5),
            {},
            ValueError,
            "`ratio` must be None with a `memory`: one of them decides the height of the table.",
        ),
        ((100, 4, "5 apples"), {}, ValueError, "`memory` must be bytes, or words such as '500 MB' or '2GiB', not '5 apples'."),
        ((100, 4, -5), {}, ValueError, "`memory` must be greater than 0, not -5."),
        ((100, 4, math.inf), {}, ValueError, "`memory` must be a finite number of bytes, at least 1, not inf."),
        ((100, 4, [5]), {}, TypeError, "`memory` must be a real number, not [5]."),
        ((100, 4, 90), {}, ValueError, "`memory` must be at least 96 bytes for 2 rows, not 90."),
        ((100, 4, None, 0), {}, ValueError, "`ratio` must be greater than 0, not 0."),
        ((100, 4, None, math.inf), {}, ValueError, "`ratio` must be finite, not inf."),
        (
            (100, 4, None, 0.001),
            {"padding_idx": None},
            ValueError,
            "`ratio` 0.001 of 100 ids leaves 0 rows; it takes at least 1: a ratio of 0.01 or more.",
        ),
        ((100, 4), {"num_hashes": 25}, ValueError, "`num_hashes` must lie in [1, 24], not 25."),
        (
            (100, 4),
            {"num_hashes": 3, "combine": "concat"},
            ValueError,
            "`num_hashes` must divide the dimension, 4, for 'concat', not 3.",
        ),
        ((100, 4), {"combine": "max"}, ValueError, "`combine` must be one of 'sum', 'mean', 'concat', not 'max'."),
        ((100, 4), {"dtype": "float16"}, ValueError, "`dtype` must be float32 or float64, not float16."),
        (
            (100, 4),
            {"optimizer": "lion"},
            ValueError,
            "`optimizer` must be one of 'sgd', 'adagrad', 'rowwise_adagrad', 'adam', not 'lion'.",
        ),
        ((100, 4), {"padding_idx": 100}, ValueError, "`padding_idx` must lie in [-100, 100), not 100."),
        ((100, 4), {"share_padding_row": 1}, TypeError, "`share_padding_row` must be True or False, not 1."),
    ],
)
def test_what_is_refused(arguments, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        plan(*arguments, **options)
