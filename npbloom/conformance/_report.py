"""What came of a run: one `CheckResult` a check, a table for the terminal, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field

STATUSES = ("passed", "failed", "xfailed", "xpassed", "declined", "not-exercised", "blind")


@dataclass
class CheckResult:
    """
    What one check found.

    Attributes
    ----------
    name : str
        Name of the check, ``bag.scale_grad_by_freq``.
    status : str
        ``passed``, ``failed``, ``xfailed`` (an expected failure), ``xpassed`` (one that did not happen), ``declined`` (the
        backend raised `Unsupported`, or omits it by name), ``not-exercised`` (no case returned what the check judges), ``blind``
        (nothing could be told within the tolerance).
    examples, cases_discarded : int
        Cases the backend answered, and drawn ones that could not be used.
    lane : str
        Where it ended: the lane that failed, or all it went through.
    seconds : float
        Wall-clock time.
    message : str
        What is wrong, in words; why it was declined; or nothing.
    snippet : str
        For a failure: a program that shows it when pasted.
    cases_declined : int
        Cases for which the backend raised `Unsupported`.
    elements, elements_blind : int
        Array elements that were compared, and those of them whose tolerance is too wide to tell right from wrong.
    """

    name: str
    status: str
    examples: int = 0
    cases_discarded: int = 0
    lane: str = ""
    seconds: float = 0.0
    message: str = ""
    snippet: str = ""
    cases_declined: int = 0
    elements: int = 0
    elements_blind: int = 0


@dataclass
class Report:
    """
    All results of a run.

    Attributes
    ----------
    backend, version, profile : str
        Who was checked, and how thoroughly.
    seed : int
        Of the run: the same seed gives the same cases.
    results : list of CheckResult
        In the order of the catalogue.
    """

    backend: str
    version: str
    profile: str
    seed: int
    results: list[CheckResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing failed, nothing was silently unexercised, and something was exercised at all."""
        statuses = {result.status for result in self.results}
        return "passed" in statuses and not statuses & {"failed", "xpassed", "not-exercised", "blind"}

    def to_json(self) -> str:
        """The report as a JSON object."""
        return json.dumps({**asdict(self), "ok": self.ok}, indent=2)

    def __str__(self) -> str:
        """A table, and under it each failure with its snippet."""
        width = max([len(result.name) for result in self.results], default=5)
        title = f"{self.backend} {self.version}".strip()
        lines = [f"{title}: {self.profile} profile, seed {self.seed}", ""]
        for result in self.results:
            line = (
                f"  {result.status:<13} {result.name:<{width}} {result.examples:>6} cases {result.seconds:>6.2f} s  {result.lane}"
            )
            if result.elements_blind:
                line += f" ({result.elements_blind} of {result.elements} elements blind)"
            lines.append(line.rstrip())
            if result.message:
                lines.append(f"  {'':<13} {result.message}")
        for result in self.results:
            if result.snippet and result.status == "failed":
                lines += ["", f"--- {result.name} ".ljust(80, "-"), result.snippet.rstrip()]
        counts = Counter(result.status for result in self.results)
        summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "no checks"
        cases = sum(result.examples for result in self.results)
        seconds = sum(result.seconds for result in self.results)
        lines += ["", f"{'ok' if self.ok else 'NOT OK'}: {summary}; {cases} cases in {seconds:.1f} s"]
        return "\n".join(lines)
