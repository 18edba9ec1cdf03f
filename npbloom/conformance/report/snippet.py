"""A failure as a program to paste: it makes the case, runs the backend, and prints the outputs."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from npbloom.conformance.cases.backend import Backend
from npbloom.conformance.cases.case import Case, literal

WIDTH = 80  # columns at which a line is broken; a long array stays on one line, packed


def snippet_of(backend: Backend, case: Case | None, steps: tuple[Case, ...] = (), message: str = "") -> str:
    """Return the program; an empty string without a case."""
    if case is None:
        return ""
    lines = ["import numpy as np", *_imports(backend)]
    lines.append(f"case = {_source(case)}")
    if steps:
        lines.append(f"session = {backend!r}.session(case)")
        lines += [f"print(session.step({_source(step)}))" for step in steps]
    else:
        lines.append(f"print({backend!r}.run(case))")
    if message:
        lines += textwrap.wrap(message, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _imports(backend: Backend) -> list[str]:
    """Return the imports of `Case` and of the backend's class."""
    case, its = "from npbloom.conformance import Case", _import_of(backend)
    start = case.removesuffix("Case")
    return [f"{case}, {its.removeprefix(start)}"] if its.startswith(start) else [case, its]


def _import_of(backend: Backend) -> str:
    """Return the import of the backend's class, or a comment if it is a local class."""
    kind = type(backend)
    name = kind.__qualname__.partition(".")[0]
    module = kind.__module__
    if "<locals>" in kind.__qualname__:
        return f"# {kind.__qualname__} is your backend: paste this where it is defined"
    publics = ("npbloom.conformance", module.partition("._")[0])  # not from an internal module
    module = next((public for public in publics if getattr(sys.modules.get(public), name, None) is kind), module)
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        if script is None or not Path(script).stem.isidentifier():
            return f"# {name} is your backend: paste this where it is defined"
        module = Path(script).stem
    return f"from {module} import {name}"


def _source(case: Case) -> str:
    """Return the call that makes a case; a long one has a line for each field."""
    whole = repr(case)
    if len(whole) <= WIDTH:
        return whole
    return "Case(\n" + "".join(_field(f"    {name}={literal(value)},") + "\n" for name, value in case.given().items()) + ")"


def _field(source: str) -> str:
    """Return the line of a field, broken between numbers if it is long."""
    if "bytes.fromhex" in source:
        return source
    return textwrap.fill(source, WIDTH, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)
