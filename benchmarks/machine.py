"""Description of the machine: processor, instruction set, caches, memory, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from llvmlite import binding as llvm
from numba.core.registry import cpu_target

import npbloom
from benchmarks import huge_pages

PACKAGES = ("numpy", "numba", "torch", "fbgemm_gpu-cpu", "scikit-learn")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
SETS = {"avx512f": "avx512", "avx2": "avx2", "avx": "avx", "sse2": "sse2", "neon": "neon"}  # the widest first
SET_WORDS = {"avx512": "AVX-512", "avx2": "AVX2"}


def processor() -> str:
    """Return the processor's model name, with family and model number."""
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", _text(Path("/proc/cpuinfo")), flags=re.M)[:3])
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    return f"{fields['model name']} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def widest(features: Collection[str]) -> str:
    """Return the widest instruction set of these features, in LLVM's names."""
    return next((words for feature, words in SETS.items() if feature in features), platform.machine())


def processor_sets() -> set[str]:
    """Return the instruction sets that the processor has, whatever Numba was told."""
    return {words for feature, words in SETS.items() if llvm.get_host_cpu_features().get(feature)}


def instructions() -> dict[str, Any]:
    """
    Return the instruction set that Numba compiles for, and what the others were told.

    `narrowed` is True if the processor has a wider one.
    """
    _, target, features = cpu_target.target_context.codegen().magic_tuple()
    found = widest([word[1:] for word in features.split(",") if word.startswith("+")])
    return {
        "set": found,
        "narrowed": found != widest([name for name, there in llvm.get_host_cpu_features().items() if there]),
        "numba": target,
        "torch": torch.backends.cpu.get_cpu_capability(),
        "fbgemm": os.environ.get("FBGEMM_ENABLE_INSTRUCTIONS", "its own choice"),
    }


def words(described: dict[str, Any]) -> str:
    """Return a machine's processor and instruction set as they stand above its tables."""
    chosen = described["instructions"]
    narrowed = " (AVX-512 not used)" if chosen["narrowed"] else ""
    return f"{described['processor']}, {SET_WORDS.get(chosen['set'], chosen['set'])}{narrowed}"


def folder_name(described: dict[str, Any]) -> str:
    """
    Return the name of the folder for a machine's results.

    It has the processor's name, family and model, and the instruction set.
    """
    text = re.sub(r"\((r|tm)\)|\b(cpu|processor)\b|@ *[\d.]+ghz", " ", described["processor"].lower())
    text = re.sub(r"\b(family|model) (?=\d)", r"\1", text)
    return re.sub(r"[^a-z0-9]+", "-", f"{text} {described['instructions']['set']}").strip("-")


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
        "instructions": instructions(),
        "cores": cores,
        "caches": caches(),
        "memory": memory(),
        "huge pages": huge_pages.mode(),
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
