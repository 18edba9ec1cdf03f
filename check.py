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
WORKERS = ("-m", "pytest", "-q", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")
PYTEST = (*WORKERS, "-m", "not nightly")
SLOWEST = ("--durations", "25", "--durations-min", "1")


class Step(NamedTuple):
    """One check: its name, the arguments of Python, and additions to the environment."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]

    @property
    def command(self) -> str:
        """The line to type into a shell."""
        variables = "".join(f"{name}={value} " for name, value in self.environment.items())
        return f"{variables}python {shlex.join(self.arguments)}"


# The whole test run comes last, so that the closing line is its summary.
STEPS = (
    Step("format", ("-m", "ruff", "format", "--check", "."), {}),
    Step("lint", ("-m", "ruff", "check", "."), {}),
    Step("types", ("-m", "mypy"), {}),
    Step("imports", ("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"), {}),
    Step("kernels-unjitted", (*PYTEST, "tests/kernels"), {"NUMBA_DISABLE_JIT": "1"}),
    Step("tests", (*PYTEST, *SLOWEST), {}),
)
# Steps that install packages or take long; they run only when they are named.
EXTRA_STEPS = (
    Step("docs", ("-m", "mkdocs", "build", "--strict"), {"NO_MKDOCS_2_WARNING": "1"}),
    Step("packaging", ("tests/packaging/environments.py",), {}),
    Step("selftest", ("-m", "tests.conformance.selftest"), {}),
    Step("kernels-bounds-checked", (*WORKERS, "tests/kernels"), {"NUMBA_BOUNDSCHECK": "1"}),
    Step("tests-nightly", (*WORKERS, *SLOWEST, "--hypothesis-profile", "nightly"), {}),
)
# One name for several steps.
GROUPS = {"nightly": ("kernels-bounds-checked", "tests-nightly")}


def run(step: Step) -> tuple[bool, float]:
    """Run one step, its output straight to the terminal; return success and seconds."""
    print(f"--- {step.name}: {step.command}", flush=True)
    started = time.perf_counter()
    # Hundreds of child processes import npbloom. Compiling its source again takes each of them
    # 0.2 s, so bytecode is written even where the environment says otherwise.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **step.environment}
    done = subprocess.run([sys.executable, *step.arguments], cwd=ROOT, env=environment, check=False)
    return done.returncode == 0, time.perf_counter() - started


def table(seconds: dict[str, float]) -> str:
    """Return the seconds of each step and of all."""
    rows = [*seconds.items(), ("together", sum(seconds.values()))]
    return "\n".join(f"--- {name:<24}{count:8.1f} s" for name, count in rows)


def run_all(steps: tuple[Step, ...]) -> bool:
    """Run steps up to the first that fails, and print the table of their seconds.

    The table stands before the whole test run, whose own summary gives its seconds and is the
    closing line.
    """
    seconds: dict[str, float] = {}
    for step in steps:
        if step is STEPS[-1] and seconds:
            print(table(seconds), flush=True)
        passed, seconds[step.name] = run(step)
        if not passed:
            print(f"check.py: step `{step.name}` failed after {seconds[step.name]:.1f} s. Again: {step.command}", flush=True)
            return False
    if steps[-1] is not STEPS[-1]:
        print(table(seconds), flush=True)
    return True


def main(argv: list[str] | None = None) -> int:
    """Run the named steps, or all.

    The exit status is 0 if every step passed, 1 at the first that failed, 2 for a step that does
    not exist.
    """
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__)
    usual, extra = ([step.name for step in steps] for steps in (STEPS, EXTRA_STEPS))
    names = [*usual, *extra, *GROUPS]
    told = f"only these, of: {', '.join(usual)} (default: all of these), {', '.join([*extra, *GROUPS])}"
    parser.add_argument("steps", nargs="*", metavar="STEP", help=told)
    wanted = parser.parse_args(argv).steps
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no step {unknown[0]!r}; there are {', '.join(names)}")
    wanted = [name for word in wanted for name in GROUPS.get(word, (word,))]
    chosen = tuple(step for step in STEPS + EXTRA_STEPS if step.name in wanted)
    return 0 if run_all(chosen or STEPS) else 1


if __name__ == "__main__":
    sys.exit(main())
