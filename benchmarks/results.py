"""
Results of a benchmark: raw samples with their context, in a JSON file each, and the figures
computed from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

OURS = "npbloom"


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median, upper quartile."""
    low, middle, high = np.percentile(np.asarray(values, dtype=np.float64), [25, 50, 75])
    return float(low), float(middle), float(high)


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    return quartiles(values)[1]


@dataclass(frozen=True)
class Case:
    """
    One comparison: its labels, a sample a round for each contender, and numbers that go with it.
    """

    labels: dict[str, str | int]
    samples: dict[str, list[float]]  # seconds a call, or bytes; sample i of every contender is from round i
    facts: dict[str, float] = field(default_factory=dict)

    def median(self, contender: str = OURS) -> float:
        """Return the median of a contender's samples."""
        return median(self.samples[contender])

    def ratios(self, over: str, under: str = OURS) -> list[float]:
        """Return the quotients of two contenders' samples, round by round."""
        return [a / b for a, b in zip(self.samples[over], self.samples[under], strict=True)]

    def ratio(self, over: str, under: str = OURS) -> float:
        """Return the median of the rounds' quotients: the time of `over` in times of `under`."""
        return median(self.ratios(over, under))


@dataclass(frozen=True)
class Result:
    """
    Cases of a benchmark, with the run they come from, the machine, the versions and the sizes.
    """

    benchmark: str
    run: dict[str, Any]
    machine: dict[str, Any]
    sizes: dict[str, Any]
    cases: list[Case]
    pages: dict[str, list[int]] = field(default_factory=dict)  # `huge_pages.ranges`, in bytes

    def all(self, **labels: str | int) -> list[Case]:
        """Return the cases that have these labels, in the order they were measured in."""
        return [case for case in self.cases if all(case.labels.get(name) == value for name, value in labels.items())]

    def one(self, **labels: str | int) -> Case:
        """Return the one case that has these labels."""
        (case,) = self.all(**labels)
        return case

    def values(self, label: str) -> list[str | int]:
        """Return the distinct values of a label, in the order they were measured in."""
        return list(dict.fromkeys(case.labels[label] for case in self.cases if label in case.labels))

    @property
    def instructions(self) -> str:
        """The instruction set that was measured: `avx512`, `avx2` or another."""
        return str(self.machine["instructions"]["set"])

    @property
    def threads(self) -> int:
        """The largest number of threads that was measured. Targets are about it."""
        return max(int(value) for value in self.values("threads"))

    def to_json(self) -> str:
        """Return JSON, a case a line, numbers with six digits."""
        head = {"benchmark": self.benchmark, "run": self.run, "machine": self.machine, "sizes": self.sizes}
        head["pages"] = self.pages
        lines = [json.dumps(_short({"labels": c.labels, "samples": c.samples, "facts": c.facts})) for c in self.cases]
        return json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the result that `to_json` wrote."""
        read = json.loads(text)
        return cls(**{**read, "cases": [Case(**case) for case in read["cases"]]})


def _short(value: Any) -> Any:
    """Return floats with six significant digits, a thousandth of a timing's spread."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write(result: Result, folder: Path) -> Path:
    """Write the file of a result, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.benchmark}.json"
    path.write_text(result.to_json(), encoding="utf-8")
    return path


def read_machines(folder: Path) -> dict[str, dict[str, Result]]:
    """Return the results of all machines that have a folder in this one, by the folder's name."""
    found = {each.name: read(each) for each in sorted(folder.glob("*")) if each.is_dir()}
    return {name: results for name, results in found.items() if results}


def read(folder: Path) -> dict[str, Result]:
    """Return all results of a folder, by benchmark."""
    found = (Result.from_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return {result.benchmark: result for result in found}
