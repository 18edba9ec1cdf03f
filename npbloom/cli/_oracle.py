"""Commands of the conformance kit, `npbloom verify` and `npbloom vectors`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from npbloom.cli._errors import Refused, check_writable, refusing

if TYPE_CHECKING:
    from npbloom.conformance import Backend, CheckResult


def verify(arguments: argparse.Namespace) -> int:
    """Check a backend, or list the checks; return 0 if all is well."""
    _check_verify(arguments)
    kit = _kit()
    if arguments.list:
        return _list(arguments.only)
    backend = _backend(arguments.backend, kit)
    expected = _expected_failures(arguments.xfails)
    out = None if arguments.json == "-" else arguments.json
    check_writable(out, "--json")
    with refusing("--only"):
        names = [each.name for each in _registry().selected(arguments.only)]
    with refusing(arguments.backend), _Progress(sys.stderr, names) as progress:
        report = kit.check(
            backend,
            profile=arguments.profile,
            seed=arguments.seed,
            only=arguments.only,
            expected_failures=expected,
            on_result=progress.show,
        )
    if out is not None:
        with refusing(out):
            Path(out).write_text(report.to_json() + "\n", encoding="utf-8")
    print(report.to_json() if arguments.json == "-" else report)
    return 0 if report.ok else 1


def _check_verify(arguments: argparse.Namespace) -> None:
    """Refuse options that do not fit each other: none is accepted and ignored."""
    if arguments.list and arguments.backend is not None:
        raise Refused(f"--list takes no backend, not {arguments.backend}")
    if not arguments.list and arguments.backend is None:
        raise Refused("verify needs a backend, MODULE:BACKEND (see npbloom verify --help)")


def _kit() -> Any:
    """Return the conformance kit, which needs an extra."""
    if importlib.util.find_spec("hypothesis") is None:
        raise Refused('the conformance kit needs Hypothesis: python -m pip install "npbloom[conformance]"')
    return importlib.import_module("npbloom.conformance")


def _registry() -> Any:
    """Return the module with the list of checks."""
    return importlib.import_module("npbloom.conformance.checks.registry")


def _list(only: str | None) -> int:
    """Print a line for each check: its name, its law, and its assertion."""
    with refusing("--only"):
        checks = _registry().selected(only)
    width = max(len(each.name) for each in checks)
    for each in checks:
        print(f"{each.name:<{width}}  {each.law:<4}  {each.sentence}")
    return 0


# ---- the backend ---------------------------------------------------------------------------------


def _backend(spec: str, kit: Any) -> Backend:
    """
    Return the backend that MODULE:BACKEND names.

    It is an object, or a class that is called without arguments.
    """
    module_name, colon, path = spec.partition(":")
    if not (colon and module_name and path):
        raise Refused(f"{spec}: must be MODULE:BACKEND, as in mypackage.kernels:MyBackend")
    found: Any = _module(module_name)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise Refused(f"{spec}: {_one_line(error) or f'there is no {path} in {module_name}'}") from None
        except ImportError as error:
            raise Refused(f"{spec}: {_one_line(error)}") from None
    if isinstance(found, type) and issubclass(found, kit.Backend):
        try:
            found = found()
        except Exception as error:
            raise Refused(f"{spec}: could not be made: {type(error).__name__}: {_one_line(error)}") from None
    if not isinstance(found, kit.Backend):
        kind = found.__name__ if isinstance(found, type) else type(found).__name__
        raise Refused(f"{spec}: {kind} is no Backend of npbloom.conformance")
    backend: Backend = found
    return backend


def _module(name: str) -> ModuleType:
    """Import the module; the current directory is searched, too."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            hint = f"; did you mean {name[:-3]}?" if name.endswith(".py") else ""
            raise Refused(f"there is no module {name}{hint}") from None
        raise Refused(f"{name} needs the module {missing}, which is not installed") from None
    except Exception as error:
        raise Refused(f"{name} cannot be imported: {type(error).__name__}: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    """Return the text of an exception as one line."""
    return " ".join(str(error).split())


def _expected_failures(path: str | None) -> dict[str, str] | None:
    """
    Read the file of expected failures.

    Each line has the name of a check, then a reason; or the file is one JSON object.
    """
    if path is None:
        return None
    with refusing(path):
        text = Path(path).read_text(encoding="utf-8")
        pairs = list(_as_json(text) if text.lstrip().startswith("{") else _as_lines(text))
    known = {each.name for each in _registry().selected(None)}
    expected: dict[str, str] = {}
    for name, reason in pairs:
        if name not in known:
            raise Refused(f"{path}: there is no check named {name!r}; `npbloom verify --list` names them")
        if name in expected:
            raise Refused(f"{path}: {name} stands there twice")
        expected[name] = reason or f"stands in {path}"
    return expected


def _as_json(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and reasons of a JSON object."""
    for name, reason in json.loads(text, object_pairs_hook=list):
        if not isinstance(reason, str):
            raise ValueError(f"the reason of {name!r} must be a text, not {reason!r}")
        yield name, reason


def _as_lines(text: str) -> Iterator[tuple[str, str]]:
    """
    Yield names and reasons of lines.

    A blank or a colon ends the name. Lines that start with # are comments.
    """
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, _, reason = line.strip().partition(" ")
            yield name.removesuffix(":"), reason.strip()


class _Progress:
    """
    Progress on a terminal: the running check and the number of finished ones.

    Lines of failures stay above it.
    """

    def __init__(self, stream: IO[str], names: list[str]) -> None:
        self._stream = stream if stream.isatty() else None
        self._names, self._done = names, 0

    def __enter__(self) -> _Progress:
        self._write("")
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def show(self, result: CheckResult) -> None:
        """Show that one more check is finished."""
        self._done += 1
        self._write(f"{result.status:<13} {result.name}\n" if result.status in ("failed", "xpassed") else "")

    def _write(self, line: str) -> None:
        """Write a line that stays, if there is one, and the progress."""
        if self._stream is not None and self._done < len(self._names):
            done, name = f"{self._done}/{len(self._names)}", self._names[self._done]
            self._stream.write(f"\r\x1b[K{line}[{done}] {name}")
            self._stream.flush()


# ---- golden vectors ------------------------------------------------------------------------------


def vectors_export(arguments: argparse.Namespace) -> int:
    """Write golden vectors."""
    vectors = _vectors()
    with refusing(arguments.directory):
        files = vectors.export(arguments.directory, _sets(arguments.sets), safetensors=arguments.safetensors)
    for path in files:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def vectors_check(arguments: argparse.Namespace) -> int:
    """Make golden vectors again, and compare."""
    vectors = _vectors()
    with refusing(arguments.directory or "--sets"):
        differences = vectors.check(arguments.directory, _sets(arguments.sets))
    for difference in differences:
        print(difference)
    if not differences:
        where = f"the files in {arguments.directory} are" if arguments.directory else "this platform makes"
        print(f"{where} the golden vectors of this npbloom, byte for byte")
    return 1 if differences else 0


def vectors_judge(arguments: argparse.Namespace) -> int:
    """Compare a program's answers with golden vectors."""
    vectors = _vectors()
    with refusing(arguments.results):
        lines = _lines(arguments.results)
    with refusing(arguments.directory):
        judgement = vectors.judge(arguments.directory, lines)
    print(judgement.to_json() if arguments.json else judgement)
    return 0 if judgement.ok else 1


def _lines(path: str) -> list[str]:
    """Return the lines of a file, or of the standard input."""
    if path == "-":
        return sys.stdin.read().splitlines()
    return Path(path).read_text(encoding="utf-8").splitlines()


def _vectors() -> Any:
    """Return the module of golden vectors, which is part of the kit."""
    _kit()
    return importlib.import_module("npbloom.conformance.vectors")


def _sets(words: str | None) -> Iterable[str] | None:
    """Return names that are separated by commas, or None."""
    return [word.strip() for word in words.split(",")] if words is not None else None
