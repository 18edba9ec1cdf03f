"""`run_check`, which runs one check against one backend in this process and returns its result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npbloom.conformance.cases.backend import Backend, Hung, Unsupported
from npbloom.conformance.cases.case import Case
from npbloom.conformance.report.report import CheckResult
from npbloom.conformance.report.snippet import snippet_of
from npbloom.conformance.runner.answers import Failure
from npbloom.conformance.runner.check_run import Budget, CheckRun


@dataclass(frozen=True)
class Check:
    """One claim about a backend, and the function that checks it."""

    name: str  # "bag.scale_grad_by_freq": what --only and expected failures name
    law: str  # "L11"
    sentence: str
    op: str
    keys: tuple[str, ...]  # outputs it judges; with none of them it is not exercised
    run: Callable[[CheckRun], None]


def run_check(
    backend: Backend, each: Check, budget: Budget, seed: int, watch: Callable[[Case], None] | None = None
) -> CheckResult:
    """Run one check in this process and return its result."""
    run = CheckRun(backend, budget, seed, name=each.name)
    if watch is not None:
        run.watch = watch
    start = time.perf_counter()
    status, message, snippet = "passed", "", ""
    try:
        # An overflow is a value here, and is judged.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            each.run(run)
    except Unsupported as reason:
        run.decline(reason)
    except Failure as failure:
        status, message = "failed", failure.message
        snippet = snippet_of(backend, failure.case, failure.steps, failure.message)
    except Hung as hung:
        status, message, snippet = "failed", str(hung), snippet_of(backend, hung.case, message=str(hung))
    except Exception as error:  # a fault of the kit itself is reported, not hidden
        status, message = "failed", f"the check itself broke: {type(error).__name__}: {error}"
    if status == "passed":
        status, message = _verdict(run, each)
    stage = run.stages[-1] if status == "failed" and run.stages else ", ".join(run.stages)
    seconds = time.perf_counter() - start
    counts = (run.declined, run.elements.total(), run.blind.total())
    return CheckResult(each.name, status, run.examples, run.discarded, stage, seconds, message, snippet, *counts)


def _verdict(run: CheckRun, each: Check) -> tuple[str, str]:
    """Return status and message of a check without failures; it must have judged something."""
    if run.declined and not run.judged:
        return "declined", run.reason
    missing = [f"`{key}`" for key in each.keys if key not in run.returned]
    if missing or not run.judged:
        return "not-exercised", f"no case returned {' or '.join(missing) or 'anything'}"
    blind = [f"`{key}`" for key, size in run.elements.items() if size and run.blind[key] == size]
    if blind:
        return "blind", f"no element of {' and '.join(blind)} could be told right from wrong within its tolerance"
    return "passed", f"{run.declined} cases declined: {run.reason}" if run.declined else ""
