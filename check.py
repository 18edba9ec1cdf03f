"""Run every check that CI runs, in order, and stop at the first that fails.

Usage: `python check.py [STEP ...]`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
# One process a processor, up to four: more would compile the same kernels side by side.
PYTEST = ("-m", "pytest", "-q", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")


class Step(NamedTuple):
    """One check: its name, the arguments of Python, and additions to the environment."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]


# The whole test run comes last, so that the closing line is its summary.
STEPS = (
    Step("format", ("-m", "ruff", "format", "--check", "."), {}),
    Step("lint", ("-m", "ruff", "check", "."), {}),
    Step("types", ("-m", "mypy"), {}),
    Step("imports", ("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"), {}),
    Step("kernels-unjitted", (*PYTEST, "tests/kernels"), {"NUMBA_DISABLE_JIT": "1"}),
    Step("kernels-bounds-checked", (*PYTEST, "tests/kernels"), {"NUMBA_BOUNDSCHECK": "1"}),
    Step("tests", PYTEST, {}),
)
# Steps that install packages or take long; they run only when they are named.
EXTRA_STEPS = (
    Step("docs", ("-m", "mkdocs", "build", "--strict"), {"NO_MKDOCS_2_WARNING": "1"}),
    Step("packaging", ("tests/packaging/environments.py",), {}),
    Step("selftest", ("-m", "tests.conformance.selftest"), {}),
)


def run(step: Step) -> bool:
    """Run one step, its output straight to the terminal, and print its result."""
    print(f"--- {step.name}", flush=True)
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *step.arguments], cwd=ROOT, env={**os.environ, **step.environment}, check=False)
    if done.returncode:
        set_variables = "".join(f"{name}={value} " for name, value in step.environment.items())
        command = f"{set_variables}python {shlex.join(step.arguments)}"
        print(f"check.py: step `{step.name}` failed with exit status {done.returncode}. Again: {command}", flush=True)
        return False
    if step is not STEPS[-1]:
        print(f"--- {step.name}: ok, {time.perf_counter() - started:.0f} s", flush=True)
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the named steps, or all.

    The exit status is 0 if every step passed, 1 at the first that failed, 2 for a step that does
    not exist.
    """
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__)
    usual, extra = ([step.name for step in steps] for steps in (STEPS, EXTRA_STEPS))
    names = usual + extra
    told = f"only these, of: {', '.join(usual)} (default: all of these), {', '.join(extra)}"
    parser.add_argument("steps", nargs="*", metavar="STEP", help=told)
    wanted = parser.parse_args(argv).steps
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no step {unknown[0]!r}; there are {', '.join(names)}")
    chosen = [step for step in STEPS + EXTRA_STEPS if step.name in wanted] if wanted else STEPS
    return 0 if all(run(step) for step in chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
