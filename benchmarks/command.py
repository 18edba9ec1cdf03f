"""The command line of `python -m benchmarks`: measure, write, report."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import huge_pages, machine
from benchmarks.benchmark import Benchmark
from benchmarks.contenders import peers
from benchmarks.environment import ROOT
from benchmarks.measuring import Settings
from benchmarks.report import document
from benchmarks.results import Result, read_machines, write
from benchmarks.topics import BENCHMARKS

QUICK_RESULTS = ROOT / "build" / "benchmarks"


def _positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _threads(text: str) -> tuple[int, ...]:
    """Return whole numbers that stand between commas."""
    return tuple(dict.fromkeys(_positive(word) for word in text.split(",")))


def _folder_name(text: str) -> str:
    """Return a name of lower-case letters, digits and hyphens."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of lower-case letters and digits, with single hyphens between")
    return text


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure npbloom beside its peers.", allow_abbrev=False
    )
    names = list(BENCHMARKS)
    found.add_argument(
        "--only", action="append", metavar="NAME", choices=names, help=f"measure this one (again for more): {', '.join(names)}"
    )
    found.add_argument("--quick", action="store_true", help="tiny sizes: does everything run? Results go to build/benchmarks")
    found.add_argument("--rounds", type=_positive, metavar="N", help="rounds of every comparison (default: each benchmark's own)")
    found.add_argument("--threads", type=_threads, metavar="N,N", default=(2, 1), help="numbers of threads (default: 2,1)")
    found.add_argument("--avx2", action="store_true", help="tell Numba, torch and FBGEMM to use AVX2 instead of AVX-512")
    found.add_argument(
        "--machine", type=_folder_name, metavar="NAME", help="the folder of this machine's results (default: its processor)"
    )
    found.add_argument("--report", action="store_true", help="measure nothing: tables and plots from the results that are there")
    found.add_argument("--out", type=Path, metavar="FOLDER", help="where results are (default: benchmarks/results)")
    return found


def measure(benchmark: Benchmark, settings: Settings, run: dict[str, Any]) -> Result:
    """Run one benchmark, and return its result with run, machine, sizes and huge pages."""
    with huge_pages.noted() as notes:
        measured = benchmark.run(settings)
    return Result(benchmark.name, run, machine.describe(), measured.sizes, measured.cases, huge_pages.ranges(notes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, and return exit status 0. Wrong use exits with status 2."""
    options = parser()
    chosen = options.parse_args(arguments)
    folder = (chosen.out or (QUICK_RESULTS if chosen.quick else document.RESULTS)).resolve()
    if chosen.quick and folder == document.RESULTS:
        options.error("a quick run says nothing about speed: its results do not go to benchmarks/results")
    if not chosen.report:
        if not peers.has_fbgemm():
            options.error('FBGEMM is not installed: python -m pip install -e ".[benchmarks]"')
        described = machine.describe()
        if chosen.avx2 and described["instructions"]["set"] != "avx2":
            options.error("--avx2 had no effect: start it as `python -m benchmarks --avx2`, on a processor that has AVX2")
        target = folder / (chosen.machine or machine.folder_name(described))
        settings = Settings(chosen.quick, chosen.rounds, chosen.threads)
        run = {
            "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "commit": machine.commit(ROOT),
            "quick": chosen.quick,
        }
        for name, benchmark in BENCHMARKS.items():
            if chosen.only is None or name in chosen.only:
                start = time.perf_counter()
                print(f"{name} ...", end=" ", flush=True)
                write(measure(benchmark, settings, run), target)
                print(f"{time.perf_counter() - start:.0f} s", flush=True)
    for path in document.write(read_machines(folder), folder):
        print(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    return 0
