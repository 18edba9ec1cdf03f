"""
Tests of the example in C with golden vectors and through `CommandBackend`.

The example passes as it is, and fails with a seeded fault.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from npbloom.conformance import CommandBackend, check
from npbloom.conformance.vectors import export, judge

SOURCE = Path(__file__).parents[2] / "examples" / "c" / "bloom_runner.c"
COMPILER = shutil.which(os.environ.get("CC", "cc"))
WIDE = {dtype: {"forward": "float64", "backward": "float64"} for dtype in ("float32", "float64")}

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler: neither $CC nor cc")


def compiled(folder: Path, source: str, name: str = "bloom_runner") -> str:
    """Compile a C source and return the path of the program."""
    path, program = folder / f"{name}.c", folder / name
    path.write_text(source)
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([COMPILER, *flags, "-o", str(program), str(path)], check=True)
    return str(program)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Return the path of the compiled example."""
    return compiled(tmp_path_factory.mktemp("c"), SOURCE.read_text())


@needs_compiler
def test_the_example_passes_every_check_it_offers(example):
    with CommandBackend(example, profile=WIDE) as backend:
        report = check(backend, only="hash.*,bloom.*,bag.max_tie,sgd.*")
    assert report.ok, str(report)
    passed = {result.name for result in report.results if result.status == "passed"}
    assert {"bloom.forward", "bloom.backward", "bloom.padding", "bloom.share_padding_row", "bloom.out_of_bounds"} <= passed
    assert {"hash.rows", "hash.negative_ids", "hash.seeds", "hash.padding"} <= passed
    assert all(result.status in ("passed", "declined") for result in report.results)


@needs_compiler
def test_the_example_answers_golden_vectors_as_they_are(example, tmp_path):
    """Judge the example's output, a file of results, for an input that is a file of vectors."""
    lines = []
    for path in export(tmp_path, ["hash", "bloom", "errors"]):
        with path.open() as file:
            done = subprocess.run([example], stdin=file, capture_output=True, text=True, check=True)
        lines += done.stdout.splitlines()
    judgement = judge(tmp_path, lines)
    assert judgement.ok, str(judgement)
    counts = judgement.counts()
    assert counts["hash"]["passed"] == counts["hash"].total()
    assert counts["bloom"]["passed"] == counts["bloom"].total() - 2  # 64-bit ids
    assert counts["errors"]["passed"] > 20


# A plausible fault, and the check that must find it.
FAULTS = {
    "unsigned remainder": ("hash < 0x80000000u ? (int64_t)hash : (int64_t)hash - 0x100000000", "hash", "hash.rows"),
    "a remainder that truncates": ("rest < 0 ? rest + height : rest", "rest < 0 ? -rest : rest", "hash.rows"),
    "a seed as a signed number": ("uint32_t h = seed;", "uint32_t h = seed & 0x7FFFFFFFu;", "hash.seeds"),
    "the length is not mixed in": ("h ^= (uint32_t)length;", "(void)length;", "hash.rows"),
    "padding after hashing": ("if (id == layer->padding) return 0;", "", "bloom.padding"),
    "row 0 is trained": ("return layer->padding >= 0 && row == 0;", "return layer->padding >= 0 && row < 0;", "bloom.padding"),
    "last write wins": ("c] += grad_out[", "c] = grad_out[", "bloom.backward"),
    "sharing whatever is asked": ("layer->padding < 0 || layer->shared", "1", "bloom.share_padding_row"),
    "one probe too few": ("j < layer->probes; j++) {", "j < layer->probes - (layer->probes > 3); j++) {", "bloom.forward"),
    "negative ids are taken": ("ids.numbers[bad] >= 0 && ", "", "bloom.out_of_bounds"),
    "ids beyond the last are taken": (
        "ids.numbers[bad] < layer.ids) bad++",
        "ids.numbers[bad] <= layer.ids) bad++",
        "bloom.out_of_bounds",
    ),
}


@needs_compiler
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_example_is_found(name, tmp_path):
    right, wrong, found_by = FAULTS[name]
    source = SOURCE.read_text()
    assert right in source
    program = compiled(tmp_path, source.replace(right, wrong))
    with CommandBackend(program, profile=WIDE) as backend:
        (result,) = check(backend, only=found_by, shrink=False).results
        assert result.status == "failed"
    lines = []
    for path in export(tmp_path, ["hash", "bloom", "errors"]):
        with path.open() as file:
            done = subprocess.run([program], stdin=file, capture_output=True, text=True, check=True)
        lines += done.stdout.splitlines()
    judgement = judge(tmp_path, lines)
    assert not judgement.ok  # golden vectors find each fault, too


@needs_compiler
def test_a_failure_of_the_example_is_small_and_decoded(tmp_path):
    source = SOURCE.read_text()
    right, wrong, _ = FAULTS["unsigned remainder"]
    with CommandBackend(compiled(tmp_path, source.replace(right, wrong)), profile=WIDE) as backend:
        by_rows, by_sums = check(backend, only="hash.rows,bloom.forward").results[::-1]
    assert "expected" in by_sums.message
    assert "read rows {" in by_sums.message
    assert by_sums.snippet.count("\n") < 25
    assert "probe" in by_rows.message


@needs_compiler
def test_a_death_of_the_example_is_said(tmp_path):
    head = "static void run_hash(const char *line) {"
    source = SOURCE.read_text().replace(head, f'{head}\n    if (field(line, "padding_idx")) abort();')
    with CommandBackend(compiled(tmp_path, source), profile=WIDE) as backend:
        report = check(backend, only="hash.*")
    found = {result.name: (result.status, result.message) for result in report.results}
    assert found.pop("hash.padding") == ("failed", "the program died of SIGABRT instead of answering")
    assert {status for status, _ in found.values()} == {"passed"}
