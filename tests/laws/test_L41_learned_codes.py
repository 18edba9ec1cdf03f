"""L41: learned codes depend on the interactions alone, and on the seed.

The same seed gives the same bits. Padding and unknown ids are left aside.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom as nb
from npbloom.coding import learn_codes, learned_hash_tables
from npbloom.ops import hash_rows
from npbloom.reference import codes as reference
from npbloom.reference import spectral as reference_spectral
from npbloom.types import HashSpec
from tests.support._bits import assert_same_bits
from tests.support._threads import split_everything


def graph(seed: int, users: int = 40, items: int = 30, pairs: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return users of four tastes and items of theirs, with some noise.

    Id 0 never occurs.
    """
    rng = np.random.default_rng(seed)
    who = rng.integers(1, users, pairs)
    what = np.where(
        rng.random(pairs) < 0.8, 1 + (who % 4 + 4 * rng.integers(0, items, pairs)) % (items - 1), rng.integers(1, items, pairs)
    )
    return who, what


SIZES = {"num_users": 40, "num_items": 30, "user_rows": 9, "item_rows": 8, "rank": 8, "num_hashes": 2}
PADDED = {"user_padding": 0, "item_padding": 0}


@st.composite
def requests(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, dict]:
    """Draw any graph with at least two users and two items, and any sizes that it allows."""
    num_users, num_items = draw(st.integers(3, 25)), draw(st.integers(3, 25))
    pair = st.tuples(st.integers(1, num_users - 1), st.integers(1, num_items - 1))
    pairs = [(1, 1), (2, 2), *draw(st.lists(pair, max_size=60))]
    k = draw(st.sampled_from([1, 2, 3]))
    sizes = {
        "num_users": num_users,
        "num_items": num_items,
        "user_rows": draw(st.integers(2, num_users)),
        "item_rows": draw(st.integers(2, num_items)),
        "rank": k * draw(st.integers(1, 4)),
        "num_hashes": k,
        "user_padding": draw(st.sampled_from([None, 0, -num_users])),
        "item_padding": draw(st.sampled_from([None, 0])),
        "rng": draw(st.integers(0, 5)),
    }
    return *np.array(pairs).T, sizes


@given(requests())
def test_every_graph_gives_rows_in_range_and_padding_row_0_to_itself(request_):
    users, items, sizes = request_
    codes = learn_codes(users, items, **sizes)
    for kind, ids, table, vectors in (
        ("user", users, codes.user_table, codes.user_vectors),
        ("item", items, codes.item_table, codes.item_vectors),
    ):
        number, rows, k = sizes[f"num_{kind}s"], sizes[f"{kind}_rows"], sizes["num_hashes"]
        first = 0 if sizes[f"{kind}_padding"] is None else 1
        assert table.dtype == np.int64
        assert table.shape == (number, k)
        assert np.isfinite(vectors).all()
        unknown = np.setdiff1d(np.arange(first, number), ids)
        event(f"{kind}s without interactions: {len(unknown) > 0}; rows for all: {rows - first >= len(np.unique(ids))}")
        expected = first + hash_rows(unknown, HashSpec(number, rows - first, k))
        assert_same_bits(table[unknown], expected)
        assert not vectors[unknown].any()
        assert ((table[first:] >= first) & (table[first:] < rows)).all()
        assert first == 0 or not table[0].any()
    layers = codes.layers(rng=0)
    for layer, ids in zip(layers, (users, items), strict=True):
        assert np.isfinite(layer(ids)).all()


