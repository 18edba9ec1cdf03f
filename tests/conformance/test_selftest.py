"""
Tests of the selftest and its catalogue of backends.

Checks find all seeded faults, no null backend is ok, and no right variant fails.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from npbloom.conformance import check
from npbloom.conformance.checks.registry import CHECKS
from tests.conformance import selftest
from tests.conformance.mutants import MUTANTS, NULL_BACKENDS, VARIANTS, Mutant, Right, orders
from tests.conformance.mutants.right_updates import UPDATES

MATRIX = Path(__file__).parents[2] / "docs" / "kill-matrix.md"
FAMILIES = sorted({mutant.family for mutant in MUTANTS})
LOOKUP_VARIANTS = [backend for backend in VARIANTS if type(backend) not in UPDATES]  # test_optim_checks.py runs the others
# Backends that pass or decline early checks get a few.
SLOW = dict.fromkeys(("empty", "other-keys", "declines", "declines-but-refuses"), "hash.*,sgd.step")
FEW = {**SLOW, "forward-only": "embedding.*"}


def test_the_catalogue_is_large_and_says_where_faults_were_seen() -> None:
    names = Counter(mutant.name for mutant in MUTANTS)
    assert len(MUTANTS) >= 80
    assert names.most_common(1)[0][1] == 1
    assert all(mutant.sentence and mutant.origin for mutant in MUTANTS)
    assert sum(mutant.origin != "synthetic" for mutant in MUTANTS) >= 10


@pytest.mark.nightly
@pytest.mark.parametrize("family", FAMILIES)
def test_a_fault_is_found_by_every_check_that_it_names(family: str) -> None:
    """Run the named checks only; `python check.py selftest` runs the others, too."""
    silent = {mutant.name: selftest.silent_checks(mutant) for mutant in MUTANTS if mutant.family == family}
    assert {name: checks for name, checks in silent.items() if checks} == {}


def few() -> dict[str, list[str]]:
    """Return checks for each fault that find every fault once, and with every check a fault."""
    chosen: dict[str, list[str]] = {}
    met: set[str] = set()
    for mutant in MUTANTS:
        new = [name for name in mutant.caught_by if name not in met]
        chosen[mutant.name] = new or list(mutant.caught_by[:1])
        met.update(new)
    return chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_every_fault_is_found_and_every_check_finds_one(family: str) -> None:
    chosen = few()
    silent = {mutant.name: selftest.silent_checks(mutant, chosen[mutant.name]) for mutant in MUTANTS if mutant.family == family}
    assert {name: checks for name, checks in silent.items() if checks} == {}


def test_every_check_is_named_by_a_fault() -> None:
    assert {name for mutant in MUTANTS for name in mutant.caught_by} == CHECKS.keys()


@pytest.mark.parametrize("backend", NULL_BACKENDS, ids=lambda backend: backend.name)
def test_a_null_backend_is_never_ok(backend: Right) -> None:
    report = check(backend, only=FEW.get(backend.name), stop_on_failure=True, shrink=False, limit=selftest.LIMIT)
    assert report.results
    assert not report.ok


@pytest.mark.nightly
@pytest.mark.parametrize("backend", LOOKUP_VARIANTS, ids=lambda backend: backend.name)
def test_a_right_variant_never_fails(backend: Right) -> None:
    assert selftest.failing_variants([backend]) == []


@pytest.mark.parametrize(("number", "backend"), list(enumerate(LOOKUP_VARIANTS)), ids=lambda each: getattr(each, "name", None))
def test_a_right_variant_passes_its_share_of_the_checks(number: int, backend: Right) -> None:
    """
    Run every fourth check on those that round or add in another way, on the others every 16th.

    Each begins with another check than its neighbour, so that together they run every check.
    """
    step = 4 if type(backend).__module__ == orders.__name__ else 16
    assert selftest.failing_variants([backend], list(CHECKS.values())[number % step :: step]) == []


class Harmless(Mutant):
    """Nothing is wrong."""

    caught_by = ("hash.padding",)


def test_a_fault_that_is_none_survives_and_an_idle_check_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "MUTANTS", (Harmless(),))
    monkeypatch.setattr(selftest, "CHECKS", {"hash.padding": CHECKS["hash.padding"]})
    monkeypatch.setattr(selftest, "NULL_BACKENDS", (Right(),))
    monkeypatch.setattr(selftest, "check", lambda backend, **how: check(backend, only="hash.padding"))
    monkeypatch.setattr(selftest, "failing_variants", lambda: [])
    result = selftest.selftest()
    assert not result.ok
    assert result.idle == ["hash.padding"]
    assert result.nulls == [Right().name]
    assert "survives: harmless: Nothing is wrong." in str(result)
    assert "| harmless | Nothing is wrong. | synthetic | survives |" in result.to_markdown()


def test_a_wrong_variant_is_named() -> None:
    wrong = next(mutant for mutant in MUTANTS if mutant.name == "gradient-negated")
    failures = selftest.failing_variants([wrong])
    assert any(text.startswith("gradient-negated: embedding.backward: ") for text in failures)


def test_the_committed_matrix_names_the_catalogue() -> None:
    rows = [line.split(" | ") for line in MATRIX.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    assert [row[0].removeprefix("| ") for row in rows] == [mutant.name for mutant in MUTANTS]
    killers = {name.strip("` |") for row in rows for name in row[4].split(", ")}
    assert killers == set(CHECKS)
