"""
Refusals of the command line: one line on stderr that names the place, exit status 2, and no
traceback.
"""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from npbloom.cli import _commands, _compare, main
from tests.cli._ratings import GOOD, METHODS


@pytest.fixture
def ratings(tmp_path):
    """Return a file that can be fitted."""
    path = tmp_path / "good.csv"
    path.write_text(GOOD, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("user,item,rating\n", ["a header and no line after it"]),
        ("user,rating\n1,5\n", ["line 1", "no column", "item"]),
        ("item,rating\n1,5\n", ["line 1", "no column", "user"]),
        ("user,item,rating\n1,2,3\n1,3,good\n", ["line 3", "column 3 (rating)", "'good' is not a number"]),
        ("user,item,rating,time\n1,2,3,4\n1,3,5,noon\n", ["line 3", "column 4 (time)", "'noon' is not a number or a date"]),
        ("user,item,rating\n1,2,3\n1,3\n", ["line 3", "2 fields where the first line has 3"]),
        ("user,item,rating\n1,2,3\n1,,3\n", ["line 3", "column 2 (item)", "there is no item"]),
        ("7,1\n7,2\n7,3\n", ["every line is of one user, 7"]),
        ("user,item\na,1\na,2\n", ["every line is of one user, 'a'"]),
        ("1,5\n2,5\n3,5\n", ["every line is of one item, 5"]),
        ("1,5\n2,6\n3,7\n", ["every user has one line"]),
    ],
)
def test_bad_files_are_named_with_line_and_column(refused, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    line = refused("fit", str(path))
    assert str(path) in line
    assert all(word in line for word in words), line


def test_text_that_is_no_text(refused, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"user,item\n1,2\n1,\xff\n")
    assert f"{path}, line 3: the text is not UTF-8" in refused("fit", str(path))


def test_a_file_that_is_missing_or_a_folder(refused, tmp_path):
    missing = tmp_path / "missing.csv"
    assert refused("fit", str(missing)) == f"npbloom: error: {missing}: no such file or directory\n"
    assert refused("fit", str(tmp_path)) == f"npbloom: error: {tmp_path}: is a directory\n"
    assert refused("recommend", str(missing), "1") == f"npbloom: error: {missing}: no such file or directory\n"


@pytest.mark.parametrize(
    ("ratio", "tables", "words"),
    [
        ("0.1", "items", "--compression 0.1 leaves 0 rows for 8 items, one of them for padding; 0.223 would do"),
        ("0.25", "users", "--compression 0.25 leaves 1 rows for 6 users, one of them for padding; 0.286 would do"),
        ("0.25", "both", "--compression 0.25 leaves 1 rows for 6 users"),
    ],
)
def test_a_ratio_that_leaves_no_row(refused, ratings, ratio, tables, words):
    assert words in refused("fit", ratings, "--compression", ratio, "--tables", tables)


@pytest.mark.parametrize(("tables", "size"), [("items", 8), ("users", 6)])
def test_the_ratio_that_would_do_does(ratings, tables, size, capsys):
    ratio = {"items": "0.223", "users": "0.286"}[tables]
    options = ["--methods", "full,bloom", "--epochs", "1", "--l2", "0", "--dim", "4", "--json"]
    assert main(["fit", ratings, "--compression", ratio, "--tables", tables, *options]) == 0
    full, bloom = json.loads(capsys.readouterr().out)["rows"][:2]
    assert full["parameters"] - bloom["parameters"] == (size + 1 - 2) * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--compression", "0"], "argument --compression: must be a number above 0, not '0'"),
        (["--compression", "-1"], "argument --compression: must be a number of at least 0, not '-1'"),
        (["--compression", "nan"], "argument --compression: must be a number of at least 0, not 'nan'"),
        (["--compression", "inf"], "argument --compression: must be a number of at least 0, not 'inf'"),
        (["--compression", "1.5"], "argument --compression: must be at most 1, a row for each id, not '1.5'"),
        (["--compression", "1e308"], "argument --compression: must be at most 1, a row for each id, not '1e308'"),
        (["--compression", "1e9"], "argument --compression: must be at most 1, a row for each id, not '1e9'"),
        (["--compression", "1e10"], "argument --compression: must be at most 1, a row for each id, not '1e10'"),
        (["--compression", "half"], "argument --compression: must be a number of at least 0, not 'half'"),
        (["--hashes", "0"], "argument --hashes: must be a whole number of at least 1, not '0'"),
        (["--hashes", "25"], "argument --hashes: must be at most 24, not '25'"),
        (["--hashes", "99999999999"], "argument --hashes: must be at most 24, not '99999999999'"),
        (["--hashes", "2.5"], "argument --hashes: must be a whole number of at least 1, not '2.5'"),
        (["--dim", "0"], "argument --dim: must be a whole number of at least 1"),
        (["--epochs", "0"], "argument --epochs: must be a whole number of at least 1"),
        (["--batch-size", "0"], "argument --batch-size: must be a whole number of at least 1"),
        (["--learning-rate", "0"], "argument --learning-rate: must be a number above 0"),
        (["--l2", "-0.1"], "argument --l2: must be a number of at least 0, not '-0.1'"),
        (["--seed", "-1"], "argument --seed: must be a whole number of at least 0, not '-1'"),
        (["--loss", "warp"], "argument --loss: invalid choice: 'warp'"),
        (["--optimizer", "lion"], "argument --optimizer: invalid choice: 'lion'"),
        (["--tables", "none"], "argument --tables: invalid choice: 'none'"),
        (["--methods", "full,lowrank"], "argument --methods: must be some of full,narrow,learned,bloom,concat,frequent, with"),
        (["--methods", "full,lowrank"], "not 'lowrank'"),
        (["--methods", ""], "not ''"),
        (["--methods", "full,,bloom"], "not ''"),
        (["--keep", "best"], "argument --keep: invalid choice: 'best' (choose from"),
        (["--keep", "concat", "--out", "m"], "--keep concat: is not among --methods full,narrow,learned,bloom"),
        (["--keep", "full"], "--keep full: needs --out MODEL"),
        (["--dim", "9"], "--dim 9: 4 hashes do not divide it, as the method 'learned' needs; --dim 12 would do"),
        (["--dim", "512"], "--dim 512: the method 'learned' takes at most 256; or leave it out of --methods"),
        (["--dim", "1_0"], "argument --dim: must be a whole number of at least 1, not '1_0'"),
        (["--dim", "9" * 400], "argument --dim: must be at most 65536, not '9999999999999999999999999999999999999...'"),
        (["--dim", "9" * 5000], "argument --dim: must be a whole number of at least 1, not '99999"),
        (["--epochs", "9" * 400], "argument --epochs: must be at most 2147483647"),
        (["--seed", "9" * 400], "argument --seed: must be at most 9223372036854775807"),
        (["--l2", "1e308"], "argument --l2: must be at most 1e+09, not '1e308'"),
        (["--learning-rate", "1_0"], "argument --learning-rate: must be a number of at least 0, not '1_0'"),
        (["--split", "first"], "argument --split: invalid choice: 'first'"),
        (["--dim", "32", "--hashes", "5"], "--dim 32: 5 hashes do not divide it, as the method 'learned' needs"),
        (["--dim", "6", "--methods", "bloom,concat"], "--dim 6: 4 hashes do not divide it, as the method 'concat' needs"),
        (["--dim", "6", "--methods", "frequent"], "--dim 6: 4 hashes do not divide it, as the method 'frequent' needs"),
        (["--plot", "plot.gif"], "--plot plot.gif: the name must end in .png, .pdf or .svg"),
        (["--faster"], "unrecognized arguments: --faster"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_values_that_will_not_do(refused, ratings, options, words):
    assert words in refused("fit", ratings, *options)


def test_sums_need_no_slices(ratings):
    options = ["--dim", "9", "--methods", "full,narrow,bloom", "--compression", "0.5", "--epochs", "1", "--l2", "0", "--json"]
    assert main(["fit", ratings, *options]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "1,1\n2,2\n",
        "1,1\n1,2\n2,1\n",
        "1,1\n1,2\n2,1\n2,2\n",
        "1,1\n1,1\n2,2\n2,2\n",
        "1,1\n1,2\n1,3\n2,4\n2,5\n2,6\n",
        "1,1\n1,2\n2,2\n3,2\n4,2\n",
        "".join(f"{user},{item}\n" for user in range(1, 6) for item in range(1, 6)),
        "".join(f"{user},{user}\n{user},{user + 1}\n" for user in range(1, 30)),
    ],
    ids=[
        "one line each",
        "one item left",
        "two by two",
        "pairs twice",
        "two strangers",
        "one item for all",
        "all met all",
        "chain",
    ],
)
@pytest.mark.parametrize("options", [[], ["--tables", "both"], ["--tables", "users", "--compression", "1"]], ids=" ".join)
def test_degenerate_files_end_in_numbers_or_one_sentence(tmp_path, text, options, capsys):
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    status = main(["fit", str(path), "--methods", ",".join(METHODS), "--compression", "0.7", *options, "--dim", "8", "--json"])
    printed = capsys.readouterr()
    if status == 0:
        for row in json.loads(printed.out)["rows"]:
            assert all(0 <= row[name] <= 1 for name in ("mrr", "hit_rate", "ndcg10"))
    else:
        assert status == 2
        assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "words", [["fit"], ["recommend"], ["recommend", "model"], ["teach"], ["--faster"], ["recommend", "m", "1", "-n", "0"]]
)
def test_commands_that_do_not_make_sense(refused, words):
    assert "error: " in refused(*words)


