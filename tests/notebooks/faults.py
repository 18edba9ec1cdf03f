"""Faults of notebooks: a list of complaints, each with its cell."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Any

from notebooks import build

PATHS = re.compile(r"(?<![\w.$}~)/-])/(?:root|tmp|work|farm|home|Users|opt|mnt|usr)/\w")


def of(notebook: Any) -> list[str]:
    """List private names, missing outputs, text on stderr, tracebacks and paths of a machine."""
    complaints = []
    for number, cell in enumerate(notebook.cells):
        found = [*_private(cell.source), *_outputs(cell)] if cell.cell_type == "code" else []
        if PATHS.search(cell.source):
            found.append("a path of a machine")
        complaints += [f"cell {number}: {words}" for words in found]
    return complaints


def _outputs(cell: Any) -> Iterator[str]:
    if cell.execution_count is None:
        yield "not executed"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"raises {output.ename}"
        elif output.get("name") == "stderr":
            yield f"writes to stderr: {output.text[:80]!r}"
    words = build.printed(cell)
    if "Traceback (most recent" in words:
        yield "a traceback"
    if PATHS.search(words):
        yield "a path of a machine"


def _private(source: str) -> Iterator[str]:
    """Yield private imports of npbloom, and attributes that start with an underscore."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield f"uses the private name {node.attr}"
        elif isinstance(node, ast.Import):
            for name in (alias.name for alias in node.names if alias.name.split(".")[0] == "npbloom"):
                if not _public(name):
                    yield f"imports {name}, which is private"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "npbloom":
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                if not _public(name):
                    yield f"imports {name}, which is private"


def _public(name: str) -> bool:
    """Return True if a dotted name is a module without underscores, or in the `__all__` of one."""
    if any(part.startswith("_") for part in name.split(".")):
        return False
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, last = name.rpartition(".")
        return last in getattr(importlib.import_module(module), "__all__", ())
    return True
