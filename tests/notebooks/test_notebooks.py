"""Execution of the lessons, with the answers to exercises; outputs must equal the saved ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks import build
from tests.notebooks import faults

LESSONS = build.lessons()
MAX_BYTES = 4_000_000

LONG = ("05", "06", "07", "08", "09")  # by night: four fifths of the time of all
by_name = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def runs(path: Path) -> Any:
    """Return a lesson to run; a long one runs by night."""
    return pytest.param(path, id=path.stem, marks=pytest.mark.nightly if path.stem[:2] in LONG else ())


def test_lessons_are_numbered_and_small():
    assert [path.name[:3] for path in LESSONS] == [f"{number:02}-" for number in range(1, len(LESSONS) + 1)]
    assert LESSONS
    assert sum(path.stat().st_size for path in build.FOLDER.rglob("*") if path.is_file()) < MAX_BYTES


@by_name
def test_saved_file_is_tidy(path):
    saved = build.read(path)
    nbformat.validate(saved)
    tidied = build.read(path)
    build.tidy(tidied)
    assert nbformat.writes(tidied) == path.read_text("utf-8").rstrip("\n")
    assert len(build.drawn(saved.cells)) >= 3
    assert faults.of(saved) == []


def outputs_are_the_saved_ones(cells: list[Any], saved: list[Any]) -> None:
    """
    Compare outputs cell by cell.

    Inserted answers, and cells whose output varies, are left out.
    """
    fresh = [cell for cell in cells if not {"answer", "checked"}.intersection(build.tags(cell))]
    for cell, again in zip(saved, fresh, strict=True):
        if "varies" not in build.tags(cell):
            assert build.printed(again) == build.printed(cell)
            assert bool(build.drawn([again])) == bool(build.drawn([cell]))


def answers_are_right_and_blanks_are_not(cells: list[Any]) -> None:
    """Check that every exercise fails as a blank and passes with the answer."""
    blank = [build.printed(cell) for cell in cells if "check" in build.tags(cell)]
    given = [build.printed(cell) for cell in cells if "checked" in build.tags(cell)]
    exercises = sum("exercise" in build.tags(cell) for cell in cells)
    assert exercises == len(blank) == len(given) >= 3
    assert all(re.fullmatch(r"Exercise .*: no answer yet", words) for words in blank), blank
    assert all(re.fullmatch(r"Exercise .*: right", words) for words in given), given


@pytest.mark.parametrize("path", [runs(path) for path in LESSONS])
def test_lesson_runs_and_is_what_it_says(path):
    saved = build.read(path)
    done = build.execute(build.answered(saved))  # once, so that one process of many does all of a lesson
    assert faults.of(done) == []
    outputs_are_the_saved_ones(done.cells, saved.cells)
    answers_are_right_and_blanks_are_not(done.cells)
