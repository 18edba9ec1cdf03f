"""
Setup of every test run, doctests included: a Numba cache folder of its own for each state of the
kernels.
"""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


def kernel_cache_dir(kernels: Path) -> Path:
    """
    Return a folder named by the hash of the kernels' sources.

    Numba's disk cache watches only the file of the jitted function. After an edit of a flag in
    `jit.py` it would return the old machine code. A folder for each state of all kernels cannot be
    stale. The cache does not notice a change of `NUMBA_BOUNDSCHECK` either: it would return kernels
    without the checks as those with them.
    """
    digest = hashlib.sha256(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())
    for path in sorted(kernels.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return Path(tempfile.gettempdir()) / f"npbloom-numba-{os.getuid()}" / digest.hexdigest()[:16]


os.environ["NUMBA_CACHE_DIR"] = str(kernel_cache_dir(Path(__file__).parent / "npbloom" / "_kernels"))


# A shell starts a job in the background with SIGINT ignored, and children inherit that. Tests of
# Control-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Adapters of other packages. The packages may be missing, and the files have no examples.
BACKENDS = Path(__file__).parent / "npbloom" / "conformance" / "backends"
collect_ignore = [str(path) for path in BACKENDS.glob("*.py") if path.name not in ("__init__.py", "npbloom.py")]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """
    Collect without the garbage collector, and hide from it everything that was collected.

    It would walk through 7,000 tests and the modules they import at every pass: a `gc.collect` took
    0.3 s of each measurement in the tests of benchmarks.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True)
def _usual_names(doctest_namespace: dict[str, Any]) -> None:
    """Provide `np` and `nb` to doctests, as numpydoc's examples assume."""
    import numpy

    import npbloom

    doctest_namespace.update(np=numpy, nb=npbloom)
