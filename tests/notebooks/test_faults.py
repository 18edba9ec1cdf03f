"""Tests of the checks of notebooks: lessons that break a rule, and wrong answers, are found."""

from __future__ import annotations

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import npbloom as nb
from notebooks import build, style
from tests.notebooks import faults


def lesson(source: str, *outputs, count=1):
    return new_notebook(cells=[new_code_cell(source, outputs=list(outputs), execution_count=count)])


BROKEN = {
    "private module": (lesson("from npbloom._kernels import jit"), "npbloom._kernels.jit, which is private"),
    "private import": (lesson("import npbloom._parallel as p"), "npbloom._parallel, which is private"),
    "name outside __all__": (lesson("from npbloom.hashing import np"), "npbloom.hashing.np, which is private"),
    "private attribute": (lesson("import npbloom as nb; nb._parallel"), "private name _parallel"),
    "not executed": (lesson("1", count=None), "not executed"),
    "raises": (
        lesson("1 / 0", new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])),
        "raises ZeroDivisionError",
    ),
    "warns": (lesson("1", new_output("stream", name="stderr", text="a warning")), "writes to stderr"),
    "traceback": (lesson("1", new_output("stream", text="Traceback (most recent call last):")), "a traceback"),
    "path printed": (lesson("1", new_output("stream", text="see /" + "home/me")), "a path of a machine"),
    "path in code": (lesson("open('/" + "home/me')"), "a path of a machine"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lesson_is_named(name):
    notebook, complaint = BROKEN[name]
    assert len(found := faults.of(notebook)) == 1
    assert complaint in found[0]


def test_public_names_are_no_fault():
    words = "import npbloom as nb\nfrom npbloom import RowGrad, recommend\nimport npbloom.conformance\nnb.hashing.__doc__"
    assert faults.of(lesson(words)) == []


def test_exercise_needs_blank_and_answer():
    blank = new_code_cell("mine = ...", metadata={"tags": ["exercise"]})
    asked = new_code_cell("check(1, mine, 3)", metadata={"tags": ["check"]})
    given = new_markdown_cell("<details><summary>Answer</summary>\n\n```python\nmine = 3\n```\n</details>")
    full = build.answered(new_notebook(cells=[blank, asked, given]))
    assert [cell.source for cell in full.cells] == [blank.source, asked.source, "mine = 3", asked.source, given.source]
    with pytest.raises(ValueError, match="follows the blank"):
        build.answered(new_notebook(cells=[asked, given]))
    with pytest.raises(ValueError, match="one Python block"):
        build.answered(new_notebook(cells=[blank, asked, new_markdown_cell("three")]))


@pytest.mark.parametrize(
    ("answer", "expected", "verdict"),
    [
        (..., 3, "no answer yet"),
        (None, [1], "no answer yet"),
        ([None, None], [1, 2], "no answer yet"),
        (3, 3, "right"),
        (4, 3, "not yet: 1 of 1 values differ"),
        (3.0000001, 3.0, "right"),
        (3.01, 3.0, "not yet: 1 of 1 values differ"),
        ("signed", "signed", "right"),
        ("unsigned", "signed", "not yet: 1 of 1 values differ"),
        (np.nan, 3.0, "not yet: 1 of 1 values differ"),
        ([1, 2], [1, 2, 3], "not yet: its shape is (2,), not (3,)"),
        ([[1, 2], [3, 5]], [[1, 2], [3, 4]], "not yet: 1 of 4 values differ, first at position (1, 1)"),
        (nb.RowGrad([1], np.ones((1, 1)), 3), nb.RowGrad([1], np.ones((1, 1)), 3), "right"),
        (nb.RowGrad([2], np.ones((1, 1)), 3), nb.RowGrad([1], np.ones((1, 1)), 3), "not yet: something else is expected"),
    ],
)
def test_check_says_what_is_wrong(answer, expected, verdict, capsys):
    style.check(1, answer, expected)
    assert capsys.readouterr().out == f"Exercise 1: {verdict}\n"