@given(requests(), st.randoms(use_true_random=False))
def test_order_and_duplicates_change_nothing(request_, random):
    users, items, sizes = request_
    pairs = list(zip(users.tolist(), items.tolist(), strict=True))
    again = pairs + random.choices(pairs, k=7)
    random.shuffle(again)
    event(f"duplicates before: {len(set(pairs)) < len(pairs)}")
    for one, other in zip(
        learned_hash_tables(users, items, **sizes), learned_hash_tables(*np.array(again).T, **sizes), strict=True
    ):
        assert_same_bits(one, other)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(monkeypatch, threads):
    """Split even a small graph, by a grain of one."""
    from npbloom.ops import clusters, spectral

    users, items = graph(0)
    monkeypatch.setattr(spectral, "BLOCK", 8)
    with nb.num_threads(1):
        expected = learned_hash_tables(users, items, **SIZES, rng=5)
    monkeypatch.setattr(clusters, "GRAIN", 1)
    with split_everything(threads) as seen:
        for one, other in zip(expected, learned_hash_tables(users, items, **SIZES, rng=5), strict=True):
            assert_same_bits(one, other)
    assert seen.most_tasks > 1


def test_a_side_alone_has_the_rows_that_it_has_beside_the_other():
    users, items = graph(1)
    both = learned_hash_tables(users, items, **SIZES, **PADDED, rng=2)
    alone = [learned_hash_tables(users, items, **(SIZES | {name: None}), **PADDED, rng=2) for name in ("item_rows", "user_rows")]
    assert_same_bits(alone[0][0], both[0])
    assert_same_bits(alone[1][1], both[1])
    assert alone[0][1] is None
    assert alone[1][0] is None


@pytest.mark.parametrize("padded", [{}, PADDED])
@pytest.mark.parametrize("seed", range(8))
def test_tables_are_the_reference_s(seed, padded):
    """Compare with the reference, which uses LAPACK on dense matrices.

    Codes agree, since no two centroids of random graphs are equally near.
    """
    users, items = graph(seed)
    found = learned_hash_tables(users, items, **SIZES, **padded, rng=seed)
    expected = reference.learned_hash_tables(users, items, **SIZES, **padded, rng=np.random.default_rng(seed))
    for one, other in zip(found, expected, strict=True):
        assert len(np.unique(one[:, 0])) > 6
        assert_same_bits(one, other)


def test_bits_are_the_same_everywhere():
    """Compare with bits written down on one processor; none may depend on the processor."""
    users, items = graph(3)
    found, _ = learned_hash_tables(users, items, **SIZES, **PADDED, rng=9)
    assert found.ravel().tolist() == GOLDEN


def test_pairs_with_padding_are_left_out():
    users, items = graph(4)
    expected = learned_hash_tables(users, items, **SIZES, **PADDED, rng=0)
    more = np.append(users, [0, 7, 0]), np.append(items, [3, 0, 0])
    for one, other in zip(expected, learned_hash_tables(*more, **SIZES, **PADDED, rng=0), strict=True):
        assert_same_bits(one, other)


def test_those_who_met_the_same_share_rows_and_strangers_do_not():
    users, items = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40) + np.repeat(np.arange(40) % 4 * 10, 10)
    tables = learned_hash_tables(users, items, num_users=40, num_items=40, user_rows=4, item_rows=4, rank=8, num_hashes=1, rng=0)
    for table, group in zip(tables, (np.arange(40) % 4, np.arange(40) // 10), strict=True):
        rows = [np.unique(table[group == g]) for g in range(4)]
        assert [len(own) for own in rows] == [1, 1, 1, 1]
        assert len(np.unique(rows)) == 4


# ---- graphs in which ids cannot be told apart ----------------------------------------------------


def test_where_everybody_met_everything_ids_have_the_hash_s_rows():
    users, items = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    tables = learned_hash_tables(users, items, num_users=6, num_items=5, user_rows=3, item_rows=2, rank=4, num_hashes=4, rng=0)
    for table, rows in zip(tables, (3, 2), strict=True):
        assert_same_bits(table, hash_rows(np.arange(len(table)), HashSpec(len(table), rows, 4)))


def test_what_is_zero_but_for_rounding_is_zero():
    """Decompose complete blocks of unequal sizes.

    The graph has as many singular values as blocks; the others are noise.
    """
    users, items = np.divmod(np.arange(23 * 17), 17)
    kept = (users % 5 == items % 5) | (users % 5 + items % 5 > 6)
    codes = learn_codes(users[kept], items[kept], num_users=23, num_items=17, user_rows=9, item_rows=9, rank=12, rng=0)
    rank = np.linalg.matrix_rank(reference_spectral.normalised(users[kept], items[kept], 23, 17))
    assert (codes.values > 0).sum() == rank < 12
    assert not codes.user_vectors[:, codes.values == 0].any()


def test_parts_without_a_path_between_them_and_a_rank_beyond_the_graph():
    users, items = np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 1, 2, 3, 4])
    codes = learn_codes(users, items, num_users=5, num_items=6, user_rows=3, item_rows=4, rank=24, num_hashes=3, rng=1)
    assert (codes.values > 0).sum() == 4  # one for each part, and for what tells users 0 and 1 apart
    assert np.isfinite(codes.user_vectors).all()
    assert np.isfinite(codes.item_vectors).all()
    assert all(np.isfinite(layer.weight).all() for layer in codes.layers(rng=0))


