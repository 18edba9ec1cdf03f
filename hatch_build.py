"""
What a wheel carries: the package, without what only its developers read.

Left out are the kit's tests of itself (the catalogue of faults), comments, and the docstrings of internals. Docstrings of public
names stay, and so do line numbers, so that a traceback from an installed npbloom fits the repository. Editable installs and
sdists are not touched. `tests/packaging` holds all of this.
"""

from __future__ import annotations

import ast
import io
import shutil
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LEFT_OUT = ("conformance/mutants", "conformance/_selftest.py")
INTERNAL_FOLDERS = ("_kernels", "checks", "vectors")


def modules(package: Path) -> Iterator[Path]:
    """The modules that a wheel carries."""
    for path in sorted(package.rglob("*.py")):
        if not path.relative_to(package).as_posix().startswith(LEFT_OUT):
            yield path


def public_names(package: Path) -> set[str]:
    """Names in an ``__all__`` of the package, and of classes that those classes are made of."""
    names: set[str] = set()
    bases: dict[str, set[str]] = {}
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names.update(ast.literal_eval(node.value))
            elif isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(ast.unparse(base).partition("[")[0] for base in node.bases)
    while more := set().union(*(bases.get(name, set()) for name in names)) - names:
        names |= more
    return names


def is_internal(path: Path) -> bool:
    """Whether no reader of the documentation meets this module: ``_x.py``, or anything in a folder of internals."""
    return (path.name != "__init__.py" and path.name.startswith("_")) or path.parent.name in INTERNAL_FOLDERS


def documented(node: ast.AST) -> bool:
    """Whether a docstring stands there that may be left out: not one that is all of a body."""
    has_docstring = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    return has_docstring and ast.get_docstring(node, clean=False) is not None and len(node.body) > 1


def internal_docstrings(tree: ast.Module, public: set[str], whole_module: bool) -> Iterator[ast.stmt]:
    """Docstrings of what is neither a public name nor a public method of a public class."""
    if whole_module and documented(tree):
        yield tree.body[0]

    def inside(node: ast.AST, told: bool) -> Iterator[ast.stmt]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                told_too = child.name in public or (told and (not child.name.startswith("_") or child.name.endswith("__")))
                if documented(child) and not told_too:
                    yield child.body[0]
                yield from inside(child, told_too and isinstance(child, ast.ClassDef))
            else:
                yield from inside(child, told)

    yield from inside(tree, told=False)


def stripped(source: str, public: set[str], internal: bool) -> str:
    """A module as the wheel carries it: the same statements in the same lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for docstring in internal_docstrings(ast.parse(source), public, internal):
        for row in range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1):
            lines[row - 1] = ""
    return "\n".join(lines) + "\n"


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling calls `initialize` before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Let the wheel take its modules from a folder of stripped ones."""
        if version == "editable":
            return
        package = Path(self.root) / "npbloom"
        public = public_names(package)
        self.folder = Path(tempfile.mkdtemp(prefix="npbloom-wheel-"))
        for path in modules(package):
            place = self.folder / path.relative_to(package)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(stripped(path.read_text("utf-8"), public, is_internal(path)), "utf-8")
        build_data["force_include"][str(self.folder)] = "npbloom"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up."""
        if version != "editable":
            shutil.rmtree(self.folder)
