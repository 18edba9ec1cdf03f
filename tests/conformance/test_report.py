"""Tests of reports: text for a terminal, data for a program, and snippets that run when pasted."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from npbloom.conformance import Backend, Case, CheckResult, Report, Unsupported, check
from npbloom.conformance.checks.registry import CHECKS
from npbloom.conformance.report.report import STATUSES, WRONG
from npbloom.conformance.report.snippet import snippet_of

MODULE = '''
import numpy as np
from npbloom.conformance import Backend, Unsupported

class LastWins(Backend):
    """The last occurrence of an id overwrites the others."""
    name, version, in_process = "last-wins", "1.2", True
    def run(self, case):
        if case.op != "embedding" or case.max_norm is not None or case.scale_grad_by_freq or case.padding_idx is not None:
            raise Unsupported("plain lookups only")
        grad = np.zeros_like(case.weight)
        grad[case.ids] = case.grad_out
        return {"out": case.weight[case.ids], "grad_weight": grad}

class Outer:
    class Inner(LastWins):
        name = "inner"
'''


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    """Yield the importable module of a wrong backend, and its folder."""
    (tmp_path / "lastwins.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lastwins", raising=False)
    import lastwins

    yield lastwins, tmp_path
    sys.modules.pop("lastwins", None)


def pasted(snippet: str, folder) -> subprocess.CompletedProcess[str]:
    """Run a snippet in the folder of the backend's module and return the finished process."""
    return subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False, cwd=folder)


def test_the_snippet_runs_when_pasted_and_shows_the_failure(wrong):
    module, folder = wrong
    (result,) = check(module.LastWins(), only="embedding.backward").results
    assert result.status == "failed"
    done = pasted(result.snippet, folder)
    assert done.returncode == 0, done.stderr
    namespace: dict[str, object] = {}
    exec(result.snippet.replace("print(", "answer = ("), namespace)
    case, answer = namespace["case"], namespace["answer"]
    assert isinstance(case, Case)
    row, column = (int(part) for part in result.message.partition("[")[2].partition("]")[0].split(", "))
    assert f"is {answer['grad_weight'][row, column].item()!r}, expected" in result.message
    assert case.ids.size == 2  # the smallest failure possible
    assert case.ids[0] == case.ids[1]
    assert result.snippet.splitlines()[-1].startswith("# ")


def test_snippets_of_inner_classes_and_of_sessions_run(wrong):
    module, folder = wrong
    case = Case("embedding", weight=np.eye(2), ids=np.array([1]), grad_out=np.ones((1, 2)))
    done = pasted(snippet_of(module.Outer.Inner(), case), folder)
    assert "from lastwins import Outer\n" in snippet_of(module.Outer.Inner(), case)
    assert done.stdout.startswith("{'out': array([[0., 1.]])"), done.stderr
    step = Case("sgd", rows=np.array([0]), values=np.ones((1, 2)))
    snippet = snippet_of(module.LastWins(), Case("sgd", weight=np.eye(2), options={"lr": 1.0}), (step, step))
    assert snippet.count("session.step(") == 2
    assert "plain lookups only" in pasted(snippet, folder).stderr


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.1, -0.0, np.inf, -np.inf, np.nan, 1e-45]], dtype=np.float32),
        np.array([0x7FC00123, 0xFFC00000], dtype=np.uint32).view(np.float32),
        np.array([1e-310, 5e-324, 2.0**1023]),
        np.array([[1.5, -2.0]], dtype=np.float16),
        np.zeros((0, 3, 2), dtype=np.int64),
        np.array(3),
        np.arange(-2000, 3000),
        np.random.default_rng(0).standard_normal((400, 3)),
    ],
)
def test_a_case_in_a_snippet_is_the_same_to_the_bit(wrong, array):
    module, _ = wrong
    namespace: dict[str, object] = {}
    case = Case("adam", "float16", weight=array, state={"a": array, "b": array}, options={"betas": (0.9, 0.999), "eps": np.inf})
    exec(snippet_of(module.LastWins(), case).partition("print(")[0], namespace)
    again = namespace["case"]
    for left, right in zip(again.arrays().values(), case.arrays().values(), strict=True):
        assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
        assert left.flags.writeable
    assert again.options == case.options
    assert (again.op, again.dtype) == ("adam", "float16")


def test_long_fields_are_broken_and_packed_ones_are_not(wrong):
    module, _ = wrong
    case = Case("embedding", weight=np.arange(60.0).reshape(30, 2), ids=np.zeros(5000, dtype=np.int64))
    lines = snippet_of(module.LastWins(), case, message="word " * 40).splitlines()
    assert [line for line in lines if len(line) > 80] == [line for line in lines if line.startswith("    ids=")]
    assert lines[-1].startswith("# word")


