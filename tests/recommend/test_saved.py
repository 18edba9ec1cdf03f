"""Models in files: the same bits, the same labels, and training that continues."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npbloom import BloomEmbedding, checkpoint
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel, Interactions, load_model
from npbloom.recommend._saved import KEY, pack_numbers, unpack_numbers
from tests.recommend._models import EXPLICIT, IMPLICIT, OPTIMIZERS, make, same_tables, tables, two_tastes
from tests.recommend.test_models import labelled


@pytest.mark.parametrize("loss", [*IMPLICIT, *EXPLICIT])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_happened(loss: str, optimizer: str, tmp_path: Path) -> None:
    met = two_tastes()
    model = make(loss, optimizer=optimizer, l2=1e-3).fit(met)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert same_tables(loaded, model)
    for user in range(12):
        np.testing.assert_array_equal(loaded.predict(user), model.predict(user))
    assert loaded.history == model.history
    assert same_tables(loaded.fit(met), model.fit(met))
    assert [entry["loss"] for entry in loaded.history] == [entry["loss"] for entry in model.history]


@pytest.mark.parametrize("generator", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_every_generator_of_numpy_goes_on(generator: str, tmp_path: Path) -> None:
    met = two_tastes(100)
    model = make("bpr", rng=np.random.Generator(getattr(np.random, generator)(3))).fit(met)
    model.save(tmp_path / "model")
    assert same_tables(load_model(tmp_path / "model").fit(met), model.fit(met))


def test_the_file_alone_is_enough(tmp_path: Path) -> None:
    met = labelled()
    model = make("bpr").fit(met)
    model.save(tmp_path / "model")
    loaded = ImplicitFactorizationModel.load(str(tmp_path / "model"))
    assert loaded.recommend("user 7", n=21) == model.recommend("user 7", n=21)
    assert loaded.recommend("user 7", n=21, exclude=loaded.fitted) == model.recommend("user 7", n=21, exclude=met)
    assert (loaded.num_users, loaded.num_items, loaded.padding_idx) == (12, 22, 0)
    assert loaded.fitted.item_labels is not None
    assert loaded.fitted.item_labels.dtype == np.int64


def test_settings_come_back(tmp_path: Path) -> None:
    settings = {
        "loss": "adaptive_hinge",
        "embedding_dim": 3,
        "n_iter": 1,
        "batch_size": 9,
        "l2": 0.125,
        "learning_rate": 0.3,
        "optimizer": "adagrad",
        "num_negative_samples": 4,
    }
    make(**settings).fit(two_tastes(50)).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert {name: getattr(loaded, name) for name in settings} == settings


def test_bloom_tables_come_back(tmp_path: Path) -> None:
    layer = BloomEmbedding(22, 4, compression_ratio=0.5, num_hash_functions=3, padding_idx=None, rng=1)
    model = make("bpr", item_embeddings=layer).fit(two_tastes())
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.layers["item_embeddings"].compressed_num_embeddings == 11
    np.testing.assert_array_equal(loaded.predict(2), model.predict(2))


def test_without_the_optimizer_the_file_is_smaller(tmp_path: Path) -> None:
    model = make("regression", embedding_dim=64).fit(two_tastes())
    model.save(tmp_path / "whole")
    model.save(tmp_path / "small", with_optimizer=False)
    assert (tmp_path / "small").stat().st_size < 0.5 * (tmp_path / "whole").stat().st_size
    loaded = load_model(tmp_path / "small")
    np.testing.assert_array_equal(loaded.predict(2), model.predict(2))
    before = tables(loaded)
    loaded.fit(two_tastes())  # with fresh state
    assert not np.array_equal(loaded.layers["user_embeddings"].weight, before["user_embeddings"])
    assert len(loaded.history) == 4


def test_nothing_is_pickled(tmp_path: Path) -> None:
    make("bpr").fit(labelled()).save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"][KEY])
    assert description["user_labels"][:3] == ["", "user 1", "user 2"]
    assert set(header) >= {"user_embeddings.weight", "item_biases.weight"}


def test_odd_labels_come_back(tmp_path: Path) -> None:
    names = ['"', "\\", "日本", "a\nb", "\ud800"]
    met = Interactions([0, 1, 2, 3, 4], [0, 1, 0, 1, 0], user_labels=names)
    make("bpr").fit(met).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model").fitted
    assert loaded.user_labels is not None
    assert loaded.user_labels.tolist() == names


def test_pairs_of_everybody_with_everything_come_back(tmp_path: Path) -> None:
    """
    All pairs compress 500 times, which otherwise only forged pairs do.

    The file is padded so that `load` accepts it.
    """
    everybody, everything = np.divmod(np.arange(1800 * 1800), 1800)
    model = make("bpr", embedding_dim=1, n_iter=1, batch_size=2**17).fit(Interactions(everybody, everything))
    model.save(tmp_path / "model", with_optimizer=False)
    assert (tmp_path / "model").stat().st_size < 2**19
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.fitted.item_ids, everything)
    np.testing.assert_array_equal(loaded.fitted.user_ids, everybody)


@pytest.mark.parametrize("count", [0, 1, 2**21, 2**21 + 1, 2**22 + 7])
@pytest.mark.parametrize("tables", [0, 1000, 2**30])
def test_numbers_that_are_packed_are_unpacked(count: int, tables: int) -> None:
    """Numbers whose text is just long enough are unpacked, too."""
    for numbers in (np.arange(count), np.arange(count) * 7 + 3):
        text = pack_numbers(numbers, tables)
        assert len(text) <= max(100_000, count * 8 // 32)
        np.testing.assert_array_equal(unpack_numbers(text, tables), numbers)
        if count > 2**22 and not tables:
            with pytest.raises(ValueError, match="are cut off, or take more than 18,86"):
                unpack_numbers(text.rstrip())


@pytest.mark.parametrize("text", ["", "AAAA", pack_numbers(np.arange(5))[:-4], pack_numbers(np.arange(5)).rstrip("=")])
def test_numbers_that_are_cut_off_are_refused(text: str) -> None:
    with pytest.raises((ValueError, zlib.error)):
        unpack_numbers(text)


def test_files_with_more_layers_than_the_model_has_are_refused(tmp_path: Path) -> None:
    """Each extra layer would get the state of an optimizer."""
    path = tmp_path / "model"
    make("bpr").fit(two_tastes()).save(path, with_optimizer=False)
    found = checkpoint.load(path)
    more = {f"more {number}": BloomEmbedding(9, 4, num_rows=5, rng=0) for number in range(3)}
    checkpoint.save(path, found.layers | more, None, found.metadata)
    with pytest.raises(ValueError, match="does not fit \\(its layers are not those of such a model\\)"):
        load_model(path)


def test_the_other_kind_is_refused(tmp_path: Path) -> None:
    make("bpr").fit(two_tastes()).save(tmp_path / "model")
    with pytest.raises(
        ValueError, match="holds a model of the kind 'ImplicitFactorizationModel', not ExplicitFactorizationModel"
    ):
        ExplicitFactorizationModel.load(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_model(tmp_path / "nothing")
    checkpoint.save(tmp_path / "layers", {"items": BloomEmbedding(30, 4, rng=0)})
    with pytest.raises(ValueError, match="holds layers, but no recommender model"):
        load_model(tmp_path / "layers")


@pytest.mark.parametrize(
    "damage",
    [
        {"user_labels": ["too", "few"]},
        {"num_items": 3},
        {"num_items": None},
        {"seen": "no numbers"},
        {"seen": pack_numbers(np.array([12 * 22]))},
        {"settings": {"loss": "none"}},
        {"settings": {"surprise": 1}},
        {"generator": {"bit_generator": "Generator"}},
        {"generator": {"bit_generator": "PCG64"}},
        {"history": None},
        {"model": ["a", "list"]},
        {"model": None},
        {"format": 2},
        "text",
        None,
    ],
)
def test_damage_is_one_sentence(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    make("regression").fit(two_tastes()).save(path)
    found = checkpoint.load(path)
    description = json.loads(found.metadata[KEY])
    text = json.dumps({**description, **damage}) if isinstance(damage, dict) else "{" if damage is None else json.dumps(damage)
    checkpoint.save(path, found.layers, found.optimizer, {KEY: text})
    with pytest.raises(ValueError, match=str(path)):
        load_model(path)
