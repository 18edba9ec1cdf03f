"""Seconds of importing modules, printed: `python -m benchmarks.programs.import_time MODULE ...`."""

from __future__ import annotations

import importlib
import sys
import time

if __name__ == "__main__":
    start = time.perf_counter()
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print(time.perf_counter() - start)
