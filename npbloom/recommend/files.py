"""`read_ratings`: files of ratings in the forms people keep them in."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import stat
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from npbloom.recommend.interactions import Interactions
from npbloom.types import IntArray

Path = str | os.PathLike[str]

LONGEST = 2**20  # characters of a line
BLOCK = 65536  # rows split into fields at once: memory stays bounded, and most of the work is done inside C loops

# Recognised column names, lower case, letters and digits only, the likelier first.
NAMES = {
    "user": "user userid uid useridx username reviewerid reviewer customerid customer memberid visitorid accountid",
    "item": (
        "item itemid iid itemidx movieid movie productid product asin parentasin bookid book isbn artistid artist songid song "
        "trackid track businessid business gameid game animeid anime videoid video articleid"
    ),
    "rating": "rating ratings score stars star starrating overall overallrating preference weight count plays playcount",
    "timestamp": "timestamp ts time unixtime unixreviewtime datetime date created createdat reviewtime",
}
ROLES = ("user", "item", "rating", "timestamp")  # also the order of the columns of a file without a header
RECBOLE_TYPES = ("token", "float", "token_seq", "float_seq")


def read_ratings(path: Path) -> Interactions:
    """
    Read a file of ratings: users and items by the file's own ids, ratings and times where the file has them.

    Parameters
    ----------
    path : str or path-like
        A text file in UTF-8, one interaction a line, gzipped or not. Fields are separated by commas, tabs, semicolons,
        spaces or ``::``; commas, tabs and semicolons with quoted fields. A header names the columns (``userId``, ``user_id``,
        ``reviewerID``, ``movieId``, ``item``, ``asin``, ``rating``, ``score``, ``stars``, ``timestamp`` ..., RecBole's
        ``user_id:token``); other columns are passed over. Without a header the columns are user, item, rating, timestamp,
        of which the first two must be there.

    Returns
    -------
    Interactions
        Users and items are numbered from 1 in order of first appearance; 0 is padding. ``user_labels[user_id]`` and
        ``item_labels[item_id]`` are the file's own ids: int64 where every one is an integer as Python writes it (so "007"
        is not one), else str. The entries at 0 stand for nothing: -1 or "". Timestamps are integers where all are; dates in
        ISO format become seconds since 1970, taken as UTC where they name no zone.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is empty, or a line of it is not what it must be; the sentence names the file, the line and the column.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "ratings.csv")
    ...     _ = path.write_text("userId,movieId,rating\\nann,50,4.5\\nbob,50,3\\nann,7,1\\n")
    ...     ratings = read_ratings(path)
    >>> ratings
    <Interactions: 2 users x 2 items, 3 interactions>
    >>> ratings.user_ids, ratings.item_ids, ratings.ratings
    (array([1, 2, 1]), array([1, 1, 2]), array([4.5, 3. , 1. ]))
    >>> ratings.user_labels, ratings.item_labels
    (array(['', 'ann', 'bob'], dtype='<U3'), array([-1, 50,  7]))
    """
    try:
        try:
            return _read(_File(os.fspath(path)))
        except UnicodeDecodeError:
            raise ValueError(f"{path}, line {_undecodable_line(path)}: the text is not UTF-8.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: the gzip file is damaged ({error}).") from None


# ---- the file and its layout ----------------------------------------------------------------------------------------


class _File:
    """A ratings file: its path, its separator, and its rows."""

    def __init__(self, path: str) -> None:
        """Find the separator in the first line that is not blank."""
        self.path = path
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ValueError(f"{path} is no regular file: it is read more than once, which a pipe or a device does not allow.")
        self.separator: str | None = None  # None: any run of spaces
        with self.open() as lines:
            first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise ValueError(f"{path} is empty: there is no interaction in it.")
        unquoted = re.sub(r'"[^"]*"', "", first)
        if "::" in unquoted:
            self.separator = "::"
        elif any(mark in unquoted for mark in "\t,;"):
            self.separator = max("\t,;", key=unquoted.count)

    def open(self) -> _Lines:
        """The text of the file, without a byte order mark, unzipped where it is gzipped."""
        with open(self.path, "rb") as start:
            zipped = start.read(2) == b"\x1f\x8b"
        opener: Any = gzip.open if zipped else open
        return _Lines(self.path, opener(self.path, "rb"))

    def split(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The fields of each row; blank lines are passed over."""
        if self.separator is None:
            return filter(None, map(str.split, lines))
        if self.separator == "::":
            return (line.strip().split("::") for line in lines if line.strip())
        quoting: Literal[0, 3] = (
            csv.QUOTE_NONE if self.path.removesuffix(".gz").endswith(".inter") else csv.QUOTE_MINIMAL
        )  # RecBole never quotes
        rows = csv.reader(lines, delimiter=self.separator, quoting=quoting, skipinitialspace=True, strict=True)
        return (row for row in rows if row and (len(row) > 1 or row[0].strip()))

    def line_of(self, row: int) -> int:
        """The number of the line on which a row starts, both counted from the top; only read again for an error's sake."""
        before = 0
        with self.open() as lines:
            for number, _ in enumerate(self.split(lines)):
                if number == row:
                    break
                before = lines.lines
        with self.open() as lines:
            text = enumerate(islice(lines, before, None), before + 1)
            return next((number for number, line in text if line.strip()), before + 1)

    def error(self, row: int, what: str, column: int | None = None, name: str | None = None) -> ValueError:
        """A ValueError that names the file, the line and the column."""
        where = f"{self.path}, line {self.line_of(row)}"
        if column is not None:
            where += f", column {column + 1}" + (f" ({name})" if name else "")
        return ValueError(f"{where}: {what}")


