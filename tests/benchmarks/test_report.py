"""Numbers as text, tables, documents, pictures. The committed ones match the results."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.plots import PLOTS
from benchmarks.report import document, overview, tables
from benchmarks.results import Case, Result, read_machines
from benchmarks.topics import BENCHMARKS
from tests.benchmarks import _samples

COMMITTED = read_machines(document.RESULTS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (0.01234, "0.0123"),
        (9.996, "10.0"),
        (0.5, "0.500"),
    ],
)
def test_three_digits(value, text):
    assert tables.digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.50 s"), (0.0123, "12.3 ms"), (4.5e-5, "45.0 µs"), (3e-8, "0.0300 µs"), (62.0, "62.0 s"), (0.0, "0 µs")],
)
def test_times_have_units(value, text):
    assert tables.seconds(value) == text


def test_a_comparison_by_hand():
    cases = [
        Case({"ids": "zipf", "optimizer": "sgd", "threads": 2}, {"npbloom": [1e-3, 2e-3, 3e-3], "torch": [4e-3, 4e-3, 3e-3]}),
        Case({"ids": "zipf", "optimizer": "rowwise_adagrad", "threads": 2}, {"npbloom": [1e-3]}),
    ]
    text = tables.comparison(cases, {"optimizer": "optimizer"}, ("fbgemm", "torch"))
    assert text.splitlines() == [
        "| optimizer | npbloom | torch | / npbloom |",
        "| --- | ---: | ---: | ---: |",
        "| SGD | 2.00 ms | 4.00 ms | 2.00x |",
        "| RowWiseAdagrad | 1.00 ms |  |  |",
    ]


def test_a_caption_says_where_when_and_how_much():
    result = _samples.result("steps", [], **{"ids a batch": 65_536, "id distributions": ["zipf", "uniform"]})
    text = tables.caption(result)
    for words in (
        "A processor",
        "2 cores",
        "L3 32 MiB",
        "torch 2.13.0",
        "ids a batch: 65,536",
        "zipf, uniform",
        "2026-11-24",
        "abc1234",
    ):
        assert words in text
    assert "quick" not in text
    quick = Result("steps", {**_samples.RUN, "quick": True}, result.machine, {}, [])
    assert "too small to say anything" in tables.caption(quick)


def synthetic() -> dict[str, Result]:
    """Return a result for every picture."""
    peers = {"fbgemm": 3e-2, "torch": 0.1}
    steps, rates, heights, cells = [], [], [], []
    for kind in ("zipf", "uniform"):
        for optimizer in ("none", "sgd", "adagrad", "rowwise_adagrad", "adam"):
            labels = {"ids": kind, "optimizer": optimizer, "threads": 2}
            facts = {"bytes": 2e8, "copied": 5e8, "ids": 1e6}
            rates.append(Case(labels, _samples.samples(npbloom=1e-2, copy=1.2e-2), facts))
            if optimizer != "none":
                steps.append(Case(labels, _samples.samples(npbloom=1e-2, **peers)))
    for layer in ("plain", "bloom"):
        heights += [
            Case({"layer": layer, "rows": rows, "threads": 2}, _samples.samples(npbloom=1e-3, torch=rows / 1e7))
            for rows in (10_000, 10**6)
        ]
    for work in ("forward", "Adagrad step"):
        for dtype in ("float32", "float64"):
            for dim in (16, 33):
                cells += [
                    Case(
                        {"work": work, "dtype": dtype, "d": dim, "k": k, "threads": 2},
                        _samples.samples(npbloom=1e-3, torch=k * 1e-3),
                    )
                    for k in (1, 2)
                ]
    sizes = {"ids a batch": 100, "ids": 1000, "k": 4, "d": 64}
    found = [
        _samples.result("steps", steps, **sizes),
        _samples.result("roofline", rates, **sizes),
        _samples.result("table_size", heights, **{**sizes, "rows": [10_000, 10**6]}),
        _samples.result("sweep", cells, **{**sizes, "d": [16, 33], "k": [1, 2], "rows": 10_000}),
        _samples.memory(),
        _samples.startup(),
    ]
    return {result.benchmark: result for result in found}


def folder_of(folder: Path, machines: overview.Machines) -> Path:
    """Return a folder with a folder for each machine."""
    for name in machines:
        (folder / name).mkdir(parents=True)
    return folder


def test_everything_is_drawn_and_drawn_again_the_same(tmp_path):
    machines = {"a": synthetic(), "b": synthetic()}
    written = document.write(machines, folder_of(tmp_path / "one", machines))
    document.write(machines, folder_of(tmp_path / "two", machines))
    assert {path.name for path in written} == {"tables.md", document.OVERVIEW, *PLOTS}
    for file in [document.OVERVIEW, *(f"{name}/{file}" for name in machines for file in PLOTS)]:
        with Image.open(tmp_path / "one" / file) as image:
            assert min(image.size) > 300
            assert len(image.convert("L").resize((64, 64)).getcolors()) > 8  # the picture is not blank
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_was_not_measured_is_not_drawn(tmp_path):
    machines = {"a": {"startup": _samples.startup()}}
    written = document.write(machines, folder_of(tmp_path, machines))
    assert [path.name for path in written] == ["tables.md"]


def test_machines_stand_side_by_side():
    machines = {"a": synthetic(), "b": synthetic()}
    for result in machines["b"].values():
        result.machine["processor"] = "Another"
    slower = _samples.samples(torch=9e-3)
    cases = [dataclasses.replace(case, samples={**case.samples, **slower}) for case in machines["b"]["steps"].cases]
    machines["b"]["steps"].cases[:] = cases
    text = overview.page(machines)
    assert "| work | beside | A processor (family 1, model 2), AVX-512 | Another, AVX-512 |" in text
    assert "| step, Adagrad | torch | 10.0x to 10.0x | **0.900x** to 0.900x |" in text


def test_machines_of_one_processor_are_told_apart():
    machines = {"a": synthetic(), "b": synthetic()}
    assert overview.headings(machines) == [f"A processor (family 1, model 2), AVX-512: {name}" for name in "ab"]


def test_the_worst_cell_of_each_table_is_shown():
    cases = [
        Case({"ids": "zipf", "threads": 2}, {"npbloom": [2.0], "torch": [1.0], "fbgemm": [9.0]}),
        Case({"ids": "uniform", "threads": 2}, {"npbloom": [4.0], "torch": [1.0]}),
        Case({"ids": "uniform", "threads": 1}, {"npbloom": [4.0], "torch": [3.0]}),
    ]
    bags = [Case({"ids": "zipf", "work": "forward", "threads": 2}, {"npbloom": [1.0], "torch": [0.75]})]
    text = overview.worst({"steps": _samples.result("steps", cases), "bags": _samples.result("bags", bags)})
    assert text.startswith("A peer is faster in 4 of 5 cells.")
    assert text.splitlines()[-2:] == [
        "| A training step | steps: ids uniform, threads 2 | torch | 0.250x |",
        "| Bags | forward: ids zipf, threads 2 | torch | 0.750x |",
    ]


def test_a_ratio_below_one_is_bold():
    assert overview.span([2.0, 1.0]) == "1.00x to 2.00x"
    assert overview.span([2.0, 0.998]) == "**0.998x** to 2.00x"
    assert overview.span([]) == ""


def test_details_show_every_sample_s_contender():
    text = document.samples({"memory": _samples.memory()})
    assert {"20.0 MB", "200 MB", "400 MB", "20.0x (20.0x to 20.0x)", "optimizer Adam, threads 2"} <= _samples.words(text)
    assert text.count("\n| optimizer ") == 5


def test_targets_are_counted():
    text = document.targets({"startup": _samples.startup()})
    assert text.startswith("2 of 3 are held.")
    assert "| at most 15 s | 16.00 s | **no** |" in text


def test_one_run_or_several():
    results = {"startup": _samples.startup(), "memory": _samples.memory()}
    assert document.runs(results) == "All figures are from one run, begun 2026-11-24 12:00 UTC (commit abc1234).\n"
    results["memory"].run["started"] = "2026-11-25 12:00 UTC"
    assert document.runs(results).splitlines() == [
        "- begun 2026-11-24 12:00 UTC (commit abc1234): startup",
        "- begun 2026-11-25 12:00 UTC (commit abc1234): memory",
    ]


def test_a_document_s_part_is_replaced_and_the_rest_stays():
    text = f"before\n{document.BEGIN}\n\nold\n{document.END}\nafter\n"
    once = document.fill(text, "new\n")
    assert once == f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n"
    assert document.fill(once, "new\n") == once


@pytest.mark.parametrize(
    "text", ["", document.BEGIN, f"{document.END}\n{document.BEGIN}", f"{document.BEGIN}{document.BEGIN}{document.END}"]
)
def test_a_document_without_its_markers_is_refused(text):
    with pytest.raises(ValueError, match="once each, in this order"):
        document.fill(text, "new")


def test_both_pages_say_what_the_results_say():
    for page, part in ((document.README, overview.page), (document.DETAILS, document.details_part)):
        text = page.read_text("utf-8")
        assert document.fill(text, part(COMMITTED)) == text


def test_the_committed_tables_and_pictures_are_those_of_the_results():
    assert {path.name for path in document.RESULTS.iterdir() if path.is_file()} == {document.OVERVIEW}
    for name, results in COMMITTED.items():
        files = {path.name for path in (document.RESULTS / name).iterdir()}
        drawn = {file for file, plot in PLOTS.items() if plot.benchmark in results}
        assert files == {f"{each}.json" for each in results} | drawn | {"tables.md"}
        assert (document.RESULTS / name / "tables.md").read_text("utf-8") == document.samples(results)


def test_the_committed_results_are_complete_and_no_quick_ones():
    assert COMMITTED
    for name, results in COMMITTED.items():
        assert set(results) == set(BENCHMARKS)
        assert not any(result.run["quick"] for result in results.values())
        assert name.endswith(results["steps"].instructions)
        assert sum(path.stat().st_size for path in (document.RESULTS / name).iterdir()) < 1_000_000
