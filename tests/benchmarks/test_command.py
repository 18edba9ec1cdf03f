"""
The command line: measured benchmarks, written files, refused arguments, and a clean environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import command, environment, machine
from benchmarks.contenders import peers
from benchmarks.report import document
from benchmarks.results import read, write
from benchmarks.topics import BENCHMARKS
from tests.benchmarks import _samples

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def with_fbgemm(monkeypatch):
    """Pretend that FBGEMM is installed. The benchmarks of these tests do not use it."""
    monkeypatch.setattr(peers, "has_fbgemm", lambda: True)


def test_one_benchmark_is_measured_and_written(with_fbgemm, tmp_path, capsys):
    arguments = ["--quick", "--only", "hashing", "--rounds", "2", "--threads", "1,2,1", "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    (result,) = read(tmp_path).values()
    assert result.benchmark == "hashing"
    assert result.values("threads") == [1, 2]
    assert {len(values) for case in result.cases for values in case.samples.values()} == {2}
    assert result.run["quick"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", result.run["started"])
    assert result.machine == machine.describe()
    assert "scikit-learn" in (tmp_path / "tables.md").read_text("utf-8")
    assert "hashing ... " in capsys.readouterr().out


def test_a_report_measures_nothing(tmp_path, monkeypatch):
    write(_samples.memory(), tmp_path)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    readme = document.README.read_bytes()
    assert command.main(["--report", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"memory.json", "memory.png", "tables.md"}
    assert document.README.read_bytes() == readme


def test_the_readme_is_filled_where_the_results_are_the_committed_ones(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(f"{document.BEGIN}\n{document.END}\n", encoding="utf-8")
    monkeypatch.setattr(document, "README", readme)
    monkeypatch.setattr(document, "RESULTS", tmp_path / "results")
    write(_samples.startup(), tmp_path / "results")
    assert command.main(["--report"]) == 0
    text = readme.read_text("utf-8")
    assert "### Targets" in text
    assert "### Import and first step" in text
    assert tables_agree(text)


def tables_agree(text: str) -> bool:
    """Return True if all lines of each table have as many cells."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    return bool(blocks) and all(len({line.count("|") for line in block.splitlines()}) == 1 for block in blocks)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "speed"], "invalid choice: 'speed'"),
        (["--rounds", "0"], "'0' is not a whole number of at least 1"),
        (["--threads", "2,x"], "'x' is not a whole number of at least 1"),
        (["--quick", "--out", str(document.RESULTS)], "a quick run says nothing about speed"),
    ],
)
def test_wrong_use_is_refused(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_without_fbgemm_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(peers, "has_fbgemm", lambda: False)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(SystemExit) as stopped:
        command.main([])
    assert stopped.value.code == 2
    assert 'pip install -e ".[benchmarks]"' in capsys.readouterr().err


def test_unwanted_variables_go():
    variables = {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_L2_SIZE": "512", "OMP_NUM_THREADS": "1", "HOME": "h"}
    assert environment.remove(variables) == ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS"]
    assert variables == {"HOME": "h"}


@pytest.mark.parametrize("loaded", [True, False])
def test_the_process_begins_again_only_where_numpy_was_loaded(loaded):
    program = f"""
import sys
{"import numpy" if loaded else ""}
from benchmarks import environment
environment.clean(["--only", "nothing"])
import os
print("went on with numpy", "numpy" in sys.modules, os.environ.get("OPENBLAS_CORETYPE"))
"""
    variables = {**os.environ, "OPENBLAS_CORETYPE": "Prescott"}
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if loaded:  # `python -m benchmarks --only nothing` took the process's place
        assert ended.returncode == 2
        assert "invalid choice: 'nothing'" in ended.stderr
    else:
        assert ended.stdout == "went on with numpy False None\n"


def test_the_documented_command_installs_all_peers():
    text = document.README.read_text("utf-8")
    assert 'python -m pip install -e ".[benchmarks]" && python -m benchmarks\n' in text
    for name in BENCHMARKS:
        assert f"`{name}`" in text


def test_the_machine_is_described():
    found = machine.describe()
    assert found["cores"] >= 1
    assert found["processor"]
    assert re.fullmatch(r"\d+ GiB", found["memory"])
    assert {"python", "npbloom", "numpy", "torch"} <= set(found["versions"])
    assert all(re.fullmatch(r"\d+ [KM]iB", size) for size in found["caches"].values())


def test_a_folder_without_commits_has_none(tmp_path):
    assert machine.commit(tmp_path) == ""
