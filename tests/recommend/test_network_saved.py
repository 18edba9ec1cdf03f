"""Networks in files: coder, weights and state return, and damage gives one message."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from npbloom import ZeroEmbedding, checkpoint
from npbloom.coding import BloomCoder
from npbloom.recommend import ImplicitFactorizationModel, ImplicitNetworkModel, load_model
from npbloom.recommend._saved import KEY
from tests.recommend._models import same_tables, two_tastes
from tests.recommend._networks import CODERS, coders, make
from tests.recommend.test_models import labelled


@coders
def test_training_goes_on_as_if_nothing_had_happened(coder, tmp_path) -> None:
    met = two_tastes()
    model = make(coder, l2=1e-3).fit(met)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded, ImplicitNetworkModel)
    assert same_tables(loaded, model)
    np.testing.assert_array_equal(loaded.predict(4), model.predict(4))
    assert loaded.history == model.history
    assert same_tables(loaded.fit(met), model.fit(met))
    if coder is None:
        assert loaded.coder is None
        return
    assert loaded.coder is not None
    assert (loaded.coder.num_items, loaded.coder.num_bits) == (coder.num_items, coder.num_bits)
    np.testing.assert_array_equal(loaded.coder.hash_rows(np.arange(22)), coder.hash_rows(np.arange(22)))
    assert (loaded.coder.table is None) == (coder.table is None)


def test_settings_and_labels_come_back(tmp_path) -> None:
    settings: dict[str, Any] = {"hidden": (3, 4), "held_out": 0.25, "n_iter": 1, "batch_size": 9, "l2": 0.125}
    settings |= {"learning_rate": 0.5, "optimizer": "adagrad", "popularity": 0.75, "dtype": "float64"}
    model = make(**settings).fit(labelled())
    model.save(tmp_path / "model", with_optimizer=False)
    loaded = ImplicitNetworkModel.load(tmp_path / "model")
    assert {name: getattr(loaded, name) for name in settings} == settings
    assert loaded.recommend("user 3", 5, exclude=loaded.fitted) == model.recommend("user 3", 5, exclude=model.fitted)


def test_other_kinds_are_refused(tmp_path) -> None:
    make().fit(two_tastes()).save(tmp_path / "model")
    with pytest.raises(ValueError, match="holds a model of the kind 'ImplicitNetworkModel', not ImplicitFactorizationModel"):
        ImplicitFactorizationModel.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("description", "layers"),
    [
        ({"settings": {"hidden": [6]}}, {}),
        ({"settings": {"hidden": "six"}}, {}),
        ({"num_items": 400}, {}),
        ({}, {"extra": ZeroEmbedding(1, 1)}),
        ({}, {"hidden_1": ZeroEmbedding(6, 6)}),
        ({}, {"output_biases": None}),
    ],
)
@pytest.mark.parametrize("coder", [CODERS["items"], CODERS["coder"]], ids=["items", "coder"])
def test_damage_is_one_sentence(coder: BloomCoder | None, description: Any, layers: Any, tmp_path) -> None:
    path = tmp_path / "model"
    make(coder).fit(two_tastes()).save(path, with_optimizer=False)
    found = checkpoint.load(path)
    text = json.dumps({**json.loads(found.metadata[KEY]), **description})
    kept = {name: layer for name, layer in {**found.layers, **layers}.items() if layer is not None}
    checkpoint.save(path, kept, None, {KEY: text})
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        load_model(path)
