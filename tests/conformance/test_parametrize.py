"""Tests of the kit as a pytest suite: passed, failed, skipped and expected failures."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from npbloom.conformance import Backend, CheckResult, Report, parametrize
from npbloom.conformance.checks.registry import selected

BACKENDS = """
import numpy as np
from npbloom.conformance import Backend, Unsupported, parametrize
from npbloom.conformance.expected.lookup import hash_rows

class Right(Backend):
    name = "right"
    in_process = True
    def run(self, case):
        if case.op != "hash" or case.padding_idx is not None:
            raise Unsupported("only hashes without padding")
        return hash_rows(case)

class Unsigned(Right):
    name = "unsigned"
    def run(self, case):
        if max(case.seeds) > 2**31:
            raise Unsupported("no large seeds")
        return {"rows": np.abs(super().run(case)["rows"] - 1)}

class Silent(Right):
    name = "silent"
    def run(self, case):
        super().run(case)
        return {}

class Nothing(Backend):
    name = "nothing"
    in_process = True
    def run(self, case):
        raise Unsupported("not written yet")
"""


@pytest.fixture
def suite(tmp_path):
    """
    Return a function that runs a test file in its own process.

    It returns the outcome of each test and pytest's output.
    """

    def run(decorator: str, *options: str) -> tuple[dict[str, str], str]:
        path = tmp_path / "test_mine.py"
        path.write_text(f"{BACKENDS}\n@{decorator}\ndef test_conformance(check):\n    check()\n")
        words = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--color=no", *options, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        outcomes = {}
        for line in done.stdout.partition("short test summary info")[2].splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "XFAIL", "ERROR"):
                outcomes[rest.partition("[")[2].partition("]")[0]] = word
        return outcomes, done.stdout

    return run


def test_one_test_a_check_and_backend(suite):
    outcomes, text = suite('parametrize([Right(), Unsigned()], only="hash.*")')
    assert outcomes == {
        "right-hash.rows": "PASSED",
        "right-hash.negative_ids": "PASSED",
        "right-hash.seeds": "PASSED",
        "unsigned-hash.rows": "FAILED",
        "unsigned-hash.negative_ids": "FAILED",
    }
    assert "3 skipped" in text
    assert "right hash.padding: only hashes without padding" in text
    assert "no large seeds" in text
    assert "unsigned hash.rows: failed: id 0, probe 0 (seed 179424941)" in text
    assert "from test_mine import Unsigned" in text
    assert "case = Case(" in text
    assert "pytest.fail(" not in text  # no traceback of the kit


def test_expected_failures(suite):
    expected = {
        "hash.rows": "tracker#1",  # for every backend
        "unsigned-hash.negative_ids": "tracker#2",  # for one backend
        "hash.padding": "never asked",  # declined: it neither fails nor passes
    }
    outcomes, text = suite(f'parametrize([Right(), Unsigned()], {expected!r}, only="hash.*")')
    assert outcomes == {
        "right-hash.rows": "FAILED",
        "right-hash.negative_ids": "PASSED",
        "right-hash.seeds": "PASSED",
        "unsigned-hash.rows": "XFAIL",
        "unsigned-hash.negative_ids": "XFAIL",
    }
    assert "right hash.rows: xpassed: expected: tracker#1, but it passed" in text
    assert "expected: tracker#2; id" in text


def test_what_is_not_exercised_fails(suite):
    outcomes, text = suite('parametrize([Silent()], only="hash.rows")')
    assert outcomes == {"silent-hash.rows": "FAILED"}
    assert "not-exercised: no case returned `rows`" in text


def test_a_backend_that_declines_everything_is_not_green(suite):
    outcomes, text = suite('parametrize([Nothing(), Right()], only="hash.*")')
    assert {name: outcome for name, outcome in outcomes.items() if name.startswith("nothing")} == {
        f"nothing-{each.name}": "FAILED" for each in selected("hash.*")
    }
    assert "nothing declines every check: nothing was asked. hash.rows: not written yet" in text
    outcomes, _ = suite('parametrize([Nothing(), Right()], only="hash.*")', "-k", "nothing-hash.rows")
    assert outcomes == {"nothing-hash.rows": "FAILED"}


def test_a_declined_check_alone_is_skipped_where_others_are_answered(suite):
    outcomes, text = suite('parametrize([Right()], only="hash.*")', "-k", "padding")
    assert outcomes == {}
    assert "1 skipped, 3 deselected" in text


def test_seed_and_profile_are_passed_on(monkeypatch):
    class Mine(Backend):
        name = "mine"

    asked = []

    def run(backend, **options):
        asked.append(options)
        return Report("mine", "", "full", 5, [CheckResult("hash.rows", "passed")])

    monkeypatch.setattr("npbloom.conformance._parametrize.run", run)
    parametrize([Mine()], profile="full", seed=5, only="hash.rows").args[1][0].values[0]()
    assert asked == [{"profile": "full", "seed": 5, "only": "hash.rows", "expected_failures": None}]


def test_wrong_use_is_said_at_once():
    class Mine(Backend):
        name = "mine"

    with pytest.raises(TypeError, match=r"`backends` must be Backend objects, not <class"):
        parametrize([Mine])
    with pytest.raises(ValueError, match="`backends` must have names of their own, not 'mine' twice"):
        parametrize([Mine(), Mine()])
    with pytest.raises(ValueError, match=r"There is no check named 'bag\.summ'"):
        parametrize([Mine()], {"bag.summ": "typo"})
    with pytest.raises(ValueError, match=r"There is no check named 'other-bag\.sum'"):
        parametrize([Mine()], {"other-bag.sum": "no such backend"})
    with pytest.raises(ValueError, match="`only` must match at least one check"):
        parametrize([Mine()], only="hash")
    with pytest.raises(ValueError, match="`profile` must be one of"):
        parametrize([Mine()], profile="slow")
    mark = parametrize([Mine()], {"mine-bag.sum": "known"})
    assert [parameter.id for parameter in mark.args[1]] == [f"mine-{each.name}" for each in selected(None)]
    assert repr(mark.args[1][0].values[0]) == f"<check {selected(None)[0].name} of mine>"


def test_importing_the_kit_does_not_import_pytest():
    code = "import sys, npbloom.conformance; assert 'pytest' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
