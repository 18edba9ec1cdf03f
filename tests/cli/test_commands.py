"""
The command line in this process: printed text, saved files, pictures, and the effect of every
option.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from npbloom.cli import _arguments, _generated, main
from npbloom.cli._methods import served_ahead
from npbloom.cli._settings import Tables, Variant
from npbloom.recommend import read_ratings
from tests.cli._ratings import ITEMS, METHODS, USERS


def test_fit_measures_every_method_and_a_baseline(fit):
    found = fit("--dim", "8", "--compression", "0.5", "--methods", ",".join(METHODS))
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == [*METHODS, "popularity"]
    assert [row["layer"] for row in found["rows"]] == [
        *("full", "narrow, 5 columns", "learned 0.5, 8 hashes", "Bloom 0.5, 4 hashes", "concat 0.5, 4 hashes"),
        *("frequent 0.5, 4 hashes", "popularity"),
    ]
    full, bloom, baseline = rows["full"], rows["bloom"], rows["popularity"]
    assert full["parameters"] == (USERS + 1 + ITEMS + 1) * 9  # padding rows and biases are counted
    assert bloom["parameters"] == full["parameters"] - (ITEMS + 1) * 8 + int(0.5 * (ITEMS + 1)) * 8
    assert found["data"] | {"source": None} == {"source": None, "users": USERS, "items": ITEMS, "interactions": USERS * 12}
    assert (found["trained_on"], found["held_out"], found["tested"]) == (USERS * 11, USERS, USERS)
    for row in found["rows"]:
        assert 0 < row["mrr"] <= 1
        assert 0 <= row["hit_rate"] <= 1
        assert 0 <= row["ndcg10"] <= 1
        assert row is baseline or row["bytes"] == row["parameters"] * 4
        assert row is baseline or (row["epochs"], row["l2"], len(row["loss"])) == (3, 0.0, 3)
    assert full["seconds_per_epoch"] > 0
    assert baseline["parameters"] is None


def test_narrow_has_as_many_columns_as_the_parameters_of_the_smaller_tables_allow(fit):
    narrow, bloom = fit("--methods", "narrow,bloom", "--dim", "16", "--compression", "0.3", "--tables", "both")["rows"][:2]
    vectors = USERS + 1 + ITEMS + 1
    assert narrow["dim"] == (9 + 12) * 16 // vectors  # of 31 users nine rows, of 41 items twelve
    assert narrow["parameters"] == vectors * (narrow["dim"] + 1)
    assert narrow["parameters"] <= bloom["parameters"] < narrow["parameters"] + vectors
    assert fit("--methods", "narrow", "--dim", "2", "--compression", "0.1", "--tables", "both")["rows"][0]["dim"] == 1


def test_codes_are_served_packed_and_hashed_rows_cost_nothing(fit):
    rows = fit("--compression", "0.5", "--tables", "both", "--dim", "8", "--methods", ",".join(METHODS))["rows"]
    served = {row["method"]: row["bytes_served"] - row["bytes"] for row in rows[:-1]}
    users, items = -(-31 * 4 * 4 // 8), -(-41 * 5 * 4 // 8)  # 15 and 20 rows: 4 and 5 bits an entry, 4 entries an id
    assert served == {
        **dict.fromkeys(("full", "narrow", "bloom", "concat"), 0),
        "frequent": users + items,
        "learned": 2 * users + -(-41 * 5 * 8 // 8),  # 8 entries an id
    }


@pytest.mark.parametrize("options", [[], ["--tables", "users"], ["--tables", "both", "--hashes", "2"], ["--compression", "1"]])
def test_what_is_served_is_known_before_there_is_a_model(fit, ratings, options):
    words = ["--compression", "0.3", "--dim", "8", "--methods", ",".join(METHODS), *options]
    given = _arguments.parser().parse_args(["fit", ratings, *words])
    compressed = ("users", "items") if given.tables == "both" else (given.tables,)
    data = read_ratings(ratings)
    for row in fit(*words, "--epochs", "1")["rows"][:-1]:
        variant = Variant(row["method"], Tables(given.compression, given.hashes, compressed))
        assert row["bytes_served"] == served_ahead(data, variant, 8), row["layer"]


def test_learned_reads_eight_rows_where_that_can_be_and_as_many_as_are_asked_for(fit):
    for options, hashes in (([], 8), (["--dim", "12"], 4), (["--hashes", "2"], 2)):
        (row, _) = fit("--methods", "learned", *options)["rows"]
        assert row["hashes"] == hashes


def test_fit_learns_a_taste(fit):
    for row in fit("--epochs", "40", "--compression", "0.5", "--methods", "full,learned")["rows"][:2]:
        assert row["mrr"] > 0.08  # popularity reaches 0.04


def test_fit_of_ratings_is_measured_by_their_error(fit):
    for loss in ("regression", "poisson"):
        rows = fit("--loss", loss, "--methods", "full,bloom,learned")["rows"]
        assert [row["method"] for row in rows] == ["full", "bloom", "learned", "mean rating"]
        assert all("mrr" not in row and 1 < row["rmse"] < 3 for row in rows)


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
    assert fit("--methods", "bloom", *options)["rows"][0]["loss"] != fit("--methods", "bloom")["rows"][0]["loss"]


def test_methods_come_in_their_order_and_once(fit):
    found = fit("--methods", "bloom, full,bloom")["rows"]
    assert [row["method"] for row in found] == ["bloom", "full", "popularity"]


def test_movielens_goes_by_name(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    lines = [f"{user}\t{item}\t{1 + (user + item) % 5}\t{item}\n" for user in range(1, 5) for item in range(1, 7)]
    (folder / "u.data").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("NPBLOOM_DATA_DIR", str(tmp_path))
    assert (
        main(["fit", "movielens:100k", "--compression", "0.5", "--epochs", "1", "--l2", "0", "--json", "--methods", "full"]) == 0
    )
    data = json.loads(capsys.readouterr().out)["data"]
    assert data == {"source": "movielens:100k", "users": 4, "items": 6, "interactions": 24}


def test_one_column_of_more_parameters_is_not_said_to_have_as_many(fit):
    found = fit("--compression", "0.1", "--dim", "4", "--tables", "both", "--methods", "narrow,bloom")
    narrow, bloom = found["rows"][:2]
    assert narrow["parameters"] > bloom["parameters"]
    if not found["verdict"]["beats_narrow"]:
        assert f"with {narrow['parameters']} parameters against {bloom['parameters']}" in found["verdict"]["words"]


def test_the_table_fits_a_terminal_of_100_columns(ratings, tmp_path, capsys):
    model, plot = str(tmp_path / "model"), str(tmp_path / "plot.png")
    options = ["--epochs", "1", "--l2", "1e-5", "--out", model, "--plot", plot, "--methods", ",".join(METHODS)]
    assert main(["fit", ratings, *options, "--tables", "both", "--dim", "64"]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if str(tmp_path.parent) not in line]
    assert max(map(len, lines)) < 100
    (header,) = [line for line in lines if line.startswith("method")]
    columns = ["method", "parameters", "MB", "served", "size", "epochs", "l2", "MRR", "NDCG@10", "hit@100"]
    assert header.split() == columns
    assert "trained anew on all 360 interactions, is saved in" in out
    assert f"Next: npbloom recommend {model} USER" in out
    assert "1 epoch, weight decay 1e-05, seed 0" in out
    assert "are chosen" not in out


def test_the_output_says_what_is_chosen(ratings, capsys):
    assert main(["fit", ratings, "--epochs", "1", "--methods", "full"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "For each method weight decay is chosen on a part of the training data." in out
    assert main(["fit", ratings, "--l2", "0", "--methods", "full", "--dim", "4"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "For each method epochs are chosen on a part of the training data." in out


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
        *("full", "narrow, 10 columns", "learned 0.2, 8 hashes", "Bloom 0.2, 4 hashes", "popularity"),
    ]
    assert "npbloom fit ratings.csv" in out
    assert max(map(len, out.splitlines())) < 100
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
        *("demo", "fit", "plan", "recommend", "reshard", "verify", "vectors"),
    }