@pytest.mark.parametrize("loss", ["regression", "poisson", "logistic"])
def test_a_loss_of_ratings_wants_ratings(refused, tmp_path, loss):
    path = tmp_path / "pairs.txt"
    path.write_text("1 2\n1 3\n2 2\n2 3\n", encoding="utf-8")
    assert f"{path}: there is no column of ratings, which --loss {loss} predicts" in refused("fit", str(path), "--loss", loss)


def test_poisson_wants_no_negative_rating(refused, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("1,2,3\n1,3,-2\n2,2,1\n2,3,4\n", encoding="utf-8")
    assert "a rating below 0, -2" in refused("fit", str(path), "--loss", "poisson")


def test_a_release_of_movielens_that_cannot_be_had(refused, monkeypatch):
    monkeypatch.delenv("NPBLOOM_DATA_DIR", raising=False)
    assert "movielens:10m: `release` must be one of '100k', '1m'" in refused("fit", "movielens:10m")
    assert "NPBLOOM_DATA_DIR" in refused("fit", "movielens:latest-small")
    monkeypatch.setitem(sys.modules, "pooch", None)  # as if it were not installed
    assert 'python -m pip install "npbloom[data]"' in refused("fit", "movielens:1m")


@pytest.mark.parametrize(("values", "words"), [("1 2 3", "there are 3, from 1 to 3"), ("4 4 4", "there are 1, from 4 to 4")])
def test_the_logistic_loss_wants_two_values(refused, tmp_path, values, words):
    path = tmp_path / "ratings.csv"
    path.write_text("".join(f"{1 + n},{item},{value}\n" for n, value in enumerate(values.split()) for item in (1, 2)), "utf-8")
    line = refused("fit", str(path), "--loss", "logistic")
    assert "--loss logistic predicts which of two values a rating has" in line
    assert words in line


@pytest.mark.parametrize("command", [["fit"], ["demo"]])
def test_a_plot_without_matplotlib_names_the_extra(refused, ratings, monkeypatch, command):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name, *rest))
    words = [*command, ratings] if command == ["fit"] else command
    assert 'python -m pip install "npbloom[plots]"' in refused(*words, "--plot", "plot.png")


