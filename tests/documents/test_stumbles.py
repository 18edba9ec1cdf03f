"""Common first mistakes of newcomers: one sentence names the right call."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import npbloom as nb
from npbloom import recommend


def test_parts_that_import_leaves_out_are_there_when_asked_for() -> None:
    program = """
import sys, npbloom as nb
names = ("recommend", "conformance", "interop")
assert not any(f"npbloom.{name}" in sys.modules for name in names)
assert all(getattr(nb, name) is sys.modules[f"npbloom.{name}"] for name in names)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_misspelt_name_is_told_from_the_right_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import npbloom; npbloom.BloomEmbeding"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "module 'npbloom' has no attribute 'BloomEmbeding'. Did you mean: 'BloomEmbedding'?" in done.stderr


def test_the_oracle_says_what_to_install() -> None:
    program = "import sys; sys.modules['hypothesis'] = None; import npbloom.conformance"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.endswith('npbloom.conformance needs Hypothesis: python -m pip install "npbloom[conformance]"\n')


@pytest.mark.parametrize("rng", ["a", 1.5, True, np.random.RandomState(0)])
def test_what_a_generator_may_be(rng: object) -> None:
    with pytest.raises(TypeError, match=r"^`rng` must be a numpy.random.Generator, an integer seed or None, not "):
        nb.ScaledEmbedding(3, 2, rng=rng)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^`rng` must be .* or None, not SeedSequence\.$"):
        nb.ScaledEmbedding(3, 2, rng=np.random.SeedSequence(0))  # type: ignore[arg-type]
    for make in (lambda seed: nb.ScaledEmbedding(3, 2, rng=seed), lambda seed: nb.coding.BloomCoder(9, 4, rng=seed)):
        with pytest.raises(ValueError, match=r"^`rng` must be a Generator or a seed of at least 0, not one of 16610 bits\.$"):
            make(-(10**5000))
    assert nb.ScaledEmbedding(3, 2, rng=np.int64(5)).weight.tolist() == nb.ScaledEmbedding(3, 2, rng=5).weight.tolist()


def test_a_table_is_written_into() -> None:
    layer = nb.ZeroEmbedding(3, 2)
    before = layer.weight
    with pytest.raises(AttributeError, match=r"^`weight` can be written into, not rebound: `layer.weight\[...\] = array`.$"):
        layer.weight = np.ones((3, 2))  # type: ignore[assignment]
    assert layer.weight is before
    layer.weight[...] = 1


def test_update_names_the_arguments_that_a_layer_takes() -> None:
    plain, bag = nb.ZeroEmbedding(3, 2), nb.ScaledEmbeddingBag(3, 2, rng=0)
    optimizer, table = nb.SGD([plain, bag], lr=0.1), bag.weight.copy()
    with pytest.raises(
        TypeError, match=r"^`update` of a ZeroEmbedding takes nothing but ids and their gradient, not `offsets`.$"
    ):
        optimizer.update(plain, [1], np.ones((1, 2)), offsets=[0])
    with pytest.raises(
        TypeError, match=r"^`update` of a ScaledEmbeddingBag takes `offsets` and `per_sample_weights`, not `offset`.$"
    ):
        optimizer.update(bag, [1], np.ones((1, 2)), offset=[0])
    assert not plain.weight.any()
    assert (bag.weight == table).all()
    optimizer.update(bag, [1], np.ones((1, 2)), offsets=[0])


def test_fit_takes_interactions_and_a_long_argument_is_not_printed() -> None:
    ids = np.arange(1000)
    with pytest.raises(TypeError, match=r"^`interactions` must be Interactions, not ndarray.$"):
        recommend.ImplicitFactorizationModel().fit(ids, ids)  # type: ignore[arg-type]
    data = recommend.Interactions([1, 2, 1], [1, 2, 2])
    with pytest.raises(TypeError, match=r"^`verbose` must be True or False, not ndarray.$"):
        recommend.ImplicitFactorizationModel().fit(data, ids)  # type: ignore[arg-type]


def test_a_recommender_shows_what_it_is() -> None:
    model = recommend.ImplicitFactorizationModel(n_iter=1, embedding_dim=4, rng=0)
    assert repr(model).startswith("ImplicitFactorizationModel(loss='bpr', embedding_dim=4, n_iter=1, ")
    assert repr(model).endswith(")  # not fitted")
    model.fit(recommend.Interactions([1, 2, 1], [1, 2, 2]))
    assert repr(model).endswith(")  # 1 epochs, 3 users x 3 items")