class _Lines(io.TextIOWrapper):
    """A text that knows how many lines it gave, none of them longer than lines are: kilobytes of gzip may be one of gigabytes."""

    def __init__(self, path: str, binary: Any) -> None:
        """Nothing given yet."""
        super().__init__(binary, encoding="utf-8-sig", newline="")
        self.lines = 0
        self._path = path

    def __next__(self) -> str:  # type: ignore[override]  # typeshed says bytes
        """The next line, counted; NumPy would drop a NUL at the end of a label, and so make two of them one."""
        line = self.readline(LONGEST + 1)
        if not line:
            raise StopIteration
        self.lines += 1
        if len(line) > LONGEST:
            raise ValueError(f"{self._path}, line {self.lines}: a line must have at most {LONGEST:,} characters.")
        if "\0" in line:
            raise ValueError(f"{self._path}, line {self.lines}: there is a NUL character in the text.")
        return line


@dataclass
class _Layout:
    """Where the columns are: `names` of the header (None without one), `width` of every row, a column for each role."""

    names: list[str] | None
    width: int
    columns: dict[str, int]

    def name(self, role: str) -> str:
        """What the file, or else this module, calls the column of a role."""
        return role if self.names is None else self.names[self.columns[role]][:60]


def _layout(file: _File, first: list[str], second: list[str] | None) -> _Layout:
    """Read the header, if the first row is one; the second row helps to tell."""
    names = [_plain_name(field) for field in first]
    columns: dict[str, int] = {}
    for role in ROLES:
        known = [names.index(name) for name in NAMES[role].split() if name in names]
        if known:
            columns[role] = known[0]
    words = not any(_is_number(field) for field in first)
    named = "user" in columns or "item" in columns or (bool(columns) and words)
    numbers_follow = second is not None and any(_is_number(field) for field in second)
    if named or (words and numbers_follow and len(first) > 1):
        for role in ("user", "item"):
            if role not in columns:
                header = ", ".join(map(_quoted, first[:10])) + (f" and {len(first) - 10} more" if len(first) > 10 else "")
                raise file.error(0, f"no column of the header is named as the {role} ({_examples(role)}): {header}.")
        return _Layout([field.strip() for field in first], len(first), columns)
    if len(first) < 2:
        raise file.error(0, f"one column, {_quoted(first[0])}, where a user and an item must be.", 0)
    if len(first) > len(ROLES):
        raise file.error(0, f"{len(first)} columns and no header that says which is the user and which the item.")
    return _Layout(None, len(first), {role: column for column, role in enumerate(ROLES[: len(first)])})


def _plain_name(field: str) -> str:
    """A column's name in lower case letters and digits, without RecBole's type."""
    name, _, kind = field.rpartition(":")
    return re.sub(r"[^a-z0-9]", "", (name if name and kind.strip() in RECBOLE_TYPES else field).lower())


def _examples(role: str) -> str:
    """Some names a column may have, for an error."""
    return {"user": "user_id, userId, user, ...", "item": "item_id, movieId, item, asin, ..."}[role]


def _quoted(field: str) -> str:
    """A field in a sentence; a long one only begins there."""
    return repr(field) if len(field) <= 60 else f"{field[:60]!r}..."


