"""`npbloom verify`: exit status, streams, files, and one line for every error."""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import subprocess
import sys
import termios

import pytest

from npbloom.cli import _oracle
from npbloom.conformance.checks.registry import CHECKS

MINE = '''
import os
import numpy as np
from npbloom.conformance import Backend, Unsupported
from npbloom.conformance.expected.lookup import hash_rows

class Right(Backend):
    name, version = "right", "1.0"
    def run(self, case):
        if case.op != "hash":
            raise Unsupported("hashes only")
        return hash_rows(case)

class Wrong(Right):
    name = "wrong"
    def run(self, case):
        os.write(1, b"noise")
        return {"rows": super().run(case)["rows"] % 5}

class Seeded(Right):
    """Right for some seeds of a run only."""
    def run(self, case):
        if len(case.ids) == 7 and case.num_rows > 3:
            raise ValueError("seven")
        return super().run(case)

class Needs(Right):
    def __init__(self, path):
        self.path = path

class Claims(Right):
    profile = {"float31": {"forward": "float32", "backward": "float32"}}

backend = Right()
number = 3

class Outer:
    Inner = Right
'''


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Change to a directory with a user's modules, and yield it."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("import numpy\nraise RuntimeError('two\\nlines')\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "lacking.py").write_text("import there_is_no_such_module\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "broken", "syntax", "lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


# ---- verify -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["mine:Right", "mine:backend", "mine:Outer.Inner"])
def test_a_right_backend_is_ok(run, backend):
    done = run("verify", backend, "--only", "hash.*")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("right 1.0: fast profile, seed 0\n")
    assert "\nok: 4 passed; " in done.out


def test_a_wrong_backend_is_not(run):
    done = run("verify", "mine:Wrong", "--only", "hash.rows,hash.seeds", "--seed", "3", "--profile", "fast")
    assert done.status == 1
    assert done.out.startswith("wrong 1.0: fast profile, seed 3\n")
    assert "NOT OK, nothing passed: 2 failed" in done.out
    assert "from mine import Wrong" in done.out
    assert "noise" not in done.out


def test_a_backend_that_declines_everything_is_not_ok(run):
    done = run("verify", "mine:Right", "--only", "bag.max_tie")
    assert done.status == 1
    assert "NOT OK, nothing passed: 1 declined" in done.out


def test_the_seed_and_the_profile_count(run):
    cases = {}
    for words in ((), ("--seed", "1"), ("--profile", "full")):
        done = run("verify", "mine:Seeded", "--only", "hash.rows", "--json", "-", *words)
        report = json.loads(done.out)
        cases[words] = (report["results"][0]["examples"], report["results"][0]["snippet"])
    assert len(set(cases.values())) == 3


def test_the_report_as_json(run, here):
    done = run("verify", "mine:Wrong", "--only", "hash.rows", "--json", "out.json")
    found = json.loads((here / "out.json").read_text())
    assert done.status == 1
    assert found["ok"] is False
    assert found["results"][0]["message"] in done.out
    done = run("verify", "mine:Right", "--only", "hash.rows", "--json", "-")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["ok"] is True


@pytest.mark.parametrize(
    "text",
    [
        "# known\n\nhash.rows tracker#7 is open\n  hash.seeds: and so is this\n",
        '{"hash.rows": "tracker#7 is open", "hash.seeds": "and so is this"}',
    ],
)
def test_expected_failures_from_a_file(run, here, text):
    (here / "xfails").write_text(text)
    done = run("verify", "mine:Wrong", "--only", "hash.rows,hash.seeds", "--xfails", "xfails")
    assert done.status == 1  # nothing passed
    assert "expected: tracker#7 is open; id 0" in done.out
    assert "expected: and so is this; id" in done.out
    done = run("verify", "mine:Right", "--only", "hash.*", "--xfails", "xfails")
    assert done.status == 1
    assert "expected: tracker#7 is open, but it passed" in done.out


def test_an_expected_failure_without_a_reason_names_its_file(run, here):
    (here / "xfails").write_text("hash.rows\n")
    assert "expected: stands in xfails; id" in run("verify", "mine:Wrong", "--only", "hash.rows", "--xfails", "xfails").out


