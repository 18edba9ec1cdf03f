"""
Environment variables of a run: those that must be unset, and those that narrow the instruction set.

This module imports nothing that loads a BLAS library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NARROW_CACHE = ROOT / "build" / "numba-avx2"

# Some of these settings of OpenBLAS slow it down on some machines; it reads them when it is loaded.
# The others are set by `--threads` and `--avx2`, or change what is measured.
UNWANTED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPBLOOM_NUM_THREADS",
    "OMP_NUM_THREADS",
    "NUMBA_DISABLE_JIT",
    "NUMBA_BOUNDSCHECK",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "ATEN_CPU_CAPABILITY",
    "FBGEMM_ENABLE_INSTRUCTIONS",
)
BEYOND_AVX2 = ("avx512", "avx10", "evex512", "amx")


def remove(variables: MutableMapping[str, str]) -> list[str]:
    """Remove the unwanted variables, and return the names of those that were set."""
    found = [name for name in UNWANTED if name in variables]
    for name in found:
        del variables[name]
    return found


def narrow(variables: MutableMapping[str, str]) -> None:
    """
    Tell Numba, torch and FBGEMM to use AVX2 on a processor that has AVX-512.

    Numba gets the processor's features without those beyond AVX2, and the name of a processor that
    has none, for LLVM's cost model. It keeps its machine code in a folder of its own.
    """
    import llvmlite.binding as llvm  # loads LLVM, no BLAS library

    has = llvm.get_host_cpu_features()
    marks = {name: "+" if there and not name.startswith(BEYOND_AVX2) else "-" for name, there in sorted(has.items())}
    variables["NUMBA_CPU_NAME"] = "znver3" if llvm.get_host_cpu_name().startswith("znver") else "haswell"
    variables["NUMBA_CPU_FEATURES"] = ",".join(mark + name for name, mark in marks.items())
    variables["NUMBA_CACHE_DIR"] = str(NARROW_CACHE)
    variables["ATEN_CPU_CAPABILITY"] = "avx2"
    variables["FBGEMM_ENABLE_INSTRUCTIONS"] = "AVX2"


def clean(arguments: Sequence[str]) -> None:
    """
    Clean the environment of this process, and narrow the instruction set if `--avx2` is given.

    Start the process again if NumPy is already loaded, by a .pth file or a profiler.
    """
    before = dict(os.environ)
    remove(os.environ)
    if "--avx2" in arguments:
        narrow(os.environ)
    if dict(os.environ) != before and "numpy" in sys.modules:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *arguments], dict(os.environ))