def _is_number(field: str) -> bool:
    """Whether a field can be read as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


# ---- rows to arrays -------------------------------------------------------------------------------------------------


def _read(file: _File) -> Interactions:
    """Read every row, block by block."""
    with file.open() as lines:
        first_two = list(islice(_checked_rows(file, lines), 2))
    layout = _layout(file, first_two[0], first_two[1] if len(first_two) > 1 else None)
    header = 0 if layout.names is None else 1
    users, items = _Numbering(), _Numbering()
    numbers: dict[str, list[npt.NDArray[Any]]] = {role: [] for role in ROLES[2:] if role in layout.columns}
    with file.open() as lines:
        rows = _checked_rows(file, lines)
        next(islice(rows, header - 1, header), None) if header else None
        done = header
        while block := list(islice(rows, BLOCK)):
            _check_widths(file, layout, block, done)
            columns = list(zip(*block, strict=True))
            users.add(columns[layout.columns["user"]])
            items.add(columns[layout.columns["item"]])
            for role, parts in numbers.items():
                parse = _ratings if role == "rating" else _timestamps
                parts.append(_parsed(file, layout, role, columns[layout.columns[role]], done, parse))
            done += len(block)
    if done == header:
        raise ValueError(f"{file.path} has a header and no line after it: there is no interaction in it.")
    for role, numbering in (("user", users), ("item", items)):
        row = numbering.first_empty()
        if row is not None:
            raise file.error(header + row, f"there is no {role}.", layout.columns[role], layout.name(role))
    joined = {role: np.concatenate(parts) for role, parts in numbers.items()}
    return Interactions(
        *(users.ids(), items.ids(), joined.get("rating"), joined.get("timestamp"), len(users) + 1, len(items) + 1),
        user_labels=users.labels(),
        item_labels=items.labels(),
        padding_idx=0,
    )


def _checked_rows(file: _File, lines: _Lines) -> Iterator[list[str]]:
    """The rows of a file; quotes that do not match are a ValueError."""
    try:
        yield from file.split(lines)
    except csv.Error as error:
        raise ValueError(f"{file.path}, line {max(1, lines.lines)}: the quotes do not match ({error}).") from None


def _check_widths(file: _File, layout: _Layout, block: list[list[str]], done: int) -> None:
    """Every row must have as many fields as the first row."""
    if set(map(len, block)) == {layout.width}:
        return
    row = next(number for number, fields in enumerate(block) if len(fields) != layout.width)
    raise file.error(done + row, f"{_fields(len(block[row]))} where the first line has {layout.width}.")


def _fields(number: int) -> str:
    """``"1 field"``, ``"2 fields"``."""
    return f"{number} field" + ("" if number == 1 else "s")


class _Numbering:
    """Ids from 1 in order of first appearance."""

    def __init__(self) -> None:
        """No label seen yet."""
        self._numbers: defaultdict[str, int] = defaultdict(count(1).__next__)
        self._ids: list[IntArray] = []

    def __len__(self) -> int:
        """Number of distinct labels."""
        return len(self._numbers)

    def add(self, column: tuple[str, ...]) -> None:
        """Number a block of labels."""
        self._ids.append(np.fromiter(map(self._numbers.__getitem__, map(str.strip, column)), np.int64, len(column)))

    def ids(self) -> IntArray:
        """All ids."""
        return np.concatenate(self._ids)

    def first_empty(self) -> int | None:
        """The first row whose label is empty, if there is one."""
        if "" not in self._numbers:
            return None
        return int(np.flatnonzero(self.ids() == self._numbers[""])[0])

    def labels(self) -> npt.NDArray[Any]:
        """The labels by id, integers where all of them are written as Python writes an int64; entry 0 stands for nothing."""
        names = list(self._numbers)
        try:
            integers = list(map(int, names))
            if list(map(str, integers)) == names:
                return np.array([-1, *integers], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
        return np.array(["", *names])


def _parsed(
    file: _File, layout: _Layout, role: str, column: tuple[str, ...], done: int, parse: Callable[[Iterable[str]], Any]
) -> npt.NDArray[Any]:
    """A block of numbers; the first field that is none is a ValueError."""
    try:
        values: npt.NDArray[Any] = parse(column)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    what = "a number" if role == "rating" else "a number or a date"
    for row, field in enumerate(column):
        try:
            if np.isfinite(parse([field])).all():
                continue
        except ValueError:
            pass
        is_not = "there is no number" if not field.strip() else f"{_quoted(field.strip())} is not {what}"
        raise file.error(done + row, f"{is_not}.", layout.columns[role], layout.name(role))
    raise file.error(
        done, f"numbers and dates are mixed in the {BLOCK} lines from here.", layout.columns[role], layout.name(role)
    )


def _ratings(column: Iterable[str]) -> npt.NDArray[np.float64]:
    """Fields as float64."""
    return np.fromiter(map(float, column), np.float64)


def _timestamps(column: Iterable[str]) -> npt.NDArray[Any]:
    """Fields as int64 where all are integers, else as float64, else as dates in seconds since 1970."""
    readers: tuple[tuple[Callable[[str], float], Any], ...] = ((int, np.int64), (float, np.float64))
    for read, dtype in readers:
        try:
            return np.fromiter(map(read, column), dtype)
        except (ValueError, OverflowError):
            continue
    return np.fromiter(map(_seconds, column), np.float64)


def _seconds(field: str) -> float:
    """A date in ISO format as seconds since 1970, UTC where it names no zone."""
    moment = datetime.fromisoformat(field.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _undecodable_line(path: Path) -> int:
    """The first line that is not UTF-8."""
    with open(path, "rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else open(path, "rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(4 * LONGEST + 4), b""), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
