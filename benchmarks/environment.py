"""
Environment variables that must be unset while measuring.

This module imports nothing that loads a BLAS library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Some of these settings of OpenBLAS slow it down on some machines; it reads them when it is loaded.
# The others are set by `--threads` or change what is measured.
UNWANTED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPBLOOM_NUM_THREADS",
    "OMP_NUM_THREADS",
    "NUMBA_DISABLE_JIT",
    "NUMBA_BOUNDSCHECK",
)


def remove(variables: MutableMapping[str, str]) -> list[str]:
    """Remove the unwanted variables, and return the names of those that were set."""
    found = [name for name in UNWANTED if name in variables]
    for name in found:
        del variables[name]
    return found


def clean(arguments: Sequence[str]) -> None:
    """
    Clean the environment of this process.

    Start the process again if NumPy is already loaded, by a .pth file or a profiler.
    """
    if remove(os.environ) and "numpy" in sys.modules:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *arguments], dict(os.environ))
