"""
The study of smaller tables: ``python -m benchmarks.smaller_tables``. A later call goes on after the
last finished run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy_study import data
from benchmarks.accuracy_study.runs import Lines
from benchmarks.smaller import report, runs

RESULTS = Path(__file__).resolve().parent / "results" / "smaller"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.smaller_tables", description=__doc__)
    found.add_argument("--data", action="append", choices=data.NAMES, help="one set, and again for more (default: all)")
    found.add_argument("--method", action="append", metavar="NAME", help="one method, and again for more (default: all)")
    found.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many minutes")
    found.add_argument("--report", action="store_true", help="run nothing: tables and pictures from the lines that are there")
    found.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER", help="where results are")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing jobs, write the report, and return exit status 0."""
    chosen = parser().parse_args(arguments)
    start = time.monotonic()
    results, tuning = Lines(chosen.out / "runs.jsonl"), Lines(chosen.out / "tuning.jsonl")
    if not chosen.report:
        jobs = (job for job in runs.order(chosen.data or data.NAMES) if not chosen.method or job.method in chosen.method)
        for line in runs.go(
            jobs, results, tuning, chosen.out / "ranks", lambda: 60 * chosen.minutes - (time.monotonic() - start)
        ):
            print(line, flush=True)
    for path in report.write(chosen.out):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
