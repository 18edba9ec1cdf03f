"""Results of a run: one `CheckResult` for each check, a table for the terminal, and JSON."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass, field

WRONG = ("failed", "xpassed", "not-exercised", "blind")  # a report with one of them is not ok
MIN_WIDTH = 60
LONGEST = 4000  # characters of a snippet in the terminal
STATUSES = ("passed", "failed", "xfailed", "xpassed", "declined", "not-exercised", "blind")


@dataclass
class CheckResult:
    """
    The result of one check.

    Parameters
    ----------
    name : str
        Name of the check, ``bag.scale_grad_by_freq``.
    status : str
        ``passed``, ``failed``, ``xfailed`` (an expected failure), ``xpassed`` (one that did not
        happen), ``declined`` (the backend raised `Unsupported`, or omits it by name),
        ``not-exercised`` (no case returned what the check judges), ``blind`` (the tolerance is too
        wide to tell right from wrong).
    examples, cases_discarded : int
        Cases that the backend answered, and drawn cases that could not be used.
    stage : str
        The stage that failed, or all the stages that ran.
    seconds : float
        Wall-clock time.
    message : str
        The fault in words, or the reason for declining; may be empty.
    snippet : str
        For a failure: a program that shows it when pasted.
    cases_declined : int
        Cases for which the backend raised `Unsupported`.
    elements, elements_blind : int
        Array elements that were compared, and those of them whose tolerance is too wide to tell
        right from wrong.
    law, sentence : str
        The claim that the check asserts, and its law in npbloom's semantics.

    Examples
    --------
    >>> CheckResult("bag.sum", "passed", examples=370).status
    'passed'
    """

    name: str
    status: str
    examples: int = 0
    cases_discarded: int = 0
    stage: str = ""
    seconds: float = 0.0
    message: str = ""
    snippet: str = ""
    cases_declined: int = 0
    elements: int = 0
    elements_blind: int = 0
    law: str = ""
    sentence: str = ""

    @property
    def lane(self) -> str:
        """Former name of `stage`."""
        return self.stage


@dataclass
class Report:
    """
    All results of a run.

    Parameters
    ----------
    backend, version, profile : str
        The backend that was checked, its version, and the number of cases.
    seed : int
        Seed of the run: the same seed gives the same cases.
    results : list of CheckResult
        In the order of the catalogue.

    Examples
    --------
    >>> passed, declined = CheckResult("bag.sum", "passed"), CheckResult("bag.max", "declined")
    >>> Report("mine", "1.0", "fast", 0, [passed, declined]).ok
    True
    >>> Report("mine", "1.0", "fast", 0, [declined]).ok  # nothing was exercised
    False
    """

    backend: str
    version: str
    profile: str
    seed: int
    results: list[CheckResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if nothing failed, nothing was silently unexercised, and something was exercised."""
        statuses = {result.status for result in self.results}
        return "passed" in statuses and not statuses & set(WRONG)

    def to_json(self) -> str:
        """Return the report as a JSON object."""
        results = [{**asdict(result), "lane": result.lane} for result in self.results]
        return json.dumps({**asdict(self), "results": results, "ok": self.ok}, indent=2)

    def __str__(self) -> str:
        """Return a table as wide as the terminal, followed by each failure with its snippet."""
        width = max(MIN_WIDTH, shutil.get_terminal_size().columns)
        name = max([len(result.name) for result in self.results], default=5)
        title = f"{self.backend} {self.version}".strip()
        lines = [f"{title}: {self.profile} profile, seed {self.seed}", ""]
        for result in self.results:
            lines += _row(result, name, width)
        for result in self.results:
            if result.status in WRONG:
                lines += ["", *_failure(result, width)]
        counts = Counter(result.status for result in self.results)
        summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) or "no checks"
        cases = sum(result.examples for result in self.results)
        seconds = sum(result.seconds for result in self.results)
        verdict = "ok" if self.ok else "NOT OK" if "passed" in counts else "NOT OK, nothing passed"
        lines += ["", *textwrap.wrap(f"{verdict}: {summary}; {cases} cases in {seconds:.1f} s", width, break_on_hyphens=False)]
        return "\n".join(lines)


def _row(result: CheckResult, name: int, width: int) -> list[str]:
    """Return a line of the table, and under it the reason why a check was declined or may fail."""
    line = f"  {result.status:<13} {result.name:<{name}} {result.examples:>6} cases {result.seconds:>6.2f} s"
    stage, words = result.stage, []
    if len(line) + 2 + len(stage) > width and "," in stage:
        stage = f"{stage.count(',') + 1} stages"
    if result.elements_blind:
        words.append(f"{result.elements_blind} of {result.elements} elements were blind: their tolerance hides what is wrong.")
    lines = [f"{line}  {stage}".rstrip()]
    if result.message and result.status not in WRONG:
        words.append(result.message)
    for each in words:
        lines += textwrap.wrap(each, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return lines


def _failure(result: CheckResult, width: int) -> list[str]:
    """Return the claim of a check, the fault, and the program that shows it."""
    head = f"--- {result.name}: {result.status} "
    lines = [head.ljust(width, "-")]
    if result.sentence:
        lines += textwrap.wrap(f"{result.sentence} ({result.law})", width)
    lines += textwrap.wrap(result.message, width, break_on_hyphens=False)
    program, equals, rest = result.snippet.partition("case = ")
    # The comment at its end repeats the message.
    snippet = (program + equals + rest.partition("\n# ")[0]).rstrip()
    if snippet and len(snippet) <= LONGEST:
        lines += ["", snippet]
    elif snippet:
        lines += ["", f"(The program that shows it has {len(snippet):,} characters: it is in the JSON report.)"]
    return lines
