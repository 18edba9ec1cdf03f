"""The judgement of a file of results: a program's answers against golden vectors."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Outputs
from npbloom.conformance.runner.answers import Failure, as_outputs
from npbloom.conformance.runner.wire import as_object, in_words, kind_of, names_of, outputs_of
from npbloom.conformance.vectors.files import SETS
from npbloom.conformance.vectors.format import Place, tests_of
from npbloom.conformance.vectors.source import Array
from npbloom.conformance.vectors.vector import Band, Vector, answer_of

STATUSES = ("passed", "failed", "acceptable", "partial", "unsupported", "unanswered")


@dataclass
class Judgement:
    """
    The verdicts on a file of results.

    Parameters
    ----------
    verdicts : dict of int to (str, str)
        For each test a status and a sentence. The status is ``passed``; ``failed``; ``acceptable``
        (a documented choice that is not npbloom's); ``partial`` (no output is wrong, but one is
        missing and not omitted by name); ``unsupported``; or ``unanswered``.
    sets : dict of int to str
        The set of each test.

    Examples
    --------
    >>> verdicts = {1001: ("passed", ""), 1002: ("partial", "without hash")}
    >>> judgement = Judgement(verdicts, {1001: "hash", 1002: "hash"})
    >>> judgement.ok, judgement.counts()["hash"]["passed"]
    (False, 1)
    """

    verdicts: dict[int, tuple[str, str]] = field(default_factory=dict)
    sets: dict[int, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if some tests passed, none failed or is partial, and no set is answered in part."""
        counts = Counter(status for status, _ in self.verdicts.values())
        unanswered = {self.sets[number] for number, (status, _) in self.verdicts.items() if status == "unanswered"}
        answered = {self.sets[number] for number, (status, _) in self.verdicts.items() if status != "unanswered"}
        return bool(counts["passed"]) and not counts["failed"] and not counts["partial"] and not unanswered & answered

    def counts(self) -> dict[str, Counter[str]]:
        """Return the number of tests of each set by status."""
        found: dict[str, Counter[str]] = {}
        for number, (status, _) in self.verdicts.items():
            found.setdefault(self.sets[number], Counter())[status] += 1
        return found

    def to_json(self) -> str:
        """Return the judgement as a JSON object."""
        rows = [
            {"tcId": number, "set": self.sets[number], "status": status, "message": message}
            for number, (status, message) in self.verdicts.items()
        ]
        return json.dumps({"ok": self.ok, "results": rows}, indent=2)

    def __str__(self) -> str:
        """Return a line for each set, and one for each test that failed or is partial."""
        lines = ["set     " + "".join(f"{status:>13}" for status in STATUSES)]
        for name, counts in self.counts().items():
            lines.append(f"{name:<8}" + "".join(f"{counts[status] or '':>13}" for status in STATUSES))
        for number, (status, message) in self.verdicts.items():
            if status in ("failed", "partial"):
                lines.append(f"{self.sets[number]} tcId {number}: {status}: {message}")
        return "\n".join([*lines, "ok" if self.ok else "NOT OK"])


def judge(directory: str | os.PathLike[str], results: Iterable[str]) -> Judgement:
    """
    Compare answers with the golden vectors in a directory.

    Parameters
    ----------
    directory : path
        Folder that `export` has written.
    results : iterable of str
        The lines of a file of results, each a reply; or the lines of one JSON array of replies.

    Returns
    -------
    Judgement
        ``judgement.ok``, ``judgement.verdicts``, ``print(judgement)``.

    Raises
    ------
    ValueError
        A file is invalid: no vectors, no JSON, no reply, a test that does not exist or is answered
        twice.
    OSError
        A file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from npbloom.conformance.vectors import export
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = export(folder, ["hash"])
    ...     judgement = judge(folder, ['{"tcId":1001,"unsupported":"no hashes"}'])
    >>> judgement.ok, judgement.verdicts[1001]
    (False, ('unsupported', 'no hashes'))
    """
    vectors, sets = _read(Path(directory))
    replies: dict[int, Mapping[str, Any]] = {}
    for number, reply in _replies(results):
        if number not in vectors:
            raise ValueError(f"There is no test {number!r} among the vectors.")
        if number in replies:
            raise ValueError(f"There are two answers to tcId {number}.")
        replies[number] = reply
    verdicts = {
        number: verdict(vector, replies[number]) if number in replies else ("unanswered", "")
        for number, vector in vectors.items()
    }
    return Judgement(verdicts, sets)


def _read(folder: Path) -> tuple[dict[int, Vector], dict[int, str]]:
    """Return all vectors of a directory, and the set of each."""
    vectors: dict[int, Vector] = {}
    sets: dict[int, str] = {}
    if not folder.is_dir():
        raise FileNotFoundError(2, "No such directory", str(folder))
    for name in SETS:
        path, beside = folder / f"{name}.json", folder / f"{name}.safetensors"
        if path.is_file():
            try:
                tests = tests_of(path.read_text(encoding="ascii"), _tensors(beside))
                for number, vector in tests.items():
                    _check_consistent(number, vector)
            except ValueError as error:
                raise ValueError(f"{path} {error}") from None
            vectors.update(tests)
            sets.update(dict.fromkeys(tests, name))
    if not vectors:
        raise FileNotFoundError(2, "No golden vectors in this directory", str(folder))
    return vectors, sets


