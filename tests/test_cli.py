"""The command line in this process: what it prints, saves and draws, and that every option counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from npbloom.cli import _arguments, _generated, main
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.recommend import load_model

USERS, ITEMS = 30, 40


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A small file of ratings with string ids: users like items of their own half."""
    rng = np.random.default_rng(0)
    lines = ["user,item,rating,time"]
    for user in range(USERS):
        for time, item in enumerate(rng.permutation(ITEMS // 2)[:12] * 2 + user % 2):
            lines.append(f"u{user},i{item},{rng.integers(1, 6)},{time}")
    path = tmp_path_factory.mktemp("ratings") / "ratings.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def fit(ratings, capsys):
    """Run `npbloom fit --json` and return the object it printed."""

    def run(*options: str) -> dict:
        assert main(["fit", ratings, "--json", "--epochs", "3", "--batch-size", "32", *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return json.loads(printed.out)

    return run


def test_fit_measures_full_tables_bloom_tables_and_a_baseline(fit):
    found = fit("--dim", "8", "--compression", "0.5")
    full, bloom, baseline = found["rows"]
    assert [row["layer"] for row in found["rows"]] == ["full", "Bloom 0.5, 4 hashes", "popularity"]
    assert full["parameters"] == (USERS + 1 + ITEMS + 1) * 9  # padding rows and biases are counted
    assert bloom["parameters"] == full["parameters"] - (ITEMS + 1) * 8 + int(0.5 * (ITEMS + 1)) * 8
    assert bloom["bytes"] == bloom["parameters"] * 4
    assert found["data"] | {"source": None} == {"source": None, "users": USERS, "items": ITEMS, "interactions": USERS * 12}
    assert all(0 < row["mrr"] <= 1 and 0 <= row["hit_rate"] <= 1 for row in found["rows"])
    assert len(full["loss"]) == 3
    assert full["seconds_per_epoch"] > 0
    assert baseline["parameters"] is None


def test_fit_learns_a_taste(fit):
    full, _, baseline = fit("--epochs", "40")["rows"]
    assert full["mrr"] > baseline["mrr"]


def test_fit_of_ratings_is_measured_by_their_error(fit):
    for loss in ("regression", "poisson", "logistic"):
        rows = fit("--loss", loss)["rows"]
        assert [row["layer"] for row in rows] == ["full", "Bloom 0.2, 4 hashes", "mean rating"]
        assert all("mrr" not in row and row["rmse"] >= 0 for row in rows)
    assert rows[-1]["rmse"] == 0  # every rating is above 0, and that is what the logistic loss is about


def test_the_same_seed_gives_the_same_numbers(fit):
    first, again = fit(), fit()
    for row in first["rows"] + again["rows"]:
        row.pop("seconds_per_epoch")
    assert first == again


@pytest.mark.parametrize(
    "options",
    [
        *([["--loss", loss] for loss in ("log_bpr", "pointwise", "hinge", "adaptive_hinge")]),
        *([["--optimizer", optimizer] for optimizer in ("adagrad", "rowwise_adagrad", "sgd")]),
        *([["--tables", tables] for tables in ("users", "both")]),
        *(
            ["--dim", "9"],
            ["--epochs", "4"],
            ["--seed", "1"],
            ["--learning-rate", "0.1"],
            ["--batch-size", "33"],
            ["--l2", "0.1"],
        ),
        *(["--compression", "0.4"], ["--hashes", "2"]),
    ],
    ids=" ".join,
)
def test_no_option_is_ignored(fit, options):
    assert fit(*options)["rows"][1]["loss"] != fit()["rows"][1]["loss"]


def test_movielens_goes_by_name(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    lines = [f"{user}\t{item}\t{1 + (user + item) % 5}\t{item}\n" for user in range(1, 5) for item in range(1, 7)]
    (folder / "u.data").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("NPBLOOM_DATA_DIR", str(tmp_path))
    assert main(["fit", "movielens:100k", "--compression", "0.5", "--epochs", "1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data == {"source": "movielens:100k", "users": 4, "items": 6, "interactions": 24}


@pytest.mark.parametrize(("tables", "kinds"), [("items", "SB"), ("users", "BS"), ("both", "BB")])
def test_the_saved_model_has_the_tables_that_were_asked_for(fit, tmp_path, tables, kinds):
    path = str(tmp_path / "model")
    assert fit("--tables", tables, "--hashes", "3", "--compression", "0.5", "--out", path)["out"] == path
    layers = load_model(path).layers
    expected = {"S": ScaledEmbedding, "B": BloomEmbedding}
    for name, kind in zip(("user_embeddings", "item_embeddings"), kinds, strict=True):
        assert type(layers[name]) is expected[kind]
        assert kind == "S" or layers[name].num_hash_functions == 3


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
    assert lines[0] == "User u4: 5 items, best first; the 11 the model was trained on are left out."
    assert [line.split()[:2] for line in lines[1:]] == [[str(rank), item] for rank, item in enumerate(items, 1)]


def test_recommend_ends_where_there_are_no_more_items(fit, tmp_path, capsys):
    path = str(tmp_path / "model")
    fit("--out", path)
    assert main(["recommend", path, "u4", "-n", "1000", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == ITEMS - 11


def test_the_table_fits_a_terminal_of_80_columns(ratings, tmp_path, capsys):
    model, plot = str(tmp_path / "model"), str(tmp_path / "plot.png")
    assert main(["fit", ratings, "--epochs", "1", "--out", model, "--plot", plot]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if str(tmp_path.parent) not in line]
    assert max(map(len, lines)) < 80
    assert lines.count("") == 4
    (header,) = [line for line in lines if line.startswith("layer")]
    assert header.split() == ["layer", "parameters", "size", "MB", "s/epoch", "MRR", "hit@100"]
    assert f"Next: npbloom recommend {model} USER" in out


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG\r\n"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_plot_is_drawn(fit, tmp_path, ending, start):
    path = tmp_path / f"plot.{ending}"
    fit("--plot", str(path))
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 5000


def test_without_arguments_there_is_a_first_run(monkeypatch, capsys):
    monkeypatch.setattr(_generated, "NUM_USERS", 60)
    monkeypatch.setattr(_generated, "NUM_ITEMS", 300)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "on generated interactions" in out
    assert [line.split("  ")[0] for line in out.split("---\n")[1].splitlines()[:5]] == [
        *("full", "Bloom 0.5, 4 hashes", "Bloom 0.2, 4 hashes", "Bloom 0.1, 4 hashes", "popularity"),
    ]
    assert "npbloom fit ratings.csv" in out
    assert max(map(len, out.splitlines())) < 80
    assert main(["demo", "--json", "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["seed"] == 3
    assert found["data"]["source"].startswith("generated")


def test_generated_interactions_are_what_they_are_said_to_be():
    data = _generated.generate(0)
    pairs = data.user_ids * data.num_items + data.item_ids
    assert len(np.unique(pairs)) == len(pairs)  # without replacement
    assert data.item_ids.min() >= 1  # 0 is padding
    counts = np.bincount(data.user_ids)[1:]
    assert len(counts) == _generated.NUM_USERS
    assert _generated.FEWEST <= counts.min() <= counts.max() <= _generated.MOST
    popular = np.sort(np.bincount(data.item_ids))[::-1]
    assert popular[:100].sum() > 5 * popular[1000:1100].sum()
    assert np.array_equal(data.item_ids, _generated.generate(0).item_ids)
    assert not np.array_equal(data.item_ids[:1000], _generated.generate(1).item_ids[:1000])


@pytest.mark.parametrize(
    "command",
    [
        *([], ["demo"], ["fit"], ["plan"], ["recommend"], ["verify"]),
        *(["vectors"], ["vectors", "export"], ["vectors", "check"], ["vectors", "judge"]),
    ],
)
def test_help_stands_everywhere_with_defaults(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(" ".join(["usage: npbloom", *command]))
    options = out[out.index("options:") : out.index("Exit status")].split("\n  -")[1:]
    for option in options:
        assert "(default:" in option or option.startswith(("h, --help", "-version")), option


def test_the_grammar_names_every_command():
    assert set(_arguments.parser()._subparsers._group_actions[0].choices) == {
        *("demo", "fit", "plan", "recommend", "verify", "vectors"),
    }
