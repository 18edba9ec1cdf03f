"""Every lesson is executed from top to bottom, its exercises with the answers given, and is what its saved outputs say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks import build
from tests.notebooks import faults

LESSONS = build.lessons()
MAX_BYTES = 4_000_000

by_name = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def run_once() -> Callable[[Path], Any]:
    """A lesson with its answers, executed: once, however many tests look at it."""
    done: dict[Path, Any] = {}

    def run(path: Path) -> Any:
        if path not in done:
            done[path] = build.execute(build.answered(build.read(path)))
        return done[path]

    return run


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
    assert len(build.pictures(saved)) >= 3
    assert faults.of(saved) == []


@by_name
def test_lesson_runs_and_gives_the_saved_outputs(path, run_once):
    fresh = [cell for cell in run_once(path).cells if not {"answer", "checked"}.intersection(build.tags(cell))]
    saved = build.read(path).cells
    for cell, again in zip(saved, fresh, strict=True):
        assert build.printed(again).count("Traceback") == 0
        if "varies" not in build.tags(cell):
            assert build.printed(again) == build.printed(cell)
    assert faults.of(run_once(path)) == []
    assert len(build.pictures(run_once(path))) >= len(build.pictures(build.read(path)))


@by_name
def test_given_answers_are_right_and_blanks_are_not(path, run_once):
    cells = run_once(path).cells
    blank = [build.printed(cell) for cell in cells if "check" in build.tags(cell)]
    given = [build.printed(cell) for cell in cells if "checked" in build.tags(cell)]
    exercises = sum("exercise" in build.tags(cell) for cell in cells)
    assert exercises == len(blank) == len(given) >= 3
    assert all(re.fullmatch(r"Exercise .*: no answer yet", words) for words in blank), blank
    assert all(re.fullmatch(r"Exercise .*: right", words) for words in given), given
