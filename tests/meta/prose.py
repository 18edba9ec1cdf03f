"""Rules for prose: lines of documents, and first words of docstrings."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

WIDTH = 100
QUESTIONS = ("What", "Whether", "Where", "How", "Who")  # a docstring says what a thing is or does

# Lines that are no prose, or that cannot be broken: tables, pictures, HTML, formulas, links alone.
UNBREAKABLE = re.compile(r"\s*(\||!\[|<|\$\$.*\$\$$|\[[^\]]*\]:|[-*]?\s*\[[^\]]*\]\([^)]*\)\S*$)")
FENCE = re.compile(r"\s*(```|~~~|\$\$)")
WRITTEN = re.compile(r"<!-- written by .*: (begin|end) -->")  # around what a program writes


def long_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield number and length of each line of prose that is longer than `WIDTH`."""
    fenced = written = False
    for number, line in enumerate(text.splitlines(), start=1):
        if mark := WRITTEN.match(line):
            written = mark[1] == "begin"
        # A formula or a fence that closes on its own line opens nothing.
        if (fence := FENCE.match(line)) and line.count(fence[1]) == 1:
            fenced = not fenced
        if len(line) > WIDTH and not fenced and not written and not UNBREAKABLE.match(line):
            yield number, len(line)


def prose_of_notebook(text: str) -> Iterator[str]:
    """Yield the source of each Markdown cell."""
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "markdown":
            yield "".join(cell["source"])


def questions(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and first word of each docstring that begins with a word of `QUESTIONS`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            words = (ast.get_docstring(node) or "").split(maxsplit=1)
            if words and words[0].rstrip(",:;.") in QUESTIONS:
                yield getattr(node, "lineno", 1), words[0]
