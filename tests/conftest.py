"""Hypothesis profiles and the real data that some tests read."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

from npbloom.cli import main
from tests.support import _examples
from tests.support._files import write_example

# A kernel that compiles inside an example takes seconds, so there is no deadline. CI uses the same
# examples every time; `python check.py nightly` draws more, and others each time.
settings.register_profile("dev", deadline=None, print_blob=True, max_examples=_examples.USUAL)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=_examples.NIGHTLY)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def data_folder() -> Path | None:
    """Return the folder that NPBLOOM_DATA_DIR names, or None if it does not exist."""
    named = os.environ.get("NPBLOOM_DATA_DIR")
    return Path(named) if named and Path(named).is_dir() else None


def movielens_100k_file() -> Path | None:
    """
    Return the file of MovieLens 100K in the recbole wheel, or None. recbole itself is not imported.
    """
    spec = importlib.util.find_spec("recbole")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "dataset_example" / "ml-100k" / "ml-100k.inter"
        if path.is_file():
            return path
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Skip tests marked `data` or `movielens100k` if their files are missing.

    CI installs recbole, so there its absence is a failure.
    """
    if item.get_closest_marker("data") and data_folder() is None:
        pytest.skip("NPBLOOM_DATA_DIR names no folder")
    if item.get_closest_marker("movielens100k") and movielens_100k_file() is None:
        if os.environ.get("CI"):
            pytest.fail("recbole is not installed, which carries ml-100k.inter")
        pytest.skip("recbole is not installed, which carries ml-100k.inter")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real interactions. A test that uses it has the marker `data`."""
    folder = data_folder()
    assert folder is not None, "mark the test with `data`"
    return folder


@pytest.fixture(scope="session")
def movielens_100k() -> Path:
    """Return the path of ml-100k.inter. A test that uses it has the marker `movielens100k`."""
    path = movielens_100k_file()
    assert path is not None, "mark the test with `movielens100k`"
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Return a function that runs a command in this process. It returns status and printed text."""

    def go(*words: str) -> SimpleNamespace:
        try:
            status: Any = main(words)
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        return SimpleNamespace(status=status, out=printed.out, err=printed.err)

    return go


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file to write."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path: Path) -> Path:
    """Return a saved file with two layers and an optimizer."""
    return write_example(path)
