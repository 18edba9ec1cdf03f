"""Interactions that `npbloom fit` holds out or leaves out, and its messages about both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from npbloom.cli import _compare, main
from tests.cli._ratings import USERS


@pytest.fixture
def two_valued(tmp_path):
    """
    Return ratings of two values, neither of them 0 or 1.

    Users like the items of their own half.
    """
    lines = ["user,item,rating"]
    lines += [f"u{user},i{item},{4 if user % 2 == item % 2 else 2}" for user in range(30) for item in range(20)]
    path = tmp_path / "two.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_the_logistic_loss_learns_which_of_two_ratings_it_is(two_valued, capsys):
    options = ["--loss", "logistic", "--epochs", "30", "--l2", "0", "--methods", "full,bloom", "--batch-size", "32", "--dim", "8"]
    assert main(["fit", two_valued, "--compression", "0.5", *options, "--json"]) == 0
    full, _, baseline = json.loads(capsys.readouterr().out)["rows"]
    assert full["rmse"] < 0.2
    assert baseline["rmse"] == pytest.approx(0.5, abs=0.01)  # half of the ratings are the greater one
    assert main(["fit", two_valued, "--compression", "0.5", *options]) == 0
    assert "The greater rating counts as 1, the other as 0." in " ".join(capsys.readouterr().out.split())


def test_items_that_a_user_has_met_before_are_not_scored_and_it_is_said(tmp_path, capsys):
    path = tmp_path / "plays.csv"
    rng = np.random.default_rng(0)
    plays = [(user, item) for user in range(20) for item in rng.permutation(30)[:6].tolist()]
    again = [(user, next(item for one, item in plays if one == user)) for user in range(20) if user % 4 == 0]
    path.write_text("".join(f"{user},{item}\n" for user, item in plays + again), encoding="utf-8")
    options = ["--methods", "full", "--epochs", "2", "--l2", "0"]
    assert main(["fit", str(path), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["held_out"], found["tested"], found["repeats_left_out"]) == (15, 15, 5)
    assert min(row["mrr"] for row in found["rows"]) > 0
    assert main(["fit", str(path), *options]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "5 more are left out: their users had met the item before." in words


def test_where_all_is_repeated_it_is_said_instead_of_a_table_of_zeros(tmp_path, capsys):
    path = tmp_path / "plays.csv"
    path.write_text("".join(f"{user},{item}\n" for user in range(5) for item in (user, user + 1, user)), encoding="utf-8")
    assert main(["fit", str(path), "--methods", "full"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "every item that could be held out is one that its user had met before" in printed.err


STRANGERS = [(user, item) for user in range(6) for item in (*range(5), 10 + user)]  # no other user has the last item of a user


def test_where_no_held_out_item_is_in_training_no_model_is_called_the_best(tmp_path, capsys):
    path, model = tmp_path / "plays.csv", str(tmp_path / "model")
    path.write_text("".join(f"{user},{item}\n" for user, item in STRANGERS), encoding="utf-8")
    options = ["--compression", "0.5", "--epochs", "2", "--l2", "0", "--out", model]
    assert main(["fit", str(path), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["held_out"], found["items_not_in_training"]) == (6, 6)
    verdict, kept = found["verdict"], found["kept"]["method"]
    assert [verdict[name] for name in ("best", "beats_baseline", "beats_narrow")] == [None] * 3
    assert verdict["words"].startswith("No held-out item is in the training part: all ranks are chance")
    assert kept in ("narrow", "learned", "bloom")
    assert main(["fit", str(path), *options]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "is held out (6). None of them has an item that is in the training part." in words
    assert "Best of" not in words


def test_held_out_items_that_are_not_in_training_are_counted(tmp_path, capsys):
    path = tmp_path / "plays.csv"
    path.write_text("".join(f"{user},{item},{1 + user % 3}\n" for user, item in [*STRANGERS, (0, 6), (1, 6), (1, 3)]), "utf-8")
    options = ["--methods", "full", "--epochs", "2", "--l2", "0"]
    assert main(["fit", str(path), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["held_out"], found["items_not_in_training"], found["repeats_left_out"]) == (5, 4, 1)
    assert main(["fit", str(path), *options]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "is held out (5). Of them 4 have an item that is not in the training part," in words
    path.write_text("".join(f"{user},{item},{1 + user % 3}\n" for user, item in STRANGERS), "utf-8")
    assert main(["fit", str(path), *options, "--loss", "regression", "--split", "last"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "is held out (6). None of them has an item that is in the training part." in words


@pytest.mark.parametrize("split", ["last", "random"])
def test_ratings_of_a_pair_that_is_in_training_are_not_scored(tmp_path, capsys, split):
    path = tmp_path / "ratings.csv"
    rng = np.random.default_rng(0)
    lines = [f"{user},{item},{rng.integers(1, 6)}\n" for user in range(20) for item in rng.permutation(30)[:6].tolist()]
    again = [line for number, line in enumerate(lines) if number % 12 == 0]  # one of every second user
    path.write_text("".join(lines + again), encoding="utf-8")
    options = ["--methods", "full", "--epochs", "2", "--l2", "0", "--loss", "regression", "--split", split]
    assert main(["fit", str(path), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["held_out"] + found["repeats_left_out"] + found["trained_on"] == 130
    assert found["repeats_left_out"] == 10 if split == "last" else 0 < found["repeats_left_out"] <= 10
    assert main(["fit", str(path), *options]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert f"{found['repeats_left_out']} more are left out: their pairs of user and item are also in training." in words


@pytest.mark.parametrize(
    ("header", "options", "words"),
    [
        ("user,item,rating,time", [], "Each user's last interaction is held out"),
        ("user,item,rating,other", [], "Each user's last line (there are no times) is held out"),
        ("user,item,rating,time", ["--split", "random"], "One interaction of each user, drawn at random, is held out"),
        ("user,item,rating,time", ["--loss", "regression"], "A fifth of the ratings, drawn at random, is held out"),
        ("user,item,rating,time", ["--loss", "regression", "--split", "last"], "Each user's last interaction is held out"),
        ("user,item,rating,other", ["--loss", "regression", "--split", "last"], "Each user's last line (there are no times) is"),
    ],
)
def test_the_output_says_what_is_held_out(ratings, tmp_path, capsys, header, options, words):
    path = tmp_path / "ratings.csv"
    lines = Path(ratings).read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *lines[1:]]) + "\n", encoding="utf-8")
    assert main(["fit", str(path), "--methods", "full", "--epochs", "1", "--l2", "0", *options]) == 0
    assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("split", "options"), [("last", []), ("random", []), ("last", ["--loss", "regression"])])
def test_a_split_holds_out_one_interaction_of_each_user(fit, split, options):
    found = fit("--methods", "full", "--split", split, *options)
    assert found["settings"]["split"] == split
    assert (found["trained_on"], found["held_out"]) == (USERS * 11, USERS)


def test_the_last_is_not_any(fit):
    rows = [fit("--methods", "full", "--split", split)["rows"][1]["mrr"] for split in ("last", "random")]
    assert rows[0] != rows[1]


def test_beyond_a_size_users_are_sampled_and_it_is_said(ratings, capsys, monkeypatch):
    monkeypatch.setattr(_compare, "TESTED", 7 * 41 + 1)  # scores: users times items, padding included
    options = ["--methods", "full", "--epochs", "1", "--l2", "0"]
    assert main(["fit", ratings, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["held_out"], found["tested"]) == (USERS, 7)
    assert round(found["rows"][0]["hit_rate"] * 7, 9) % 1 == 0
    assert main(["fit", ratings, *options]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "is held out (30, 7 of them, drawn at random, are scored)" in words
