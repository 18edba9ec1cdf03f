"""Description of the machine: processor, caches, memory, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import npbloom

PACKAGES = ("numpy", "numba", "torch", "fbgemm_gpu-cpu", "scikit-learn")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def processor() -> str:
    """Return the processor's model name, with family and model number."""
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", _text(Path("/proc/cpuinfo")), flags=re.M)[:3])
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    return f"{fields['model name']} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def caches() -> dict[str, str]:
    """Return the sizes of the first core's caches."""
    found = {}
    for folder in sorted(CACHES.glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(_text(folder / "type"), "")
        size = _text(folder / "size")
        amount = int(size.rstrip("KM") or 0) * (1024 if size.endswith("M") else 1)
        found[f"L{_text(folder / 'level')}{kind}"] = f"{amount // 1024} MiB" if amount % 1024 == 0 else f"{amount} KiB"
    return found


def memory() -> str:
    """Return the size of the machine's memory."""
    match = re.search(r"^MemTotal:\s+(\d+)", _text(Path("/proc/meminfo")), flags=re.M)
    return f"{int(match[1]) / 2**20:.0f} GiB" if match else "unknown"


def huge_pages() -> str:
    """
    Return the kernel's policy.

    With `madvise`, NumPy's large arrays have huge pages, and torch's do not.
    """
    match = re.search(r"\[(\w+)\]", _text(Path("/sys/kernel/mm/transparent_hugepage/enabled")))
    return match[1] if match else "unknown"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the measured packages that are installed."""
    found = {"python": platform.python_version(), "npbloom": npbloom.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """Return everything above."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor(),
        "cores": cores,
        "caches": caches(),
        "memory": memory(),
        "huge pages": huge_pages(),
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions(),
    }


def commit(root: Path) -> str:
    """
    Return the measured commit, with a plus sign if files differ from it.

    Outside a repository it is empty.
    """
    try:
        words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _text(path: Path) -> str:
    """Return the text of a file, empty if there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
