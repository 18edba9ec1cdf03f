"""Made-up results, for the tests of tables and pictures."""

from __future__ import annotations

from typing import Any

from benchmarks.results import Case, Result

MACHINE = {
    "processor": "A processor (family 1, model 2)",
    "instructions": {"set": "avx512", "narrowed": False, "numba": "znver5", "torch": "AVX512", "fbgemm": "its own choice"},
    "cores": 2,
    "caches": {"L1d": "32 KiB", "L3": "32 MiB"},
    "memory": "24 GiB",
    "huge pages": "madvise",
    "system": "Linux 6",
    "versions": {"python": "3.11.7", "npbloom": "0.1.0", "torch": "2.13.0"},
}


def machine() -> dict[str, Any]:
    """Return a description of a machine of one's own."""
    return dict(MACHINE)


RUN = {"started": "2026-11-24 12:00 UTC", "commit": "abc1234", "quick": False}


def result(benchmark: str, cases: list[Case], **sizes: Any) -> Result:
    """Return a result with a machine and a run."""
    return Result(benchmark, dict(RUN), machine(), sizes, cases)


def samples(**seconds: float) -> dict[str, list[float]]:
    """Return three rounds for each contender, the middle one as named."""
    return {name: [0.5 * value, value, 2 * value] for name, value in seconds.items()}


def startup() -> Result:
    """Return a result of imports and first steps."""
    parts = [samples(**{"import": 1.0, "build": 0.1, "step": 0.1}), samples(**{"import": 1.0, "build": 2.0, "step": 14.0})]
    return result(
        "startup",
        [
            Case({"what": "import", "threads": 2}, {"npbloom": [0.5, 0.7, 0.6], "numba and numpy": [0.4, 0.5, 0.55]}),
            Case({"what": "first step", "cache": "warm", "threads": 2}, parts[0]),
            Case({"what": "first step", "cache": "empty", "threads": 2}, parts[1]),
        ],
    )


def memory() -> Result:
    """Return a result of two optimizers."""
    cases = [
        Case({"optimizer": "sgd", "threads": 2}, {"npbloom": [2e7], "fbgemm": [3e7], "torch": [2e8]}, {"table": 51_200_000}),
        Case({"optimizer": "adam", "threads": 2}, {"npbloom": [2e7], "torch": [4e8]}, {"table": 51_200_000}),
    ]
    return result("memory", cases)


def words(text: str) -> set[str]:
    """Return the cells of all tables in a Markdown text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return {cell.strip() for line in lines for cell in line.strip("|").split("|")}
