"""
Tests of documents: the programs in docs/findings.md and the adapter in docs/oracle.md.

The programs print the text below them. The adapter fails as the document says.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from npbloom.conformance import backends, check
from npbloom.conformance.cases.backend import POLICIES
from npbloom.conformance.checks.registry import CHECKS
from npbloom.conformance.report.report import STATUSES

DOCS = Path(__file__).parents[2] / "docs"
FINDINGS, ORACLE = ((DOCS / name).read_text(encoding="utf-8") for name in ("findings.md", "oracle.md"))
BLOCKS = r"^```python\n(.*?)^```\n^```text\n(.*?)^```"
PROGRAMS = [
    (section.partition("\n")[0], *blocks)
    for section in re.split(r"^#{2,3} ", FINDINGS, flags=re.MULTILINE)
    for blocks in re.findall(BLOCKS, section, re.DOTALL | re.MULTILINE)
]
FORKS = """
import json, os, sys, tempfile
import numpy, torch
for line in sys.stdin:
    with tempfile.TemporaryFile("w+") as out:
        if not (child := os.fork()):
            os.dup2(out.fileno(), 1)
            try:
                exec(json.loads(line), {"__name__": "__main__"})
                sys.stdout.flush()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        print(json.dumps([status, out.read()]), flush=True)
"""
PEERS = ("fbgemm_gpu", "jax", "thinc")


def programs() -> list[Any]:
    """Return each program with its output and the marks of its packages."""
    found = []
    for title, program, printed in PROGRAMS:
        marks = []
        for package in PEERS:
            if f"import {package}" in program or f"from {package}" in program:
                missing = importlib.util.find_spec(package) is None
                marks = [pytest.mark.peers, pytest.mark.skipif(missing, reason=f"{package} is not installed (extra `peers`)")]
        found.append(pytest.param(program, printed, id=title, marks=marks))
    return found


@pytest.fixture(scope="module")
def forked() -> Iterator[Callable[[str], tuple[int, str]]]:
    """
    Return a function that runs a program in a process of its own, with torch already imported.

    The import takes most of a program's time. Each program runs in a fork of one process.
    """
    words = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", FORKS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(program: str) -> tuple[int, str]:
            process.stdin.write(json.dumps(program) + "\n")
            process.stdin.flush()
            status, printed = json.loads(process.stdout.readline())
            return status, printed

        yield run
        process.stdin.close()


@pytest.mark.parametrize(("program", "printed"), programs())
def test_a_finding_is_as_it_says(program: str, printed: str, forked: Callable[[str], tuple[int, str]]) -> None:
    status, text = forked(program)
    if printed.startswith("Segmentation fault"):
        assert status < 0
    else:
        assert text == printed


def test_every_finding_is_a_program() -> None:
    assert len(PROGRAMS) >= 10
    assert FINDINGS.count("```python") == len(PROGRAMS)


def test_known_faults_and_checks_are_named_as_they_are() -> None:
    faults = {**backends.TorchCPU.known_faults, **backends.TorchSparseAdam(convert_eps=False).known_faults}
    assert all(f"`{name}`" in FINDINGS for name in faults)
    operations = "|".join({each.op for each in CHECKS.values()})
    named = {name for text in (FINDINGS, ORACLE) for name in re.findall(rf"`((?:{operations})\.[a-z_]+)`", text)}
    assert len(named) > 12
    assert named <= CHECKS.keys()


def test_the_adapter_in_ten_lines_fails_as_it_says() -> None:
    program, _, report = re.findall(r"^```(?:python|sh|text)\n(.*?)^```", ORACLE, re.DOTALL | re.MULTILINE)[:3]
    namespace: dict[str, Any] = {"__name__": "mine"}
    exec(program, namespace)
    gather = namespace["Gather"]
    found = check(gather(), only="embedding.*")
    for result in found.results:
        line = re.search(rf"^  (\S+) +{re.escape(result.name)} ", report, re.MULTILINE)
        if line:
            assert line[1] == result.status
    backward = next(result for result in found.results if result.name == "embedding.backward")
    assert backward.message in " ".join(report.split())
    assert "\n".join(line for line in backward.snippet.splitlines() if not line.startswith("#")) in report
    assert str(found).splitlines()[-1].partition(";")[0] in report


def test_policies_and_statuses_are_all_there() -> None:
    for name, values in POLICIES.items():
        assert f"| `{name}` | {', '.join(f'`{value}`' for value in values)} |" in ORACLE
    assert all(f"`{status}`" in ORACLE for status in STATUSES)
