"""This tree has no circle of imports, and a tree with one is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta import imports

ROOT = Path(__file__).resolve().parents[2]
LINES = (
    "from house.cellar import door",
    "from house import cellar",
    "import house.cellar",
    "def f():\n    import house.cellar as below",
)


def tree(root: Path, files: dict[str, str]) -> Path:
    """Return a package `house` with these modules."""
    for name, text in files.items():
        path = root / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("package", ["benchmarks", "npbloom", "tests"])
def test_no_module_imports_its_own_importers(package):
    assert len(imports.modules(ROOT, package)) > 50
    assert imports.circles(ROOT, package) == []


@pytest.mark.parametrize("line", LINES)
def test_a_circle_of_two_is_found(tmp_path, line):
    faults = imports.circles(tree(tmp_path, {"attic": line, "cellar": "from house.attic import roof"}), "house")
    assert faults == ["2 modules import each other: house.attic, house.cellar"]


def test_a_long_circle_is_found_once_and_its_importers_are_not_in_it(tmp_path):
    ring = {f"room{number}": f"from house import room{(number + 1) % 5}" for number in range(5)}
    (fault,) = imports.circles(tree(tmp_path, {"door": "from house import room0", **ring}), "house")
    assert fault == f"5 modules import each other: {', '.join(f'house.{name}' for name in ring)}"


def test_a_list_that_its_modules_ask_for_is_a_circle(tmp_path):
    files = {"floor/__init__": "from house.floor import a", "floor/a": "import house.floor"}
    assert imports.circles(tree(tmp_path, files), "house") == ["2 modules import each other: house.floor, house.floor.a"]


def test_types_and_siblings_are_no_circle(tmp_path):
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.cellar import Door"
    rooms = {"floor/__init__": "from house.floor import a, b", "floor/a": "from house.floor import b", "floor/b": "import math"}
    assert imports.circles(tree(tmp_path, {"attic": checked, "cellar": "import house.attic", **rooms}), "house") == []
