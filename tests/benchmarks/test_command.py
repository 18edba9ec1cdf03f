"""
The command line: measured benchmarks, written files, refused arguments, and a clean environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import command, environment, huge_pages, machine
from benchmarks.contenders import peers
from benchmarks.report import document
from benchmarks.results import read, read_machines, write
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
    folder = tmp_path / machine.folder_name(machine.describe())
    (result,) = read(folder).values()
    assert result.benchmark == "hashing"
    assert result.values("threads") == [1, 2]
    assert {len(values) for case in result.cases for values in case.samples.values()} == {2}
    assert result.run["quick"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", result.run["started"])
    assert result.machine == machine.describe()
    if huge_pages.ROLLUP.exists():
        assert set(result.pages) == set(huge_pages.FIELDS)
        assert 0 < result.pages["Anonymous"][0] <= result.pages["Anonymous"][1]
    assert "scikit-learn" in (folder / "tables.md").read_text("utf-8")
    assert "hashing ... " in capsys.readouterr().out


def test_a_report_measures_nothing(tmp_path, monkeypatch):
    for name in ("one", "two"):
        write(_samples.memory(), tmp_path / name)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    pages = [path.read_bytes() for path in (document.README, document.DETAILS)]
    assert command.main(["--report", "--out", str(tmp_path)]) == 0
    for name in ("one", "two"):
        assert {path.name for path in (tmp_path / name).iterdir()} == {"memory.json", "memory.png", "tables.md"}
    assert [path.read_bytes() for path in (document.README, document.DETAILS)] == pages


def test_a_second_machine_leaves_the_first_alone(with_fbgemm, tmp_path):
    arguments = ["--quick", "--only", "hashing", "--rounds", "1", "--threads", "1", "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    first = machine.folder_name(machine.describe())
    before = (tmp_path / first / "hashing.json").read_bytes()
    assert command.main([*arguments, "--machine", "another"]) == 0
    assert set(read_machines(tmp_path)) == {first, "another"}
    assert (tmp_path / first / "hashing.json").read_bytes() == before


def test_both_pages_are_filled_where_the_results_are_the_committed_ones(tmp_path, monkeypatch):
    for name in ("README", "DETAILS"):
        monkeypatch.setattr(document, name, tmp_path / f"{name}.md")
        (tmp_path / f"{name}.md").write_text(f"{document.BEGIN}\n{document.END}\n", encoding="utf-8")
    monkeypatch.setattr(document, "RESULTS", tmp_path / "results")
    write(_samples.startup(), tmp_path / "results" / "one")
    assert command.main(["--report"]) == 0
    readme, details = ((tmp_path / f"{name}.md").read_text("utf-8") for name in ("README", "DETAILS"))
    assert "| first step after the installation | 16.0 s |" in readme
    assert "### Targets" in details
    assert "### Import and first step" in details
    assert tables_agree(readme)
    assert tables_agree(details)


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
        (["--machine", "../up"], "'../up' is not made of lower-case letters"),
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


NARROWED = """
import json, os
from benchmarks import environment
environment.clean(["--avx2"])
from benchmarks import machine
import npbloom as nb
nb.BloomEmbedding(100, 8, rng=0).forward([1, 2])
print(json.dumps([machine.describe()["instructions"], os.environ["NUMBA_CACHE_DIR"]]))
"""


@pytest.mark.skipif("avx2" not in machine.processor_sets(), reason="the processor has no AVX2")
def test_avx2_is_told_to_all(tmp_path):
    variables = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "NUMBA_CPU_NAME": "generic"}
    ended = subprocess.run([sys.executable, "-c", NARROWED], cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    found, cache = json.loads(ended.stdout)
    assert found["set"] == "avx2"
    assert found["narrowed"] is ("avx512" in machine.processor_sets())
    assert (found["torch"], found["fbgemm"]) == ("AVX2", "AVX2")
    assert cache == str(environment.NARROW_CACHE)


def test_avx2_that_came_too_late_is_refused(with_fbgemm, monkeypatch, capsys):
    monkeypatch.setattr(machine, "describe", _samples.machine)
    with pytest.raises(SystemExit):
        command.main(["--avx2", "--quick"])
    assert "--avx2 had no effect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        ("AMD EPYC (family 26, model 2)", "amd-epyc-family26-model2-avx512"),
        ("AMD EPYC 7R13 Processor (family 25, model 1)", "amd-epyc-7r13-family25-model1-avx512"),
        (
            "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz (family 6, model 85)",
            "intel-xeon-platinum-8259cl-family6-model85-avx512",
        ),
        ("arm64", "arm64-avx512"),
    ],
)
def test_the_folder_of_a_machine(processor, name):
    assert machine.folder_name({**_samples.machine(), "processor": processor}) == name


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
    for document_ in (document.README, document.DETAILS):
        assert 'python -m pip install -e ".[benchmarks]" && python -m benchmarks\n' in document_.read_text("utf-8")
    text = document.DETAILS.read_text("utf-8")
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
