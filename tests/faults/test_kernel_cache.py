"""Cache of compiled kernels: imports and calls work if it cannot be written, or is damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300
# Root may write everywhere by a capability, which it can give up for good (PR_CAPBSET_DROP,
# CAP_DAC_OVERRIDE).
LAUNCH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
START = """
import numpy as np
import npbloom as nb

try:
    open("written", "x")
except PermissionError:
    pass
else:
    raise AssertionError("the installation can be written to")

def look_up():
    layer = nb.ScaledEmbedding(3, 2, weight=np.arange(6.0).reshape(3, 2))
    assert layer([2, 0]).tolist() == [[4.0, 5.0], [0.0, 1.0]]

"""
HITS = """
from npbloom._kernels import lookup
kernels = [kernel for kernel in vars(lookup).values() if hasattr(kernel, "stats")]
# Helpers that are compiled into kernels have no cache of their own.
paths = {kernel.stats.cache_path for kernel in kernels} - {None} or {None}
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels), paths)
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a package, ``site``, and a folder ``home``, both read-only."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "npbloom", site / "npbloom", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "home").mkdir()
    closed = [tmp_path / "home", site, *(path for path in site.rglob("*") if path.is_dir())]
    for path in closed:
        path.chmod(0o555)
    yield tmp_path
    for path in closed:
        path.chmod(0o755)


def output(script: str, folder: Path, **environment: Path) -> str:
    """Return what a program prints that imports the read-only package of the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "HOME", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, START + script],
        cwd=folder / "site",
        env={**kept, "PYTHONPATH": str(folder / "site"), **{name: str(path) for name, path in environment.items()}},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "names",
    [
        {"HOME": "home"},
        {"HOME": "home/missing"},
        {"HOME": ".", "XDG_CACHE_HOME": "home"},
        {"HOME": "home", "NUMBA_CACHE_DIR": "site"},
    ],
    ids=["home", "no home", "cache of the user", "named cache"],
)
def test_without_a_folder_to_write_to_kernels_are_compiled_in_each_process(names: dict[str, str], installation: Path) -> None:
    environment = {name: installation / value for name, value in names.items()}
    assert output("look_up()" + HITS, installation, **environment) == "0 {None}\n"
    assert {path.name for path in installation.iterdir()} == {"site", "home"}
    assert [path for path in installation.rglob("*") if path.suffix in (".nbi", ".nbc", ".pyc")] == []


def test_with_a_home_to_write_to_kernels_are_kept_there(installation: Path) -> None:
    first, second = (output("look_up()" + HITS, installation, HOME=installation) for _ in range(2))
    assert first.startswith(f"0 {{'{installation}/.cache/numba/")
    assert second.startswith(f"1 {{'{installation}/.cache/numba/")


def test_a_cache_that_can_no_longer_be_written_costs_time_and_no_call(installation: Path) -> None:
    script = "import pathlib, shutil\nshutil.rmtree(cache := pathlib.Path.home() / '.cache')\ncache.touch()\nlook_up()\nlook_up()"
    output(script, installation, HOME=installation)
    assert (installation / ".cache").is_file()


@pytest.mark.parametrize(
    ("suffix", "size"),
    [
        (".nbi", 40),
        (".nbc", 0),
        pytest.param(".nbi", 0, marks=pytest.mark.nightly),
        pytest.param(".nbc", 40, marks=pytest.mark.nightly),
    ],
)
def test_a_cache_that_is_cut_off_is_compiled_again_and_replaced(suffix: str, size: int, installation: Path) -> None:
    """A power cut may leave such a file, since Numba flushes nothing."""
    output("look_up()", installation, HOME=installation)
    damaged = [path for path in installation.rglob("*") if path.suffix == suffix]
    for path in damaged:
        os.truncate(path, size)
    hits = [output("look_up()" + HITS, installation, HOME=installation)[0] for _ in range(2)]
    assert damaged
    assert hits == ["0", "1"]
