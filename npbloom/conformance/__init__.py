"""
The oracle: a conformance kit for embedding lookups, their gradients, and their optimizers.

It tells in a minute whether kernels written in any language are right. If they are not, it names
the row of the table that is wrong, and why. Needs the extra `conformance`.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ModuleNotFoundError(
        'npbloom.conformance needs Hypothesis: python -m pip install "npbloom[conformance]"', name="hypothesis"
    )

from npbloom.conformance._check import check
from npbloom.conformance._parametrize import parametrize
from npbloom.conformance.cases.backend import Backend, Session, Unsupported
from npbloom.conformance.cases.case import Case
from npbloom.conformance.report.report import CheckResult, Report
from npbloom.conformance.runner.command import CommandBackend

__all__ = [
    "Backend",
    "Case",
    "CheckResult",
    "CommandBackend",
    "Report",
    "Session",
    "Unsupported",
    "check",
    "parametrize",
]
