"""What is built from this tree: a small wheel with the package and nothing else, and an sdist that gives the same wheel."""

from __future__ import annotations

import ast
import email
import hashlib
import json
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
DOCUMENTED = """
import importlib, inspect, json, sys
sys.path.insert(0, sys.argv[1])
import npbloom
assert npbloom.__file__.startswith(sys.argv[1]), npbloom.__file__
docs = {}
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    docs[name] = module.__doc__
    for public in module.__all__:
        thing = getattr(module, public)
        docs[f"{name}.{public}"] = inspect.getdoc(thing)
        for member in dir(thing) if inspect.isclass(thing) else ():
            value = inspect.getattr_static(thing, member)
            if not member.startswith("_") and isinstance(value, (classmethod, property, type(lambda: 0))):
                docs[f"{name}.{public}.{member}"] = inspect.getdoc(getattr(thing, member))
print(json.dumps(docs))
"""


def build(source: Path, target: Path, kind: str) -> Path:
    """A wheel or an sdist, built without network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel"))


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def developers_only(name: str) -> bool:
    """The kit's tests of itself, which a wheel leaves out."""
    return name.startswith("npbloom/conformance/mutants/") or name == "npbloom/conformance/_selftest.py"


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).stat().st_size < LIMIT


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "npbloom").rglob("*.py")}
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {name for name in modules if not developers_only(name)} | {"npbloom/py.typed"}


def without_docstrings(source: bytes) -> list[str]:
    """A module's statements and the lines they stand in, but for docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return [ast.dump(node, include_attributes=True) for node in tree.body]


def test_the_wheel_s_modules_are_the_repository_s_line_for_line(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        if name.endswith(".py"):
            assert without_docstrings(wheel.read(name)) == without_docstrings((ROOT / name).read_bytes()), name


def documentation(folder: Path, *modules: str) -> dict[str, str | None]:
    """Docstrings of all public names of these modules, by a Python that imports npbloom from a folder."""
    command = [sys.executable, "-c", DOCUMENTED, str(folder), *modules]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    docs: dict[str, str | None] = json.loads(done.stdout)
    return docs


def test_public_names_keep_their_docstrings(installed: Path) -> None:
    folders = [path.parent for path in sorted((ROOT / "npbloom").rglob("__init__.py")) if "__all__" in path.read_text("utf-8")]
    names = [folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in folders]
    modules = [name for name in names if name.partition("conformance.")[2] == ""] + ["npbloom.hashing", "npbloom.optimizers"]
    assert "npbloom.conformance" in modules
    ours = documentation(ROOT, *modules)
    assert len(ours) > 150
    assert documentation(installed, *modules) == ours


def test_the_selftest_is_refused_where_its_faults_are_not(installed: Path) -> None:
    program = "import sys; sys.path.insert(0, '.'); from npbloom.cli import main; sys.exit(main(['verify', '--selftest']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--selftest needs the catalogue of faults, which wheels leave out" in done.stderr
    assert done.stderr.count("\n") == 1


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
