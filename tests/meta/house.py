"""The house rules: functions from a source tree to complaints.

`test_house_rules.py` gives each of them a tree that breaks it.
"""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_KERNEL_ARGUMENTS = 16
COMPILER_WORDS = {"numba", "llvmlite"}
# scipy is not listed: Numba imports it, where installed, to read its version.
NOT_ON_IMPORT = (
    *("npbloom.recommend", "npbloom.conformance", "npbloom.distributed"),
    *("torch", "sklearn", "pooch", "matplotlib", "hypothesis", "mpi4py"),
)
TEXT_SUFFIXES = {".py", ".md", ".toml", ".cfg", ".yml", ".yaml", ".json", ".txt", ".ipynb", ""}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(root: Path, *folders: str) -> Iterator[Path]:
    """Return the Python files at the top of the tree, and those of the named folders."""
    yield from sorted(root.glob("*.py"))
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))


def written_files(root: Path) -> Iterator[Path]:
    """Yield the files of a tree that somebody wrote: no caches, builds or environments."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if name not in {".git", ".hypothesis", "__pycache__", "build", "dist"}
            and not name.startswith((".venv", "venv"))
            and not name.endswith(("_cache", ".egg-info"))
        )
        yield from sorted(Path(folder, file) for file in files if file != ".git")  # a worktree has a file of that name


@cache
def code_lines(source: str) -> frozenset[int]:
    """Return the numbers of the lines that hold code.

    Blank lines, lines of comments and docstrings do not count.
    """
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return frozenset(lines)


def functions(path: Path) -> Iterator[Function]:
    """Yield every function of a file, methods and inner functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def long_files(root: Path) -> list[str]:
    """Return files of more than MAX_FILE_LINES lines of code."""
    sizes = (
        (path, len(code_lines(path.read_text(encoding="utf-8"))))
        for path in sources(root, "npbloom", "tests", "benchmarks", "notebooks")
    )
    return [f"{path.relative_to(root)}: {size} lines of code" for path, size in sizes if size > MAX_FILE_LINES]


def long_functions(root: Path) -> list[str]:
    """Return functions of more than MAX_FUNCTION_LINES lines of code."""
    faults = []
    for path in sources(root, "npbloom", "tests", "benchmarks", "notebooks"):
        lines = code_lines(path.read_text(encoding="utf-8"))
        for node in functions(path):
            size = len(lines.intersection(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
            if size > MAX_FUNCTION_LINES:
                faults.append(f"{path.relative_to(root)}:{node.lineno} {node.name}: {size} lines of code")
    return faults


def wide_kernels(root: Path) -> list[str]:
    """Return functions of `_kernels` with more than MAX_KERNEL_ARGUMENTS arguments."""
    faults = []
    for path in sorted((root / "npbloom" / "_kernels").rglob("*.py")):
        for node in functions(path):
            count = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
            if count > MAX_KERNEL_ARGUMENTS:
                faults.append(f"{path.relative_to(root)}:{node.lineno} {node.name}: {count} arguments")
    return faults


def compiler_named(root: Path) -> list[str]:
    """Return names and module paths of the compiler outside `_kernels/jit.py` and `lanes.py`.

    Comments and strings may mention it.
    """
    faults = []
    for path in sorted((root / "npbloom").rglob("*.py")):
        if path.relative_to(root / "npbloom").as_posix() in ("_kernels/jit.py", "_kernels/lanes.py"):
            continue
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        faults += [
            f"{path.relative_to(root)}:{token.start[0]} names {token.string}"
            for token in tokens
            if token.type == tokenize.NAME and token.string in COMPILER_WORDS
        ]
    return faults


def _internals(folder: Path) -> set[str]:
    """Return names with one underscore that the classes of a folder define, or set on an object."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                names |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                names |= {each.target.id for each in node.body if isinstance(each, ast.AnnAssign)}
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.endswith("__")}


def layer_internals(root: Path) -> list[str]:
    """Return modules outside `npbloom/layers` that use an underscore member of a layer.

    `self` and `cls` are excepted.
    """
    folder = root / "npbloom" / "layers"
    names = _internals(folder)
    faults = []
    for path in sorted((root / "npbloom").rglob("*.py")):
        if path.is_relative_to(folder):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in names and getattr(node.value, "id", "") not in ("self", "cls"):
                faults.append(f"{path.relative_to(root)}:{node.lineno} touches {node.attr} of a layer")
    return faults


def unsorted_all(root: Path) -> list[str]:
    """Return modules whose `__all__` is not a literal list of distinct words in order."""
    faults = []
    for path in sorted((root / "npbloom").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == "__all__" for target in node.targets):
                where = f"{path.relative_to(root)}:{node.lineno} `__all__`"
                try:
                    names = list(ast.literal_eval(node.value))
                except ValueError:
                    faults.append(f"{where} is not a literal")
                    continue
                if names != sorted(set(names)):
                    faults.append(f"{where} is not sorted")
    return faults


def unlisted_operations(root: Path) -> list[str]:
    """Return public names of public files of `ops` that are missing in `__all__`.

    Functions and classes count; the `__all__` is that of their file.
    """
    faults = []
    for path in sorted((root / "npbloom" / "ops").glob("[!_]*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assigned = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
        names = ast.literal_eval(assigned[0].value) if assigned else []
        faults += [
            f"{path.relative_to(root)}:{node.lineno} {node.name} is not in `__all__`"
            for node in body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_") and node.name not in names
        ]
    return faults


def machine_paths(root: Path) -> list[str]:
    """Return absolute paths of one machine in any text file of the tree."""
    pattern = re.compile(r"(?<![\w.$}~)/-])/(?:root|tmp|work|farm|home|Users|opt|mnt)/\w")
    faults = []
    for path in written_files(root):
        if path.suffix in TEXT_SUFFIXES:
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if pattern.search(line):
                    faults.append(f"{path.relative_to(root)}:{number} {line.strip()[:100]}")
    return faults


_IMPORT_PROBE = """
import sys
import npbloom
compiled = sorted({
    f"{name}.{key} is compiled on import"
    for name, module in list(sys.modules.items()) if name.startswith("npbloom")
    for key, value in vars(module).items() if getattr(value, "signatures", None)
})
print(*compiled, *(f"{name} is imported" for name in sys.argv[1:] if name in sys.modules), sep="\\n")
"""


def import_faults(root: Path, cache: Path) -> list[str]:
    """Return what `import npbloom` does although it must not.

    It must not compile, fill the cache, or import a package that only some users need.
    """
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORT_PROBE, *NOT_ON_IMPORT],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [f"`import npbloom` fails: {done.stderr.strip().splitlines()[-1]}"]
    cached = [f"{path.name} is written on import" for path in cache.rglob("*") if path.is_file()] if cache.exists() else []
    return [line for line in done.stdout.splitlines() if line] + cached
