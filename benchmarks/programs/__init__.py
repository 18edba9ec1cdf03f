"""Programs that are measured in a process of their own, and a function that runs one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.environment import ROOT


def run(*arguments: str, **variables: str) -> Any:
    """Run `python ARGUMENTS` at the root of the project, and return the JSON of its last line."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"`python {' '.join(arguments)}` failed: {ended.stderr.strip()[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])
