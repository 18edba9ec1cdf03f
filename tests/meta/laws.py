"""The list of laws and of their tests: functions from files to complaints."""

from __future__ import annotations

import ast
import re
from pathlib import Path

LAST = 42  # a new law takes the next number
LAWS = [*(f"L{number}" for number in range(1, 24)), "L23b", *(f"L{number}" for number in range(24, LAST + 1))]


def laws_of(text: str) -> list[str]:
    """Return the numbers of the laws in a specification, in order.

    A law is a paragraph that begins with a number in bold.
    """
    return re.findall(r"^(?:- )?\*\*(L\d+b?) ", text, flags=re.M)


def untested(folder: Path) -> list[str]:
    """Return laws without a test, and tests without a law.

    A complaint names a law without a test module, a module without a law, or a module that does not
    name its law or tests nothing.
    """
    faults, found = [], set()
    for path in sorted(folder.glob("test_*.py")):
        named = re.match(r"test_L(\d\d)(b?)_[a-z0-9_]+\.py$", path.name)
        law = f"L{int(named[1])}{named[2]}" if named else None
        if law not in LAWS:
            faults.append(f"{path.name} is named after no law")
            continue
        found.add(law)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not (ast.get_docstring(tree) or "").startswith(f"{law}: "):
            faults.append(f"{path.name} does not say what {law} says")
        tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        faults += [f"{path.name}: {test.name} checks nothing" for test in tests if not _checks(test)]
        if not tests:
            faults.append(f"{path.name} holds no test")
    return faults + [f"{law} has no test" for law in LAWS if law not in found]


def _checks(test: ast.FunctionDef) -> bool:
    """Return True if a test asserts, expects an exception, or calls something that asserts."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name.startswith("assert_") or name in ("raises", "check") or name == "call":
                return True
    return False
