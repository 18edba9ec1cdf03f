"""Outputs that the command line refuses before any training: one line on stderr, exit status 2."""

from __future__ import annotations

import os

import pytest

from npbloom.cli import _checks
from tests.cli._ratings import GOOD


@pytest.fixture
def ratings(tmp_path):
    """Return a file that can be fitted."""
    path = tmp_path / "good.csv"
    path.write_text(GOOD, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_a_file_that_cannot_be_written_is_found_before_training(refused, ratings, tmp_path, option):
    nowhere = tmp_path / "nowhere" / "a.png"
    assert refused("fit", ratings, option, str(nowhere)) == (
        f"npbloom: error: {option} {nowhere}: cannot write to the folder {nowhere.parent}: no such file or directory\n"
    )
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert f"{option} {folder}: is a folder" in refused("fit", ratings, option, str(folder))


def test_a_model_is_not_saved_in_a_device_or_a_pipe(refused, ratings, tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)
    for path in (os.devnull, "/dev/full", str(pipe), str(link)):
        words = f"npbloom: error: --out {path}: is a device or a pipe, not a regular file\n"
        assert refused("fit", ratings, "--compression", "0.5", "--out", path) == words


@pytest.mark.parametrize("tables", ["items", "users", "both"])
def test_the_best_of_the_smaller_models_is_not_saved_where_none_is_smaller(refused, ratings, tmp_path, tables):
    options = ["--compression", "1", "--tables", tables, "--out", str(tmp_path / "model")]
    line = refused("fit", ratings, *options)
    assert "with --compression 1 none of full,narrow,learned,bloom is smaller than full tables; --keep METHOD says" in line


def test_the_ratings_are_never_overwritten(refused, tmp_path):
    path = tmp_path / "ratings.png"
    path.write_text(GOOD, encoding="utf-8")
    for option in ("--out", "--plot"):
        assert "would overwrite the ratings" in refused("fit", str(path), option, str(tmp_path / "." / "ratings.png"))
    assert path.read_text(encoding="utf-8") == GOOD


@pytest.mark.parametrize("there", [False, True], ids=["not yet", "there"])
@pytest.mark.parametrize("name", ["a.png", "./a.png", "up/../a.png", "link.png", "other/a.png", "hard.png"])
def test_picture_and_model_are_two_files(refused, ratings, tmp_path, monkeypatch, name, there):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "up").mkdir()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "other").symlink_to(".", target_is_directory=True)
    if there or name == "hard.png":
        (tmp_path / "a.png").write_bytes(b"before")
        (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    for options in (["--plot", "a.png", "--out", name], ["--plot", name, "--out", str(tmp_path / "a.png")]):
        assert "are one file" in refused("fit", ratings, *options)
    if there:
        assert (tmp_path / "a.png").read_bytes() == b"before"


def test_too_little_memory_is_said_before_it_is_taken(refused, ratings, monkeypatch):
    monkeypatch.setattr(_checks.os, "sysconf", {"SC_PAGE_SIZE": 100, "SC_PHYS_PAGES": 100}.__getitem__)
    line = refused("fit", ratings, "--compression", "0.5", "--dim", "64")
    assert "there is not enough memory for full tables of 64 columns" in line
