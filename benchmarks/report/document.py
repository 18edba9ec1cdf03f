"""
The documents: `results/tables.md` with every contender's quartiles, and the generated part of
README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.benchmark import Target
from benchmarks.environment import ROOT
from benchmarks.plots import PLOTS
from benchmarks.report import tables
from benchmarks.results import OURS, Result, quartiles
from benchmarks.topics import BENCHMARKS

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- written by `python -m benchmarks`: begin -->", "<!-- written by `python -m benchmarks`: end -->"


def runs(results: Mapping[str, Result]) -> str:
    """Return a sentence that names the run of all figures, or a list of runs."""
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        commit = f" (commit {result.run['commit']})" if result.run["commit"] else ""
        found.setdefault(f"{result.run['started']}{commit}", []).append(name)
    if len(found) == 1:
        return f"All figures are from one run, begun {next(iter(found))}.\n"
    return "\n".join(f"- begun {begun}: {', '.join(names)}" for begun, names in found.items()) + "\n"


def wanted(results: Mapping[str, Result]) -> list[Target]:
    """Return all targets, in the order of the benchmarks."""
    return [target for name, benchmark in BENCHMARKS.items() if name in results for target in benchmark.targets(results[name])]


def targets(results: Mapping[str, Result]) -> str:
    """Return the table of targets: wanted figure, measured figure, and if it is held."""
    found = wanted(results)
    rows = [[each.work, each.against, each.wanted, each.measured, "yes" if each.held else "**no**"] for each in found]
    held = sum(each.held for each in found)
    return f"{held} of {len(found)} are held.\n\n" + tables.markdown(["work", "against", "wanted", "measured", "held"], rows, 3)


def section(name: str, result: Result) -> str:
    """Return the section of one benchmark: description, pictures, tables, and their origin."""
    benchmark = BENCHMARKS[name]
    pictures = "".join(f"![{plot.words}](results/{file})\n\n" for file, plot in PLOTS.items() if plot.benchmark == name)
    return f"### {benchmark.title}\n\n{benchmark.measures}\n\n{pictures}{benchmark.tables(result)}\n{tables.caption(result)}"


def readme_part(results: Mapping[str, Result]) -> str:
    """Return the text between the markers of README.md."""
    if not results:
        return "Nothing has been measured yet.\n"
    sections = [section(name, results[name]) for name in BENCHMARKS if name in results]
    return "\n".join([runs(results), "### Targets\n", targets(results), *sections])


def details(results: Mapping[str, Result]) -> str:
    """Return every case and contender: median, quartiles, rounds, and time over npbloom's."""
    text = ["# All samples, summed up\n", runs(results)]
    for name in BENCHMARKS:
        if name not in results:
            continue
        result, rows = results[name], []
        amount = tables.megabytes if name == "memory" else tables.seconds
        for case in result.cases:
            labels = ", ".join(f"{label} {tables.name(value)}" for label, value in case.labels.items())
            for contender, samples in case.samples.items():
                low, middle, high = (amount(value) for value in quartiles(samples))
                ratio = ""
                if OURS in case.samples and contender != OURS:
                    ratio = "{1} ({0} to {2})".format(*(tables.times(value) for value in quartiles(case.ratios(contender))))
                rows.append([labels, tables.name(contender), middle, f"{low} to {high}", str(len(samples)), ratio])
        header = ["case", "contender", "median", "quartiles", "rounds", "/ npbloom (quartiles)"]
        text += [f"## {name}\n", tables.markdown(header, rows, 2), tables.caption(result)]
    return "\n".join(text)


def fill(text: str, part: str) -> str:
    """Return the document with the part between its markers replaced."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the document must have the lines {BEGIN!r} and {END!r} once each, in this order")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n\n{part}\n{END}{after}"


def write(results: Mapping[str, Result], folder: Path) -> list[Path]:
    """
    Write tables and plots into the folder.

    If it is the folder of the committed results, write README.md, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "tables.md"]
    written[0].write_text(details(results), encoding="utf-8")
    for file, plot in PLOTS.items():
        if plot.benchmark in results:
            plot.draw(results[plot.benchmark], folder / file)
            written.append(folder / file)
    if folder.resolve() == RESULTS:
        README.write_text(fill(README.read_text(encoding="utf-8"), readme_part(results)), encoding="utf-8")
        written.append(README)
    return written
