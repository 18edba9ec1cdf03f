"""
Install the wheel in empty environments and use it.

``python check.py packaging`` runs this module. It takes minutes and needs a package registry.

It tests each Python that `pyproject.toml` names, with the newest dependencies: `pip check`, the
command, `program.py` as a program and under mypy and pyright, and the tests that need no other
package. It tests the oldest Python once more with every dependency at its lower bound. If a Python
is not on this machine, it is named and the step fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13")
PROGRAM = Path(__file__).with_name("program.py")
# Tests that need no package besides pytest and the runtime dependencies; they run against the
# installed wheel.
TESTS = ("kernels", "layers", "reference", "coding", "optimizers", "checkpoint/test_round_trips.py", "types")
MORE_TESTS = ("laws",)  # with the lower bounds


def found(version: str) -> str | None:
    """Return the path of a Python of this version: this one, one on the path, or one of pyenv's."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    places = [shutil.which(f"python{version}"), *sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))]
    for place in places:
        if place and subprocess.run([place, "-c", "import venv, ssl"], capture_output=True, check=False).returncode == 0:
            return str(place)
    return None


def lower_bounds() -> list[str]:
    """Return every dependency at its lower bound, including the conformance kit's."""
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["conformance"]
    return [re.sub(r">=([\d.]+)", r"==\1.*", each) for each in wanted]


def run(folder: Path, *command: str) -> str:
    """Run a command, outside of the repository, that must succeed; return what it printed."""
    print("   ", " ".join(command).replace(str(folder), "."), flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nexit status {done.returncode}: {' '.join(command)}")
    return done.stdout


def tests_without_the_package(folder: Path, names: tuple[str, ...]) -> list[str]:
    """Copy the tests to a folder without npbloom, so that they import the installed one."""
    for name in ("tests", "conftest.py", "pyproject.toml", "docs"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return [f"tests/{name}" for name in names]


def use(python: str, wheel: Path, folder: Path, pins: list[str], checkers: bool) -> None:
    """Run all checks in one environment."""
    run(folder, python, "-m", "venv", "env")
    inside = str(folder / "env" / "bin" / "python")
    pip = (inside, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(folder, *pip, "install", str(wheel), *pins)
    run(folder, *pip, "check")
    assert "fit" in run(folder, str(folder / "env" / "bin" / "npbloom"), "--help")
    where = run(folder, inside, "-c", "import npbloom; print(npbloom.__file__)")
    assert where.startswith(str(folder)), where
    run(folder, *pip, "install", "pytest", f"{wheel}[conformance]", *pins)
    shutil.copy(PROGRAM, folder)
    run(folder, inside, PROGRAM.name)
    tests = tests_without_the_package(folder, TESTS if checkers else TESTS + MORE_TESTS)
    print("   ", run(folder, inside, "-m", "pytest", "-q", *tests).strip().splitlines()[-1])
    if checkers:
        run(folder, *pip, "install", "mypy", "pyright[nodejs]")
        run(folder, inside, "-m", "mypy", "--strict", "--config-file=", PROGRAM.name)
        (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard", "include": ["program.py"]}', "utf-8")
        run(folder, inside, "-m", "pyright", "--pythonpath", inside)


def main() -> int:
    """Run the checks in all environments; return 0 if all passed."""
    missing = [version for version in PYTHONS if not found(version)]
    with tempfile.TemporaryDirectory(prefix="npbloom-packaging-") as name:
        root = Path(name)
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name], cwd=ROOT, check=True)
        (wheel,) = root.glob("*.whl")
        runs = [(version, "newest", False) for version in PYTHONS if version not in missing]
        for version, kind, oldest in [*runs, (PYTHONS[0], "lower bounds", True)]:
            print(f"--- Python {version}, dependencies: {kind}", flush=True)
            folder = root / f"{version}-{kind.replace(' ', '-')}"
            folder.mkdir()
            use(found(version) or sys.executable, wheel, folder, lower_bounds() if oldest else [], checkers=not oldest)
            shutil.rmtree(folder)
    print(f"not on this machine, so not tried: Python {', '.join(missing)}" if missing else "all held")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
