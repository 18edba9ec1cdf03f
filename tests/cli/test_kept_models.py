"""The model that `npbloom fit` keeps, and what `npbloom recommend` says by it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from npbloom.cli import main
from npbloom.coding import learn_codes
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.recommend import load_model, read_ratings
from tests.cli._ratings import ITEMS, METHODS, USERS


@pytest.mark.parametrize(("tables", "kinds"), [("items", "SB"), ("users", "BS"), ("both", "BB")])
def test_the_saved_model_has_the_tables_that_were_asked_for(fit, tmp_path, tables, kinds):
    path = str(tmp_path / "model")
    options = ["--tables", tables, "--hashes", "3", "--compression", "0.5", "--out", path]
    assert fit("--methods", "bloom", *options)["out"] == path
    layers = load_model(path).layers
    expected = {"S": ScaledEmbedding, "B": BloomEmbedding}
    for name, kind in zip(("user_embeddings", "item_embeddings"), kinds, strict=True):
        assert type(layers[name]) is expected[kind]
        assert kind == "S" or layers[name].num_hash_functions == 3


@pytest.mark.parametrize("method", METHODS)
def test_the_kept_model_is_fitted_on_all_data(fit, ratings, tmp_path, method):
    path = str(tmp_path / "model")
    options = ["--methods", f"{method},bloom", "--tables", "both", "--compression", "0.5", "--out", path, "--keep", method]
    found = fit(*options)
    kept, row = found["kept"], found["rows"][0]
    assert kept == {"method": method, "layer": row["layer"], "l2": 0.0, "epochs": 3, "interactions": USERS * 12}
    model, data = load_model(path), read_ratings(ratings)
    assert sorted(model.fitted.user_ids * 1000 + model.fitted.item_ids) == sorted(data.user_ids * 1000 + data.item_ids)
    assert len(model.history) == 3
    assert model.history[0]["loss"] != row["loss"][0]  # of all data, not of the training part
    assert sum(layer.num_parameters for layer in model.layers.values()) == row["parameters"]
    layers = [type(model.layers[name]) for name in ("user_embeddings", "item_embeddings")]
    assert layers == [ScaledEmbedding if method in ("full", "narrow") else BloomEmbedding] * 2
    if method == "learned":
        codes = learn_codes(
            data.user_ids, data.item_ids, num_users=31, num_items=41, user_rows=15, item_rows=20, rank=32, num_hashes=8,
            user_padding=0, item_padding=0, rng=0,
        )  # fmt: skip
        assert np.array_equal(model.layers["item_embeddings"].hashing.table, codes.item_table)


def test_the_best_of_the_smaller_models_is_kept(fit, tmp_path):
    found = fit("--out", str(tmp_path / "model"), "--compression", "0.5")
    small = [row for row in found["rows"] if row["method"] in ("narrow", "learned", "bloom")]
    best = max(small, key=lambda row: (row["hit_rate"], row["ndcg10"], row["mrr"], -row["bytes_served"]))
    assert found["kept"]["method"] == found["verdict"]["best"] == best["method"]


@pytest.mark.parametrize("method", ["full", "narrow", "bloom"])
def test_a_single_method_is_kept_though_it_is_not_smaller(fit, tmp_path, method):
    found = fit("--methods", method, "--compression", "1", "--out", str(tmp_path / "model"))
    assert (found["kept"]["method"], found["verdict"]["best"]) == (method, None)
    assert found["verdict"]["words"].startswith("No model here is smaller") is (method != "full")


def test_recommend_answers_in_the_words_of_the_file(fit, tmp_path, capsys):
    path = str(tmp_path / "model")
    fit("--out", path, "--epochs", "20")
    assert main(["recommend", path, "u4", "-n", "5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    items = [entry["item"] for entry in answer["items"]]
    scores = [entry["score"] for entry in answer["items"]]
    model = load_model(path)
    known = model.fitted
    assert answer["user"] == "u4"
    assert items == model.recommend("u4", 5, exclude=known)
    assert scores == sorted(scores, reverse=True)
    assert not {known.item_id(item) for item in items} & set(known.item_ids[known.user_ids == known.user_id("u4")].tolist())

    assert main(["recommend", path, "u4", "-n", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "User u4: 5 items, best first; the 12 the model was trained on are left out."
    assert [line.split()[:2] for line in lines[1:]] == [[str(rank), item] for rank, item in enumerate(items, 1)]


def test_recommend_ends_where_there_are_no_more_items(fit, tmp_path, capsys):
    path = str(tmp_path / "model")
    fit("--out", path)
    assert main(["recommend", path, "u4", "-n", "1000", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == ITEMS - 12
