"""`npbloom vectors`: exported files, comparisons and verdicts, and one line for every error."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from npbloom.conformance.runner.wire import as_line, reply_object
from npbloom.conformance.vectors import SETS
from npbloom.conformance.vectors.files import vectors_of
from npbloom.conformance.vectors.vector import answer_of


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Change to a directory that holds one foreign file, and return it."""
    (tmp_path / "mine.py").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_vectors_are_exported_and_checked(run, here):
    done = run("vectors", "export", "out", "--sets", "hash, bloom")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["out/hash.json", "out/bloom.json"]
    done = run("vectors", "check", "out")
    assert (done.status, done.out) == (0, "the files in out are the golden vectors of this npbloom, byte for byte\n")
    path = here / "out" / "hash.json"
    path.write_text(path.read_text().replace("L20", "L21", 1))
    done = run("vectors", "check", "out")
    assert (done.status, done.out) == (1, "hash.json: tcId 1001 differs\n")
    assert run("vectors", "check", "out", "--sets", "bloom").status == 0
    assert run("vectors", "check", "out", "--sets", "bag").out == "bag.json: is missing\n"


def test_without_files_the_digests_are_checked(run):
    done = run("vectors", "check")
    assert (done.status, done.out) == (0, "this platform makes the golden vectors of this npbloom, byte for byte\n")


def test_tensors_are_exported_beside(run, here):
    assert run("vectors", "export", "out", "--sets", "hash", "--safetensors").status == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == ["hash.json", "hash.safetensors"]
    assert run("vectors", "check", "out").status == 0


def test_results_are_judged(run, here):
    run("vectors", "export", "out")
    lines = [
        as_line(reply_object(number, answer_of(vector))) if vector.expect else as_line({"tcId": number, "error": "refused"})
        for name in SETS
        for number, vector in vectors_of(name).items()
    ]
    (here / "results").write_text("\n".join(lines))
    done = run("vectors", "judge", "out", "results")
    assert done.status == 0
    assert done.out.splitlines()[0].split() == ["set", "passed", "failed", "acceptable", "partial", "unsupported", "unanswered"]
    assert done.out.endswith("\nok\n")
    (here / "results").write_text("\n".join([*lines[:-1], as_line({"tcId": 1001, "error": ""})][1:]))
    done = run("vectors", "judge", "out", "results", "--json")
    found = json.loads(done.out)
    assert (done.status, found["ok"]) == (1, False)
    assert found["results"][0]["status"] == "failed"


def test_results_come_from_a_pipe(here):
    export = [sys.executable, "-m", "npbloom", "vectors", "export", "out", "--sets", "hash"]
    subprocess.run(export, check=True, capture_output=True)
    answers = "".join(as_line(reply_object(number, answer_of(vector))) + "\n" for number, vector in vectors_of("hash").items())
    words = [sys.executable, "-m", "npbloom", "vectors", "judge", "out", "-"]
    done = subprocess.run(words, input=answers, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("ok\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "out", "--sets", "bags"], "out: There is no set 'bags'; there are hash, lookup"),
        (["export", "mine.py"], "mine.py: file exists"),
        (["check", "out"], "out: no such directory"),
        (["check", "."], ".: no golden vectors in this directory"),
        (["check", "--sets", "bags"], "--sets: There is no set 'bags'"),
        (["judge", "out", "none"], "none: no such file or directory"),
        (["judge", "out", "mine.py"], "out: no such directory"),
        (["judge", "good", "mine.py"], "Line 1 of the results is no JSON"),
        (["judge", "good"], "the following arguments are required: RESULTS"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_use_of_vectors_is_one_line_and_status_2(run, words, sentence):
    if "good" in words:
        run("vectors", "export", "good", "--sets", "hash")
    done = run("vectors", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert sentence in done.err
