"""
Runner of Python programs that might hang or crash.

Each is a process that is killed after a time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120  # a hang is one after that; what a script takes is a few seconds at most


def run_script(source: str, folder: Path, **environment: str) -> str:
    """
    Return what a program prints.

    Fail the test if the program hangs, fails, or writes to stderr.
    """
    path = folder / "script.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NPBLOOM_NUM_THREADS": "4", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children, too
        out, err = process.communicate()
        pytest.fail(f"it hangs, after it printed {out!r} and {err!r}")
    assert (process.returncode, err) == (0, ""), err
    return out
