"""Circles of imports: a function from a source tree to complaints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def modules(root: Path, package: str) -> dict[str, ast.Module]:
    """Return the modules of a package by their dotted names, parsed."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that runs; the body of `if TYPE_CHECKING` does not."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", None) == "TYPE_CHECKING"):
            yield child
            yield from _nodes(child)


def imported(tree: ast.Module) -> set[str]:
    """Return dotted names that a module imports, at its top or later.

    `from a import b` gives `a.b` too.
    """
    names: set[str] = set()
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _target(name: str, known: dict[str, ast.Module]) -> str:
    """Return the module that an imported name is, or is in; empty if it is none of these."""
    return name if name in known else name.rpartition(".")[0] if name.rpartition(".")[0] in known else ""


def circles(root: Path, package: str) -> list[str]:
    """
    Return groups of modules that import each other, directly or through others.

    An import inside a function counts. A package counts when it is named, not when one of its
    modules is.
    """
    known = modules(root, package)
    graph = {name: {_target(each, known) for each in imported(tree)} - {"", name} for name, tree in known.items()}
    reached: dict[str, set[str]] = {}
    for start in graph:
        waiting, found = list(graph[start]), set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(graph[name])
        reached[start] = found
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other])) for name in graph if name in reached[name]
    }
    return [f"{len(group)} modules import each other: {', '.join(group)}" for group in sorted(groups)]
