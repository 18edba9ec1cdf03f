"""Memory of this process, as the kernel counts it."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Return `VmRSS` or `VmHWM` in bytes."""
    match = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"), flags=re.M)
    assert match is not None
    return int(match[1]) * 1024


def settle() -> int:
    """
    Return unused memory to the system, reset the record of the peak, and return the resident bytes.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5", encoding="ascii")
    return resident("VmRSS")
