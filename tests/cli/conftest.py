"""Runs of the command line that several files share."""

from __future__ import annotations

from functools import partial

import pytest

from npbloom.cli import _commands, main
from tests.cli._ratings import run_fit, write_ratings


@pytest.fixture(scope="session")
def ratings(tmp_path_factory):
    """A small file of ratings."""
    return write_ratings(tmp_path_factory.mktemp("ratings"))


@pytest.fixture
def fit(ratings, capsys):
    """Run `npbloom fit --json` and return the object it printed."""
    return partial(run_fit, capsys, ratings)


def no_training(*_):
    """Fail if training begins."""
    pytest.fail("trained before everything was checked")


@pytest.fixture
def refused(monkeypatch, capsys):
    """
    Return a function that runs a command.

    The command must be refused before any training; the function returns its one line.
    """
    monkeypatch.setattr(_commands, "compare", no_training)

    def run(*words: str) -> str:
        try:
            status = main(words)
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        assert status == 2
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        assert printed.err.startswith("npbloom")
        return printed.err

    return run
