"""Markdown tables and their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import words as described
from benchmarks.results import OURS, Case, Result
from npbloom.optimizers import BY_NAME

NAMES = {
    "npbloom": "npbloom",
    "fbgemm": "FBGEMM",
    "torch": "torch",
    "torch_dense": "torch, dense",
    "torch_module": "torch, module",
    "torch_embedding": "torch embedding",
    "sklearn": "scikit-learn",
    "scipy": "SciPy",
    "spotlight": "Spotlight on torch",
    **{name: kind.__name__ for name, kind in BY_NAME.items()},
}


def name(value: str | int) -> str:
    """Return the text of a label's value."""
    return NAMES.get(str(value), f"{value:,}" if isinstance(value, int) else str(value))


def digits(value: float, count: int = 3) -> str:
    """Return a number with `count` significant digits, never as a power of ten."""
    if value == 0:
        return "0"
    exponent = int(f"{abs(value):.{count - 1}e}".partition("e")[2])
    return f"{value:,.{max(0, count - 1 - exponent)}f}"


def seconds(value: float) -> str:
    """Return a time in the unit that suits it."""
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs")):
        if value >= limit:
            return f"{digits(value * factor)} {unit}"
    raise ValueError(f"a time is not {value}")


def times(value: float) -> str:
    """Return a ratio, with an x."""
    return f"{digits(value)}x"


def megabytes(value: float) -> str:
    """Return bytes in MB."""
    return f"{digits(value / 1e6)} MB"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """
    Return a table whose first `words` columns are text, aligned left; the others are numbers,
    aligned right.
    """
    lines = [header, ["---" if column < words else "---:" for column in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def comparison(cases: Sequence[Case], labels: dict[str, str], contenders: Sequence[str]) -> str:
    """
    Return a table with a row a case: its labels, npbloom's median, and each peer's median and ratio
    to it.
    """
    present = [each for each in contenders if any(each in case.samples for case in cases)]
    header = [*labels.values(), name(OURS)]
    for contender in present:
        header += [name(contender), "/ npbloom"]
    rows = []
    for case in cases:
        row = [*(name(case.labels[label]) for label in labels), seconds(case.median())]
        for contender in present:
            there = contender in case.samples
            row += [seconds(case.median(contender)), times(case.ratio(contender))] if there else ["", ""]
        rows.append(row)
    return markdown(header, rows, len(labels))


def caption(result: Result) -> str:
    """Return the origin of a table: machine, versions, sizes, date."""
    machine, versions = result.machine, dict(result.machine["versions"])
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    sizes = "; ".join(f"{key}: {_words(value)}" for key, value in result.sizes.items())
    commit = f", commit {result.run['commit']}" if result.run["commit"] else ""
    kind = " **A quick run: its sizes are too small to say anything.**" if result.run["quick"] else ""
    return (
        f"<sub>{described(machine)}, {machine['cores']} cores ({caches}), {machine['memory']}, {machine['system']}, huge pages "
        f"{machine['huge pages']}{_huge(result.pages)}; {packages}; {sizes}; {result.run['started']}{commit}.{kind}</sub>\n"
    )


def _huge(pages: dict[str, list[int]]) -> str:
    """Return how much of the process's memory lay in huge pages, if it was noted."""
    if "AnonHugePages" not in pages:
        return ""
    huge, anonymous = (
        " to ".join(dict.fromkeys(digits(size / 1e9) for size in pages[name])) for name in ("AnonHugePages", "Anonymous")
    )
    return f" ({huge} GB of {anonymous} GB)"


def _words(value: object) -> str:
    """Return a size as text."""
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