# ---- layers and later ids ------------------------------------------------------------------------


def test_layers_start_from_the_centroids():
    users, items = graph(5)
    codes = learn_codes(users, items, **SIZES, **PADDED, rng=0)
    for layer, table, vectors in zip(
        codes.layers(scale=0.25, rng=1),
        (codes.user_table, codes.item_table),
        (codes.user_vectors, codes.item_vectors),
        strict=True,
    ):
        assert isinstance(layer, nb.BloomEmbedding)
        assert layer.combine == "concat"
        assert_same_bits(layer.hash_rows(np.arange(len(table))), table)
        assert not layer.weight[0].any()
        width = layer.embedding_dim // 2
        begun = np.concatenate([layer.weight[np.unique(table[1:, j]), j * width : (j + 1) * width] for j in range(2)])
        assert np.sqrt(np.mean(begun.astype(np.float64) ** 2)) == pytest.approx(0.25, rel=1e-6)
        known = np.flatnonzero(vectors.any(axis=1))
        out, slices = layer(known), np.split(vectors[known], 2, axis=1)
        means = [
            np.stack([part[table[known, j] == row].mean(axis=0) for row in table[known, j]]) for j, part in enumerate(slices)
        ]
        factor = out[0, 0] / means[0][0, 0]
        assert factor > 0
        np.testing.assert_allclose(out, factor * np.concatenate(means, axis=1), rtol=0.02, atol=0.02 * factor)
    wide = codes.layers(scale=0.5, dtype=np.float64, rng=1)[0]
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide(known), 2 * codes.layers(scale=0.25, rng=1)[0](known), rtol=1e-5)
    full = learn_codes(users, items, **(SIZES | {"item_rows": None}), **PADDED, rng=0).layers(rng=0)[1]
    assert isinstance(full, nb.ScaledEmbedding)
    met = np.unique(items)
    np.testing.assert_allclose(
        full(met) / full.weight[met[0], 0], codes.item_vectors[met] / codes.item_vectors[met[0], 0], rtol=1e-5
    )
    assert np.sqrt(np.mean(full(met) ** 2)) == pytest.approx(0.1, rel=1e-5)
    assert not full.weight[0].any()
    with pytest.raises(ValueError, match="`scale`"):
        codes.layers(scale=0)


def nearest_rows(side, vector):
    """Return the row of the nearest centroid in each slice."""
    parts = np.split(vector, len(side.centroids))
    found = zip(side.centroids, side.centroid_rows, parts, strict=True)
    return [int(rows[((centroids - part) ** 2).sum(axis=1).argmin()]) for centroids, rows, part in found]


def stretch(met, mean):
    """Return the factor by which the place of a later id moves.

    The place is computed as if the id had met ten times the mean, if it met less.
    """
    counted = max(met, 10 * mean)
    return counted / met * np.sqrt((met + mean) / (counted + mean))