def test_the_list_names_every_check(run):
    done = run("verify", "--list")
    assert done.status == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines.keys() == CHECKS.keys()
    for name, check in CHECKS.items():
        assert check.law in lines[name]
        assert lines[name].endswith(check.sentence)
    assert [line.split()[0] for line in run("verify", "--list", "--only", "hash.r*").out.splitlines()] == ["hash.rows"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "verify needs a backend, MODULE:BACKEND"),
        (["mine"], "mine: must be MODULE:BACKEND"),
        ([":Right"], ":Right: must be MODULE:BACKEND"),
        (["mine:"], "mine:: must be MODULE:BACKEND"),
        (["nowhere.at.all:Right"], "there is no module nowhere.at.all"),
        (["mine.deeper:Right"], "there is no module mine.deeper"),
        (["mine.py:Right"], "there is no module mine.py; did you mean mine?"),
        (["mine:Left"], "mine:Left: module 'mine' has no attribute 'Left'"),
        (["mine:Outer.Left"], "mine:Outer.Left: type object 'Outer' has no attribute 'Left'"),
        (["mine:number"], "mine:number: int is no Backend of npbloom.conformance"),
        (["mine:Outer"], "mine:Outer: Outer is no Backend of npbloom.conformance"),
        (["mine:np"], "mine:np: module is no Backend of npbloom.conformance"),
        (["mine:Needs"], "mine:Needs: could not be made: TypeError: Needs.__init__() missing 1 required"),
        (["mine:Claims"], "mine:Claims: `profile` must name accumulators of"),
        (["broken:Right"], "broken cannot be imported: RuntimeError: two lines"),
        (["syntax:Right"], "syntax cannot be imported: SyntaxError:"),
        (["lacking:Right"], "lacking needs the module there_is_no_such_module, which is not installed"),
        (["npbloom.conformance.backends:Nope"], "npbloom.conformance.backends:Nope: There is no adapter 'Nope'"),
        (["mine:Right", "--only", "bags.*"], "--only: `only` must match at least one check, not 'bags.*'"),
        (["--list", "--only", "bags.*"], "--only: `only` must match at least one check, not 'bags.*'"),
        (["mine:Right", "--xfails", "none"], "none: no such file or directory"),
        (["mine:Right", "--xfails", "."], ".: is a directory"),
        (["mine:Right", "--xfails", "bad1"], "bad1: there is no check named 'hash.row'"),
        (["mine:Right", "--xfails", "bad2"], "bad2: hash.rows stands there twice"),
        (["mine:Right", "--xfails", "bad3"], "bad3: Expecting"),
        (["mine:Right", "--xfails", "bad4"], "bad4: the reason of 'hash.rows' must be a text, not 3"),
        (["mine:Right", "--xfails", "bad5"], "bad5: 'utf-8' codec can't decode"),
        (["mine:Right", "--json", "no/where.json"], "--json no/where.json: cannot write to the folder no"),
        (["mine:Right", "--seed", "-1"], "must be a whole number of at least 0, not '-1'"),
        (["mine:Right", "--profile", "slow"], "invalid choice: 'slow'"),
        (["mine:Right", "--list"], "--list takes no backend, not mine:Right"),
        (["--selftest"], "unrecognized arguments: --selftest"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(run, here, words, sentence):
    (here / "bad1").write_text("hash.row typo\n")
    (here / "bad2").write_text("hash.rows one\nhash.rows two\n")
    (here / "bad3").write_text("{")
    (here / "bad4").write_text('{"hash.rows": 3}')
    (here / "bad5").write_bytes(b"\xff\xfe")
    done = run("verify", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("npbloom")
    assert sentence in done.err


def test_without_hypothesis_there_is_a_sentence(run, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "hypothesis" else found(name))
    for words in (["verify", "mine:Right"], ["verify", "--list"], ["vectors", "check"]):
        done = run(*words)
        assert done.status == 2
        assert done.err == (
            'npbloom: error: the conformance kit needs Hypothesis: python -m pip install "npbloom[conformance]"\n'
        )


def test_other_commands_do_not_need_hypothesis():
    run = "from npbloom.cli import main; sys.exit(main(['verify', 'a:b', '--list']))"
    code = f"import sys; sys.modules['hypothesis'] = None; {run}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "npbloom: error: --list takes no backend, not a:b\n")


def test_progress_is_for_terminals_and_leaves_failures_standing(here):
    words = [sys.executable, "-m", "npbloom", "verify", "mine:Wrong", "--only", "hash.rows,hash.padding,bag.max_tie"]
    quiet = subprocess.run(words, capture_output=True, text=True, check=False)
    assert quiet.returncode == 1
    assert "/3]" not in quiet.stderr
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=end, check=False)
    os.close(end)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert b"[1/3]" not in done.stdout
    assert "\r\x1b[K[0/3] bag.max_tie" in shown
    assert "\r\x1b[Kfailed        hash.rows\r\n[2/3] hash.padding" in shown
    assert shown.endswith("\r\x1b[K")


def test_an_interrupt_ends_with_130(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("npbloom.conformance.check", interrupted)
    assert run("verify", "mine:Right").status == 130


def test_the_current_directory_is_searched_once(here):
    before = sys.path.count(str(here))
    _oracle._module("mine")
    _oracle._module("mine")
    assert sys.path.count(str(here)) == max(before, 1)
