"""Programs on several ranks, by the `mpiexec` of the environment that the tests run in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Open MPI refuses root, and more ranks than processors, unless it is told otherwise.
LENIENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


def mpiexec() -> str:
    """Return the launcher that belongs to this Python, else one on the path."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.is_file() else shutil.which("mpiexec")
    assert found, "no mpiexec: `pip install mpich`"
    return found


def run_ranks(
    size: int,
    program: str,
    *arguments: object,
    launcher: str | None = None,
    environment: dict[str, str] | None = None,
    seconds: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Run a module of `tests/distributed/programs` on so many ranks; return its end and output."""
    command = [launcher or mpiexec(), "-n", str(size), sys.executable, "-m", "mpi4py"]
    command += ["-m", f"tests.distributed.programs.{program}", *map(str, arguments)]
    variables = {**os.environ, "NPBLOOM_NUM_THREADS": "1", **LENIENT, **(environment or {})}
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False
    )


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a program that ended well; fail with its errors otherwise."""
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