def test_a_class_that_cannot_be_imported_is_said():
    class Local(Backend):
        pass

    case = Case("hash", ids=np.arange(2), num_rows=3, seeds=(1,))
    assert "# test_a_class_that_cannot_be_imported_is_said.<locals>.Local is your backend: paste this where it is" in snippet_of(
        Local(), case
    )
    assert snippet_of(Local(), None) == ""


def test_a_script_imports_from_its_file(tmp_path):
    """Run as a program a backend that checks itself."""
    code = MODULE + "\nif __name__ == '__main__':\n    from npbloom.conformance import check\n"
    code += "    print(check(LastWins(), only='embedding.backward').results[0].snippet)\n"
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "from script import LastWins" in done.stdout
    again = pasted(done.stdout, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "grad_weight" in again.stdout


# ---- the table -----------------------------------------------------------------------------------


def result(status: str, name: str = "bag.sum", **more) -> CheckResult:
    stages = "exhaustive, exact, fingerprint, thresholds, bounded"
    return CheckResult(
        name, status, 353, 2, **{"stage": stages, "seconds": 1.5, "law": "L13", "sentence": "Bags add up.", **more}
    )


def report(*results: CheckResult) -> Report:
    return Report("mine", "2.0", "fast", 7, list(results))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "a reason that is quite a bit longer than a line of a terminal can be, as reasons are; " * 3
    many = [result(status, message=words, name="embedding.scale_grad_by_freq") for status in STATUSES]
    many += [result("passed", name="bag.precision", elements=400, elements_blind=30)]
    lines = str(report(*many)).splitlines()
    assert max(map(len, lines)) <= max(columns, 78)
    if columns == 120:
        assert "exhaustive, exact, fingerprint, thresholds, bounded" in lines[2]
    else:
        assert "5 stages" in lines[2]
    assert "30 of 400 elements were blind" in "\n".join(lines)


def test_a_failure_says_what_is_asserted_what_is_wrong_and_how_to_see_it():
    snippet = "import numpy as np\ncase = Case()\nprint(Mine().run(case))\n# `out[0]` is 1.0, expected 2.0\n"
    failed = result("failed", message="`out[0]` is 1.0, expected 2.0", stage="exact", snippet=snippet)
    text = str(report(result("passed", name="bag.mean"), failed))
    assert text.startswith("mine 2.0: fast profile, seed 7\n\n  passed        bag.mean    353 cases   1.50 s  5 stages\n")
    below = text.partition("--- bag.sum: failed -")[2].splitlines()
    assert below[1:4] == ["Bags add up. (L13)", "`out[0]` is 1.0, expected 2.0", ""]
    assert below[4:7] == snippet.splitlines()[:3]
    assert text.count("is 1.0, expected 2.0") == 1
    assert text.endswith("\n\nNOT OK: 1 passed, 1 failed; 706 cases in 3.0 s")


def test_a_program_too_long_for_a_terminal_is_left_to_json():
    failed = result("failed", message="wrong", snippet="case = Case()\n" + "x" * 5000)
    text = str(report(failed))
    assert "xxx" not in text
    assert "(The program that shows it has 5,014 characters: it is in the JSON report.)" in text
    assert json.loads(report(failed).to_json())["results"][0]["snippet"] == failed.snippet


@pytest.mark.parametrize("status", STATUSES)
def test_ok_needs_a_pass_and_nothing_wrong(status):
    with_pass = report(result("passed"), result(status))
    assert with_pass.ok == (status in ("passed", "xfailed", "declined"))
    assert with_pass.ok == (status not in WRONG)
    assert report(result(status)).ok == (status == "passed")
    assert str(with_pass).splitlines()[-1].startswith("ok: " if with_pass.ok else "NOT OK: ")
    assert (f"--- bag.sum: {status}" in str(with_pass)) == (status in WRONG)
    if status != "passed":
        assert str(report(result(status))).splitlines()[-1].startswith("NOT OK, nothing passed: ")


def test_json_holds_everything():
    found = json.loads(report(result("xfailed", message="expected: known; wrong")).to_json())
    assert found["ok"] is False
    assert (found["backend"], found["version"], found["profile"], found["seed"]) == ("mine", "2.0", "fast", 7)
    (entry,) = found["results"]
    assert entry["name"] == "bag.sum"
    assert entry["status"] == "xfailed"
    assert entry["law"] == "L13"
    assert entry["examples"] == 353
    assert entry["stage"].startswith("exhaustive, ")
    assert entry["lane"] == entry["stage"]  # the former name of `stage`


def test_results_carry_what_their_check_asserts():
    class Silent(Backend):
        in_process = True

        def run(self, case):
            raise Unsupported("nothing")

    for each in check(Silent(), only="hash.*,bag.max_tie").results:
        assert each.law == CHECKS[each.name].law
        assert each.sentence == CHECKS[each.name].sentence
    assert str(report()).endswith("NOT OK, nothing passed: no checks; 0 cases in 0.0 s")