def _check_consistent(number: int, vector: Vector) -> None:
    """Raise a ValueError for a test that its own answer does not pass: it cannot judge others."""
    if not vector.expect:
        return
    try:
        status, why = _compared(vector, answer_of(vector), [])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        status, why = "failed", str(error)
    if status != "passed":
        raise ValueError(f"has a test {number} that contradicts itself: {in_words(why)}")


def _tensors(path: Path) -> Place:
    """Return the arrays of a safetensors file, if there is one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return {}
    try:
        tensors: Place = load_file(path)
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"stands beside a damaged {path.name}: {in_words(error)}") from None
    return tensors


def _replies(results: Iterable[str]) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Yield number and object of each reply."""
    lines = [line.strip() for line in results]
    lines = [line for line in lines if line]
    if lines and lines[0].startswith("["):
        try:
            entries = json.loads("\n".join(lines))
        except (RecursionError, ValueError) as error:
            raise ValueError(f"The results are no JSON: {in_words(error)}") from None
    else:
        entries = []
        for at, line in enumerate(lines, 1):
            try:
                entries.append(as_object(line.removesuffix(",")))
            except ValueError as error:
                raise ValueError(f"Line {at} of the results {error}") from None
    for entry in entries:
        number = entry.get("tcId") if isinstance(entry, dict) else None
        if type(number) is not int:
            raise ValueError(f"Each result must be an object with a tcId, not {in_words(entry)}")
        yield number, entry


# ---- one answer ----------------------------------------------------------------------------------


def verdict(vector: Vector, reply: Mapping[str, Any]) -> tuple[str, str]:
    """Return status and sentence of one reply."""
    try:
        kind = kind_of(reply)
        outputs = outputs_of(reply) if kind == "outputs" else {}
        omits = names_of(reply)
    except ValueError as error:
        return "failed", f"the answer {error}"
    if kind == "unsupported":
        return "unsupported", str(reply[kind])
    if kind == "error":
        if not vector.expect:
            return "passed", ""
        return ("acceptable" if vector.result == "acceptable" else "failed"), f"refused: {reply[kind]}"
    if vector.result == "invalid":
        return "failed", f"must be refused ({vector.note}), not answered with {', '.join(sorted(outputs)) or 'nothing'}"
    return _compared(vector, outputs, omits)


def _compared(vector: Vector, outputs: Outputs, omits: list[str]) -> tuple[str, str]:
    """Return status and sentence of an answer with outputs."""
    if not vector.expect:
        return "acceptable", "answered, where npbloom refuses"
    try:
        found = as_outputs(vector.case, outputs)
        missing = [key for key in vector.expect if key not in found and key not in omits]
        if len(missing) == len(vector.expect):
            return "failed", f"must return some of {', '.join(vector.expect)}, not {', '.join(sorted(outputs)) or 'nothing'}"
        for key in vector.expect.keys() & found.keys():
            _compare(key, found[key], vector.expect[key])
    except Failure as failure:
        return ("acceptable" if vector.result == "acceptable" else "failed"), f"{failure.message} [{vector.spec}] {vector.note}"
    return ("partial", f"without {', '.join(missing)}") if missing else ("passed", "")


def _compare(key: str, got: Any, expected: Band | Mapping[str, Band]) -> None:
    """Raise a Failure that names the first wrong element, if there is one."""
    if not isinstance(expected, Band):
        for name, band in expected.items():
            _compare(f"state[{name!r}]", got[name], band)
        return
    if got.shape != expected.lo.shape:
        raise Failure(None, f"`{key}` must have shape {expected.lo.shape}, not {got.shape}")
    if expected.lo.dtype.kind in "iu" and got.dtype.kind not in "iu" and not key.startswith("state"):
        raise Failure(None, f"`{key}` must be an integer array, not {got.dtype}")
    wrong = ~np.asarray(expected.holds(got))
    if wrong.any():
        raise Failure(None, _described(key, got, expected, wrong))


def _described(key: str, got: Array, expected: Band, wrong: Array) -> str:
    """Return a sentence on the first wrong element: its place, its value, and the right values."""
    where = tuple(int(at) for at in np.argwhere(wrong)[0])
    place = f"[{', '.join(map(str, where))}]" if where else ""
    low, high = expected.lo[where].item(), expected.hi[where].item()
    right = f"{low!r}" if expected.bits or low == high or low != low else f"from {low!r} to {high!r}"
    count = int(np.count_nonzero(wrong))
    more = f" ({count} of {wrong.size} elements are wrong)" if count > 1 else ""
    return f"`{key}{place}` is {got[where].item()!r}, expected {right}{' to the bit' if expected.bits else ''}{more}"
