"""Prose is wrapped at 100 columns, and no docstring begins with a question word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.meta import house, prose

ROOT = Path(__file__).parents[2]
LONG = "word " * 25


def written(suffix: str) -> list[Path]:
    """Return the files of the project with a suffix."""
    return [path for path in house.written_files(ROOT) if path.suffix == suffix]


def test_documents_are_wrapped() -> None:
    pages = [page for page in written(".md") if "results" not in page.parts]  # those are written
    assert len(pages) > 20
    faults = [
        f"{page.relative_to(ROOT)}:{number}: {length} columns"
        for page in pages
        for number, length in prose.long_lines(page.read_text("utf-8"))
    ]
    assert faults == []


def test_lessons_are_wrapped() -> None:
    notebooks = written(".ipynb")
    assert len(notebooks) >= 9
    faults = [
        f"{notebook.name}: {cell.splitlines()[number - 1]}"
        for notebook in notebooks
        for cell in prose.prose_of_notebook(notebook.read_text("utf-8"))
        for number, _ in prose.long_lines(cell)
    ]
    assert faults == []


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    files = written(".py")
    assert len(files) > 300
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {word}" for path in files for line, word in prose.questions(path.read_text("utf-8"))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (LONG, [1]),
        (f"short\n- {LONG}", [2]),
        (f"```sh\n{LONG}\n```\n{LONG}", [4]),
        (f"$$ {LONG} $$\n{LONG}", [2]),
        (f"| {LONG} |", []),
        (f"![{LONG}](a.png)", []),
        (f"[{LONG}](a.md)", []),
        (f"[a](a.md) {LONG}", [1]),
        (f"<!-- written by `x`: begin -->\n{LONG}\n<!-- written by `x`: end -->\n{LONG}", [4]),
    ],
)
def test_long_lines_are_found(text: str, lines: list[int]) -> None:
    assert [number for number, _ in prose.long_lines(text)] == lines


def test_only_prose_of_notebooks_is_read() -> None:
    cells = [{"cell_type": "code", "source": [LONG]}, {"cell_type": "markdown", "source": ["a\n", "b"]}]
    assert list(prose.prose_of_notebook(json.dumps({"cells": cells}))) == ["a\nb"]


def test_question_words_are_found() -> None:
    source = '"""Where: a module."""\ndef f():\n    """Whether it is."""\nclass C:\n    """Whose it is."""\n'
    assert list(prose.questions(source)) == [(1, "Where:"), (2, "Whether")]
