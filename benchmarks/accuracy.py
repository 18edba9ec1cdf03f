"""
The study of accuracy at compression: ``python -m benchmarks.accuracy``. A later call goes on after
the last finished run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy_study import data, report, runs

RESULTS = Path(__file__).resolve().parent / "results" / "accuracy"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    found.add_argument("--data", action="append", choices=data.NAMES, help="one set, and again for more (default: all)")
    found.add_argument("--model", action="append", choices=tuple(runs.GRID), help="one model, and again for more (default: both)")
    found.add_argument("--side", action="append", choices=runs.SIDES, help="what is compressed: one side, and again for more")
    found.add_argument(
        "--ratio", action="append", type=float, choices=runs.RATIOS, help="one ratio, and again for more (default: all)"
    )
    found.add_argument("--method", action="append", metavar="NAME", help="one method, and again for more (default: all)")
    found.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many minutes")
    found.add_argument("--report", action="store_true", help="run nothing: table and pictures from the lines that are there")
    found.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="where results are")
    return found


def chosen_jobs(chosen: argparse.Namespace) -> Iterator[runs.Job]:
    """
    Yield the planned jobs that the options select.

    Full tables and popularity have no side and no ratio of their own, so they are kept for any side
    and ratio.
    """
    for job in runs.order(tuple(chosen.data or data.NAMES)):
        if (
            (not chosen.model or job.model in (*chosen.model, runs.POPULARITY))
            and (not chosen.side or job.side in (*chosen.side, "none"))
            and (not chosen.ratio or job.side == "none" or job.ratio in chosen.ratio)
            and (not chosen.method or job.method in chosen.method)
        ):
            yield job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing jobs, write the report, and return exit status 0."""
    chosen = parser().parse_args(arguments)
    start = time.monotonic()
    results, tuning = runs.Lines(chosen.out / "runs.jsonl"), runs.Lines(chosen.out / "tuning.jsonl")
    if not chosen.report:
        for line in runs.go(chosen_jobs(chosen), results, tuning, lambda: 60 * chosen.minutes - (time.monotonic() - start)):
            print(line, flush=True)
    for path in report.write(chosen.out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
