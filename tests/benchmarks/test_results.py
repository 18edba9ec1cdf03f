"""Samples to medians, quartiles and ratios; to a file and back."""

from __future__ import annotations

import pytest

from benchmarks.results import Case, Result, median, quartiles, read, write
from tests.benchmarks import _samples

CASE = Case({"ids": "zipf", "threads": 2}, {"npbloom": [1.0, 2.0, 10.0], "torch": [10.0, 4.0, 30.0]}, {"touched rows": 7})


def test_medians_and_quartiles():
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    assert CASE.ratios("torch") == [10.0, 2.0, 3.0]
    assert CASE.ratio("torch") == 3.0
    assert CASE.median("torch") / CASE.median() == 5.0  # the ratio of medians differs


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="longer"):
        Case({}, {"npbloom": [1.0, 2.0], "torch": [1.0]}).ratio("torch")


def test_cases_are_found_by_their_labels():
    other = Case({"ids": "uniform", "threads": 1}, {})
    result = _samples.result("steps", [CASE, other])
    assert result.one(ids="zipf") is CASE
    assert result.all(threads=1) == [other]
    assert result.values("ids") == ["zipf", "uniform"]
    assert result.values("layer") == []
    assert result.threads == 2
    with pytest.raises(ValueError, match="unpack"):
        result.one()


def test_a_file_keeps_everything_with_six_digits(tmp_path):
    measured = _samples.result(
        "steps", [CASE, Case({"a": 1}, {"npbloom": [0.00123456789]})], batch=65_536, ids=["zipf", "uniform"]
    )
    path = write(measured, tmp_path / "deep")
    assert path.name == "steps.json"
    found = read(tmp_path / "deep")
    assert list(found) == ["steps"]
    assert found["steps"].cases[1].samples == {"npbloom": [0.00123457]}
    assert found["steps"] == Result.from_json(measured.to_json())
    assert found["steps"].cases[0] == CASE
    assert (found["steps"].run, found["steps"].machine, found["steps"].sizes) == (measured.run, measured.machine, measured.sizes)
    assert sum(line.startswith('  {"labels"') for line in path.read_text("utf-8").splitlines()) == 2
