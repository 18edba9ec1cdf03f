"""L2: an id outside [0, num_embeddings) is an IndexError.

The error names the first such id and its position. Nothing wraps.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npbloom as nb
from tests.support._examples import examples
from tests.support._layers import ROWS, TAKERS

BAD = [-1, ROWS, -ROWS, ROWS + 1, 2**31, -(2**31), 2**32, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
@examples(20)  # for each of some thirty calls
@given(data=st.data())
def test_the_first_bad_id_is_named_with_its_position(taker, data):
    shape = data.draw(st.sampled_from([(5,), (2, 3), (1,), (4, 1), *([(2, 1, 2)] if taker.any_shape else [])]))
    size = int(np.prod(shape))
    ids = np.array(data.draw(st.lists(st.integers(0, ROWS - 1), min_size=size, max_size=size)), dtype=np.int64)
    places = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
    for place in places:
        ids[place] = data.draw(st.sampled_from(BAD))
    ids = ids.reshape(shape)
    where = tuple(int(i) for i in np.unravel_index(places[0], shape))
    words = f"`{taker.argument}` must lie in [0, {ROWS}), not {ids[where]} at position {where[0] if len(where) == 1 else where}."
    with pytest.raises(IndexError, match=f"^{re.escape(words)}$"):
        taker.call(ids, shape)
    with pytest.raises(IndexError, match=f"^{re.escape(words)}$"):
        taker.call(ids.tolist(), shape)


@pytest.mark.parametrize("taker", [taker for taker in TAKERS if taker.any_shape], ids=lambda taker: taker.name)
def test_a_single_bad_id_has_no_position(taker):
    for bad in (-1, ROWS):
        with pytest.raises(IndexError, match=rf"^`ids` must lie in \[0, {ROWS}\), not {bad}\.$"):
            taker.call(bad, ())


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
def test_both_ends_are_valid(taker):
    taker.call([0, ROWS - 1], (2,))


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.name)
def test_a_bad_id_far_into_a_big_batch_is_found(taker):
    ids = np.arange(50_000) % ROWS
    ids[[48_765, 49_999]] = [ROWS, -1]
    for threads in (1, 7):
        with nb.num_threads(threads), pytest.raises(IndexError, match="not 7 at position 48765"):
            taker.call(ids, ids.shape)


def test_the_range_of_a_wide_layer_ends_where_it_says():
    layer = nb.BloomEmbedding(2**40, 2, num_rows=10, padding_idx=None)
    assert layer.forward(2**40 - 1).shape == (2,)
    with pytest.raises(IndexError, match=f"not {2**40}"):
        layer.forward(2**40)
    widest = nb.BloomEmbedding(2**63, 2, num_rows=10)
    assert widest.forward(2**63 - 1).shape == (2,)
    with pytest.raises(IndexError, match=f"not {2**63}"):
        widest.forward([2**63])