def test_a_later_id_gets_the_rows_of_those_whose_neighbours_it_has():
    users, items = graph(6)
    codes = learn_codes(users, items, **(SIZES | {"rank": 30, "user_rows": 39}), **PADDED, rng=0)
    twin = 11
    own = np.unique(items[users == twin])
    expected = codes.user_vectors[twin] * stretch(len(own), codes.user_counts[1:].mean())
    later = np.append(np.full(len(own), 41), [42, 40]), np.append(own, [31, 31])
    longer, wider = codes.extend(*later, num_users=43, num_items=32)
    assert_same_bits(longer[:40], codes.user_table)
    assert_same_bits(wider[:30], codes.item_table)
    assert longer[41].tolist() == nearest_rows(codes.users, expected)
    graph_of_later = np.zeros(len(own), dtype=np.int64), own, 1
    placed, _ = codes._place(*graph_of_later, codes.item_vectors, codes.user_counts, codes.item_counts)
    np.testing.assert_allclose(placed[0], expected, atol=1e-5)  # the whole graph is within the rank
    by_hash = 1 + hash_rows([40, 42], HashSpec(43, 38, 2))
    assert_same_bits(longer[[40, 42]], by_hash)  # what they met is new, too
    assert_same_bits(wider[30:], 1 + hash_rows([30, 31], HashSpec(32, 7, 2)))
    for one, other in zip(codes.extend([], [], num_users=40, num_items=30), (codes.user_table, codes.item_table), strict=True):
        assert_same_bits(one, other)
    longest = codes.extend(*later, num_users=43, num_items=32)[0]
    layer = nb.BloomEmbedding(43, 30, num_rows=39, hash_table=longest, combine="concat", weight=codes.layers(rng=0)[0].weight)
    old = codes.layers(rng=0)[0]
    np.testing.assert_array_equal(layer(np.arange(40)), old(np.arange(40)))


def test_a_later_id_that_met_much_is_placed_as_if_it_had_been_there():
    others = np.setdiff1d(np.arange(1, 40), 38)
    users, items = np.append(others, np.full(29, 38)), np.append(1 + others % 29, np.arange(1, 30))
    codes = learn_codes(users, items, **(SIZES | {"rank": 30, "user_rows": 39}), **PADDED, rng=0)
    assert codes.user_counts[38] > 10 * codes.user_counts[codes.user_counts > 0].mean()
    everything = np.full(29, 41), np.arange(1, 30)
    assert codes.extend(*everything, num_users=42, num_items=30)[0][41].tolist() == codes.user_table[38].tolist()


def test_a_later_item_goes_by_its_users():
    users, items = graph(7)
    codes = learn_codes(users, items, **(SIZES | {"rank": 30, "item_rows": 29, "user_rows": None}), **PADDED, rng=0)
    fans = np.unique(users[items == 13])
    longer, wider = codes.extend(fans, np.full(len(fans), 30), num_users=40, num_items=31)
    assert longer is None
    expected = codes.item_vectors[13] * stretch(len(fans), codes.item_counts[codes.item_counts > 0].mean())
    assert wider[30].tolist() == nearest_rows(codes.items, expected)


# fmt: off
GOLDEN = [
    0, 0, 2, 5, 5, 1, 8, 6, 2, 4, 3, 3, 6, 3, 2, 7, 8, 3, 1, 8, 1, 8, 2, 4,
    5, 4, 5, 2, 3, 8, 1, 4, 2, 6, 5, 7, 5, 2, 5, 4, 6, 1, 1, 7, 4, 8, 8, 3,
    2, 3, 3, 5, 7, 3, 2, 3, 6, 7, 3, 6, 1, 7, 2, 7, 4, 2, 4, 2, 3, 6, 6, 4,
    2, 8, 2, 5, 2, 1, 6, 4,
]
# fmt: on
