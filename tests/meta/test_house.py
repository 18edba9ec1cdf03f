"""The rules of the house, applied to this tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta import house

ROOT = Path(__file__).resolve().parents[2]

RULES = [
    house.long_files,
    house.long_functions,
    house.wide_kernels,
    house.compiler_named,
    house.layer_internals,
    house.unsorted_all,
    house.unlisted_operations,
    house.machine_paths,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule):
    assert rule(ROOT) == []


def test_rules_look_at_this_house():
    files = [path.relative_to(ROOT).as_posix() for path in house.sources(ROOT, "npbloom", "tests", "benchmarks")]
    assert "npbloom/_kernels/jit.py" in files
    assert "tests/meta/test_house.py" in files
    assert "benchmarks/benchmark.py" in files
    assert len(house.code_lines(Path(house.__file__).read_text(encoding="utf-8"))) > 100


def test_import_compiles_nothing_and_imports_little(tmp_path):
    assert house.import_faults(ROOT, tmp_path) == []
