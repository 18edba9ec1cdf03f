"""
The documents: README.md for users, details.md with every table, and for each machine `tables.md`
with every contender's quartiles, and pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.environment import ROOT
from benchmarks.plots import PLOTS, ranges
from benchmarks.report import overview, tables
from benchmarks.results import OURS, Result, quartiles
from benchmarks.topics import BENCHMARKS

RESULTS = ROOT / "benchmarks" / "results"
README, DETAILS = ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "details.md"
BEGIN, END = "<!-- written by `python -m benchmarks`: begin -->", "<!-- written by `python -m benchmarks`: end -->"
OVERVIEW = "overview.png"


def runs(results: Mapping[str, Result]) -> str:
    """Return a sentence that names the run of all figures, or a list of runs."""
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        commit = f" (commit {result.run['commit']})" if result.run["commit"] else ""
        found.setdefault(f"{result.run['started']}{commit}", []).append(name)
    if len(found) == 1:
        return f"All figures are from one run, begun {next(iter(found))}.\n"
    return "\n".join(f"- begun {begun}: {', '.join(names)}" for begun, names in found.items()) + "\n"


def targets(results: Mapping[str, Result]) -> str:
    """Return the table of targets: wanted figure, measured figure, and if it is held."""
    found = overview.wanted(results)
    rows = [[each.work, each.against, each.wanted, each.measured, "yes" if each.held else "**no**"] for each in found]
    held = sum(each.held for each in found)
    return f"{held} of {len(found)} are held.\n\n" + tables.markdown(["work", "against", "wanted", "measured", "held"], rows, 3)


def section(name: str, result: Result, folder: str) -> str:
    """Return the section of one benchmark: description, pictures, tables, and their origin."""
    benchmark = BENCHMARKS[name]
    drawn = ((file, plot) for file, plot in PLOTS.items() if plot.benchmark == name)
    pictures = "".join(f"![{plot.words}](results/{folder}/{file})\n\n" for file, plot in drawn)
    return f"### {benchmark.title}\n\n{benchmark.measures}\n\n{pictures}{benchmark.tables(result)}\n{tables.caption(result)}"


def details_part(machines: overview.Machines) -> str:
    """Return the text between the markers of details.md, a section for each machine."""
    if not machines:
        return "Nothing has been measured yet.\n"
    parts = []
    for heading, (folder, results) in zip(overview.headings(machines), machines.items(), strict=True):
        samples = f"Quartiles of every contender: [tables.md](results/{folder}/tables.md).\n"
        sections = [section(name, results[name], folder) for name in BENCHMARKS if name in results]
        parts += [f"## {heading}\n", runs(results), samples, "### Targets\n", targets(results), *sections]
    return "\n".join(parts)


def samples(results: Mapping[str, Result]) -> str:
    """Return every case and contender: median, quartiles, rounds, and time over npbloom's."""
    text = ["# All samples, summed up\n", runs(results)]
    for name in BENCHMARKS:
        if name not in results:
            continue
        result, rows = results[name], []
        amount = tables.megabytes if name == "memory" else tables.seconds
        for case in result.cases:
            labels = ", ".join(f"{label} {tables.name(value)}" for label, value in case.labels.items())
            for contender, measured in case.samples.items():
                low, middle, high = (amount(value) for value in quartiles(measured))
                ratio = ""
                if OURS in case.samples and contender != OURS:
                    ratio = "{1} ({0} to {2})".format(*(tables.times(value) for value in quartiles(case.ratios(contender))))
                rows.append([labels, tables.name(contender), middle, f"{low} to {high}", str(len(measured)), ratio])
        header = ["case", "contender", "median", "quartiles", "rounds", "/ npbloom (quartiles)"]
        text += [f"## {name}\n", tables.markdown(header, rows, 2), tables.caption(result)]
    return "\n".join(text)


def fill(text: str, part: str) -> str:
    """Return the document with the part between its markers replaced."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the document must have the lines {BEGIN!r} and {END!r} once each, in this order")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{before}{BEGIN}\n\n{part}\n{END}{after}"


def write_machine(results: Mapping[str, Result], folder: Path) -> list[Path]:
    """Write tables and pictures of one machine into its folder."""
    written = [folder / "tables.md"]
    written[0].write_text(samples(results), encoding="utf-8")
    for file, plot in PLOTS.items():
        if plot.benchmark in results:
            plot.draw(results[plot.benchmark], folder / file)
            written.append(folder / file)
    return written


def write(machines: overview.Machines, folder: Path) -> list[Path]:
    """
    Write tables and pictures of all machines into the folder.

    If it is the folder of the committed results, fill README.md and details.md, too.
    """
    written = [path for name, results in machines.items() for path in write_machine(results, folder / name)]
    if overview.measured(machines):
        ranges.overview(machines, folder / OVERVIEW)
        written.append(folder / OVERVIEW)
    if folder.resolve() == RESULTS:
        for document, part in ((README, overview.page(machines)), (DETAILS, details_part(machines))):
            document.write_text(fill(document.read_text(encoding="utf-8"), part), encoding="utf-8")
            written.append(document)
    return written
