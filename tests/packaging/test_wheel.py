"""Wheel and sdist: a small wheel with the package only, and an sdist that gives the same wheel."""

from __future__ import annotations

import ast
import email
import hashlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LIMIT = 450_000  # bytes of the wheel


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a wheel or an sdist, without network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).stat().st_size < LIMIT


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "npbloom").rglob("*.py")}
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == modules | {"npbloom/py.typed"}


def test_what_is_installed_is_what_is_read(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        if ".dist-info/" not in name:
            assert wheel.read(name) == (ROOT / name).read_bytes(), name


def test_the_sdist_gives_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, tmp_path / "sdist", "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    for name in (".ci/run", "README.md", "check.py", "docs/semantics.md", "tests/packaging/test_wheel.py"):
        assert (source / name).is_file(), name
    again = build(source, tmp_path / "wheel", "wheel")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (Path(str(wheel.filename)), again)]
    assert digests[0] == digests[1]


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert wheel.read(name).decode() == "[console_scripts]\nnpbloom = npbloom.cli:main\n"


def test_pythons_and_lower_bounds_are_those_that_the_packaging_step_runs(metadata: Message) -> None:
    script = (ROOT / "tests" / "packaging" / "environments.py").read_text("utf-8")
    stated = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier") or []))
    assert ast.literal_eval(re.search(r"^PYTHONS = (\(.*\))$", script, re.MULTILINE)[1]) == tuple(stated)  # type: ignore[index]
    assert metadata["Requires-Python"] == f">={stated[0]}"
    assert all(">=" in each for each in PYPROJECT["project"]["dependencies"])
