"""Documents: examples run, links lead somewhere, and every public name has its place."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import npbloom
from npbloom.conformance.checks.registry import selected
from tests.support._documents import ROOT, run_examples

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
UNCALLED = tuple(f"npbloom.conformance.{room}" for room in ("cases", "checks", "expected", "report", "runner"))  # internal


def test_the_examples_on_checkpoints_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names = run_examples("docs/checkpoints.md", 7)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (names["layer"]([0]) == 4).all()
    assert names["ours"].state(names["films"])["step"] == 2
    assert names["mapped"].metadata == {"epoch": "1"}


@pytest.mark.parametrize(("page", "number"), [("docs/performance.md", 2), ("docs/coding.md", 9), ("docs/coming-from.md", 6)])
def test_the_examples_of_a_page_run(page: str, number: int) -> None:
    if page == "docs/coming-from.md":
        pytest.importorskip("torch")
    run_examples(page, number)


def test_counts_of_the_oracle_are_of_all_checks() -> None:
    row = next(line for line in (ROOT / "README.md").read_text("utf-8").splitlines() if line.startswith("| checks of the oracle"))
    counts = re.findall(r"\[(\d+), (\d+), (\d+)\]", row)
    assert len(counts) == 3
    reports = re.findall(r"\| ok: (.+?) \|", (ROOT / "docs" / "findings.md").read_text("utf-8"))
    assert len(reports) == 6
    for numbers in [*counts, *(re.findall(r"\d+", report) for report in reports)]:
        assert sum(map(int, numbers)) == len(selected(None))


@pytest.mark.parametrize(
    ("heading", "results", "least"),
    [
        ("What a smaller table keeps", "smaller", 10),
        ("The study of smaller tables", "smaller", 40),
        ("Appendix: the first study", "accuracy", 40),
    ],
)
def test_tables_of_the_studies_are_those_of_their_results(heading: str, results: str, least: int) -> None:
    page = (ROOT / "docs" / "coding.md").read_text("utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > least
    found = (ROOT / "benchmarks" / "results" / results / "tables.md").read_text("utf-8").splitlines()
    assert [row for row in rows if row not in found] == []


def test_every_page_is_in_the_navigation_of_the_site_once() -> None:
    listed = re.findall(r"^ +- (?:.*: )?(\S+\.md)(?: #.*)?$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    elsewhere = {"index.md", "design.md", "contributing.md", "benchmarks.md", "benchmarks-in-detail.md", "changelog.md"}
    assert sorted(listed) == sorted({page.removeprefix("docs/") for page in PAGES} | elsewhere), "the list `nav` in mkdocs.yml"


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_picture_of_the_readme_is_drawn_from_the_rows_that_ids_hash_to(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    program = runpy.run_path(str(ROOT / "docs" / "pictures" / "bloom.py"))
    program["main"](tmp_path / "bloom.svg")
    drawn, kept = ((folder / "bloom.svg").read_text("utf-8") for folder in (tmp_path, ROOT / "docs" / "pictures"))
    assert re.findall("<!-- (.*) -->", drawn) == re.findall("<!-- (.*) -->", kept)  # only the words; strokes differ by release
    assert "<!-- rows 2 + 4 + 10 -->" in kept


def public_names() -> dict[str, Any]:
    """
    Return every name in the ``__all__`` of a public module, with its object.

    Adapters need their packages, so they come without. `npbloom.ops` lists which names of its files
    are public.
    """
    modules = [each.name for each in pkgutil.walk_packages(npbloom.__path__, "npbloom.") if "._" not in each.name]
    found: dict[str, Any] = {}
    for module_name in ["npbloom", *modules]:
        if module_name.startswith((*UNCALLED, "npbloom.conformance.backends.", "npbloom.ops.")):
            continue
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", ()):
            found[f"{module_name}.{name}"] = None if module_name.endswith("backends") else getattr(module, name)
    return found


def test_every_public_name_is_on_a_page_of_the_api() -> None:
    lines = [line for page in PAGES for line in (ROOT / page).read_text("utf-8").splitlines()]
    written = [line.removeprefix("::: ").rpartition(".") for line in lines if line.startswith("::: ")]
    adapters = {name for module, _, name in written if ".backends." in module}
    named = [getattr(importlib.import_module(module), name) for module, _, name in written if ".backends." not in module]
    modules = {importlib.import_module(module) for module, _, _ in written if ".backends." not in module} | {npbloom.layers}
    ours = public_names()
    assert len(ours) > 100
    for path, thing in ours.items():
        if thing is None:
            assert path.rpartition(".")[2] in adapters, path
        else:
            assert any(thing is each for each in named) or (isinstance(thing, ModuleType) and thing in modules), path
