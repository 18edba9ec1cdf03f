"""
Tests of documents: the programs in docs/findings.md and the adapter in docs/oracle.md.

The programs print the text below them. The adapter fails as the document says.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
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


@pytest.mark.parametrize(("program", "printed"), programs())
def test_a_finding_is_as_it_says(program: str, printed: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if printed.startswith("Segmentation fault"):
        assert ended.returncode < 0
    else:
        assert ended.stdout == printed, ended.stderr[-2000:]


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
