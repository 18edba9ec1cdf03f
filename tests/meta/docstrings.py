"""Numpydoc's validation of the public surface, and further rules of the house."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from numpydoc.validate import validate

# Sections and their order; every parameter named, typed and described, in the order of the
# signature; returns described.
CHECKS = {
    *("GL01", "GL02", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10", "SS01", "SS02", "SS03", "SS04"),
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR09", "PR10", "RT01", "RT02", "RT03", "RT05", "EX01"),
}
# One sentence is enough for a property, and for a method without arguments.
SHORT = {"GL01", "RT01", "EX01"}


def public_objects(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the names of `__all__`, with the classes' public methods and properties."""
    for name in module.__all__:
        value = getattr(module, name)
        if not callable(value) or getattr(value, "__module__", "").split(".")[0] != module.__name__.split(".")[0]:
            continue
        path = f"{value.__module__}.{value.__qualname__}"
        yield path, value
        if inspect.isclass(value):
            for key, member in vars(value).items():
                if not key.startswith("_") and (inspect.isroutine(member) or isinstance(member, (property, classmethod))):
                    yield f"{path}.{key}", member


def is_short(member: Any) -> bool:
    """Return True for a property or a method without arguments: one sentence is enough."""
    if isinstance(member, property):
        return True
    function = getattr(member, "__func__", member)
    return inspect.isfunction(function) and list(inspect.signature(function).parameters) in (["self"], ["cls"])


def faults(module: ModuleType) -> list[str]:
    """Return one line for each fault in the docstrings of a module."""
    found = []
    for path, value in public_objects(module):
        method = path.rsplit(".", 1)[0].rsplit(".", 1)[-1][:1].isupper()
        waived = SHORT if is_short(value) else {"EX01"} if method else set()
        for code, message in validate(path)["errors"]:
            if code in CHECKS - waived:
                found.append(f"{path}: {code} {message}")
    return found