def test_few_interactions_leave_one_user(tmp_path, capsys):
    path = tmp_path / "ratings.csv"
    path.write_text("1,1,5\n2,2,4\n", encoding="utf-8")
    assert main(["fit", str(path), "--loss", "regression", "--compression", "1"]) == 2
    assert "2 interactions are too few" in capsys.readouterr().err


def test_scores_that_are_not_numbers_are_no_success(ratings, monkeypatch, capsys):
    trained = _compare._trained

    def diverged(*arguments):
        model = trained(*arguments)
        model.layers["user_embeddings"].weight[...] = float("inf")
        return model

    monkeypatch.setattr(_compare, "_trained", diverged)
    assert main(["fit", ratings, "--compression", "1", "--epochs", "1", "--l2", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("npbloom: error: full: ")
    assert "a lower learning rate may help" in printed.err


def test_an_unknown_user_and_a_damaged_model(refused, ratings, tmp_path, capsys, monkeypatch):
    model = tmp_path / "model"
    monkeypatch.undo()
    assert main(["fit", ratings, "--compression", "0.5", "--epochs", "1", "--l2", "0", "--out", str(model)]) == 0
    capsys.readouterr()
    line = refused("recommend", str(model), "99")
    assert line.startswith(f"npbloom: error: {model}: ")
    assert "'99' is unknown" in line
    whole = model.read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("short", whole[:4]), ("empty", b""), ("other", GOOD.encode())):
        damaged = tmp_path / name
        damaged.write_bytes(content)
        assert str(damaged) in refused("recommend", str(damaged), "1")


@pytest.mark.parametrize(("error", "status", "words"), [(KeyboardInterrupt(), 130, ""), (MemoryError(), 1, "not enough memory")])
def test_what_may_happen_in_between(ratings, monkeypatch, capsys, error, status, words):
    def stop(*_):
        raise error

    monkeypatch.setattr(_commands, "compare", stop)
    assert main(["fit", ratings, "--compression", "1"]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert bool(printed.err) == bool(words)
