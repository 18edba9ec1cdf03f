"""`read_ratings`: text files of ratings, with or without a header, in common layouts."""

from __future__ import annotations

import csv
import gzip
import os
import re
import stat
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from npbloom.recommend._labels import LabelArray, text_labels
from npbloom.recommend._lines import LONGEST, Lines, check_length, opened
from npbloom.recommend.interactions import Interactions
from npbloom.types import IntArray

Path = str | os.PathLike[str]

# Any URL or path fits. A longer label means that the file is read wrongly, and would fill messages.
LONGEST_LABEL = 4096  # characters
BLOCK = 65536  # rows split at once: memory stays bounded, and most of the work is in C loops
BLOCK_CHARACTERS = 2**21  # fewer rows where lines are long

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
    Read a file of ratings, with users and items by the file's own ids.

    Parameters
    ----------
    path : str or path-like
        A text file in UTF-8, one interaction a line, gzipped or not. Fields are separated by
        commas, tabs, semicolons, spaces or ``::``. Fields may be quoted between commas, tabs and
        semicolons. A header names the columns (``userId``, ``user_id``, ``reviewerID``,
        ``movieId``, ``item``, ``asin``, ``rating``, ``score``, ``stars``, ``timestamp`` ...,
        RecBole's ``user_id:token``); other columns are skipped. Without a header the columns are
        user, item, rating and timestamp, of which the first two are required.

    Returns
    -------
    Interactions
        Interactions with ratings and timestamps if the file has them. Users and items are numbered
        from 1 in order of first appearance; 0 is padding. ``user_labels[user_id]`` and
        ``item_labels[item_id]`` are the file's own ids. They are int64 if every id is an integer
        as Python writes it ("007" is not), else an object array of str. An object array takes the
        memory of its strings; ``.astype(str)`` makes each as wide as the longest. The entries at 0
        are placeholders: -1 or "". Timestamps are integers if all are integers. Dates in ISO
        format become seconds since 1970, taken as UTC if they name no zone. A file has numbers or
        dates, not both.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is empty, or a line is malformed; the message names the file, the line and the
        column. Or the file is beyond a limit: an id of 4,096 characters, a row of 1,048,576
        characters, a gzip file whose text is 128 times its own size plus 1 MiB.

    Notes
    -----
    Memory grows with the size of the text, whatever its content (docs/guarantees.md).

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
    (array(['', 'ann', 'bob'], dtype=object), array([-1, 50,  7]))
    """
    try:
        try:
            return _read(_File(os.fspath(path)))
        except UnicodeDecodeError:
            raise ValueError(f"{path}, line {_undecodable_line(os.fspath(path))}: the text is not UTF-8.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: the gzip file is damaged ({error}).") from None


# ---- the file and its layout ---------------------------------------------------------------------


class _File:
    """A ratings file: its path, its separator, and its rows."""

    def __init__(self, path: str) -> None:
        """Find the separator from the first line that is not blank."""
        self.path = path
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ValueError(f"{path} is no regular file: it is read more than once, which a pipe or a device does not allow.")
        check_length(path)
        self.separator: str | None = None  # None: any run of spaces
        with self.open() as lines:
            first = _next_not_blank(lines)
        if first is None:
            raise self.empty()
        unquoted = re.sub(r'"[^"]*"', "", first)
        if "::" in unquoted:
            self.separator = "::"
        elif any(mark in unquoted for mark in "\t,;"):
            self.separator = max("\t,;", key=unquoted.count)

    def open(self) -> Lines:
        """Open the text of the file, unzipped if it is gzipped, without a byte order mark."""
        return Lines(self.path)

    def split(self, lines: Lines) -> Iterator[list[str]]:
        """Yield the fields of each row; skip blank lines."""
        fields: Iterator[list[str]]
        if self.separator is None:
            fields = map(str.split, lines)
        elif self.separator == "::":
            fields = (line.strip().split("::") for line in lines)
        else:
            quoting: Literal[0, 3] = (
                csv.QUOTE_NONE if self.path.removesuffix(".gz").endswith(".inter") else csv.QUOTE_MINIMAL
            )  # RecBole never quotes
            fields = csv.reader(lines, delimiter=self.separator, quoting=quoting, skipinitialspace=True, strict=True)
        for row in fields:
            lines.row_start = lines.characters
            if row and (len(row) > 1 or row[0].strip()):
                yield row

    def line_of(self, row: int) -> int:
        """
        Return the number of the line on which a row starts, both counted from the top.

        The file is read again for that, so only errors ask for it.
        """
        before = 0
        with self.open() as lines:
            for number, _ in enumerate(self.split(lines)):
                if number == row:
                    break
                before = lines.lines
        with self.open() as lines:
            while _next_not_blank(lines) and lines.lines <= before:
                pass
            return max(lines.lines, before + 1)

    def empty(self) -> ValueError:
        """Return a ValueError for a file without a row."""
        return ValueError(f"{self.path} is empty: there is no interaction in it.")

    def error(self, row: int, what: str, column: int | None = None, name: str | None = None) -> ValueError:
        """Return a ValueError that names the file, the line and the column."""
        where = f"{self.path}, line {self.line_of(row)}"
        if column is not None:
            where += f", column {column + 1}" + (f" ({name})" if name else "")
        return ValueError(f"{where}: {what}")


def _next_not_blank(lines: Lines) -> str | None:
    """Return the next line that is not blank, or None."""
    for line in lines:
        lines.row_start = lines.characters
        if line.strip():
            return line
    return None


@dataclass
class _Layout:
    """
    Layout of the columns of a file.

    It has the `names` of the header, or None, the `width` of every row, and a column for each role.
    """

    names: list[str] | None
    width: int
    columns: dict[str, int]

    def name(self, role: str) -> str:
        """Return the name of a role's column: the header's, or the role itself without a header."""
        return role if self.names is None else self.names[self.columns[role]][:60]


def _layout(file: _File, first: list[str], second: list[str] | None) -> _Layout:
    """
    Read the header, if the first row is one, and return the layout.

    The second row helps to tell a header from data.
    """
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
    """Return a column's name in lower case letters and digits, without RecBole's type."""
    name, _, kind = field.rpartition(":")
    return re.sub(r"[^a-z0-9]", "", (name if name and kind.strip() in RECBOLE_TYPES else field).lower())


def _examples(role: str) -> str:
    """Return some names that a column may have, for an error."""
    return {"user": "user_id, userId, user, ...", "item": "item_id, movieId, item, asin, ..."}[role]


def _quoted(field: str) -> str:
    """Return a field in quotes for a message, cut after 60 characters."""
    return repr(field) if len(field) <= 60 else f"{field[:60]!r}..."


def _is_number(field: str) -> bool:
    """
    Return True if a field is meant as a number.

    It may be one that no rating can have: infinite, or with an underscore.
    """
    try:
        float(field)
    except ValueError:
        return False
    return True


# ---- rows to arrays ------------------------------------------------------------------------------


def _read(file: _File) -> Interactions:
    """Read every row, block by block."""
    with file.open() as lines:
        rows = _checked_rows(file, lines)
        first = next(rows, None)
        if first is None:  # a quoted field of blanks only
            raise file.empty()
        second = next(rows, None) if len(first) > 1 else None  # not needed to refuse one column
    layout = _layout(file, first, second)
    header = 0 if layout.names is None else 1
    users, items = _Numbering(), _Numbering()
    numbers: dict[str, list[npt.NDArray[Any]]] = {role: [] for role in ROLES[2:] if role in layout.columns}
    parsers: dict[str, _Parser] = {"rating": _floats, "timestamp": _Times()}
    with file.open() as lines:
        rows = _checked_rows(file, lines)
        next(islice(rows, header - 1, header), None) if header else None
        done = header
        for block in _blocks(rows, lines):
            _check_widths(file, layout, block, done)
            columns = {role: list(map(itemgetter(column), block)) for role, column in layout.columns.items()}
            users.add(columns["user"])
            items.add(columns["item"])
            for role, parts in numbers.items():
                parts.append(_parsed(file, layout, role, columns[role], done, parsers[role]))
            done += len(block)
    if done == header:
        raise ValueError(f"{file.path} has a header and no line after it: there is no interaction in it.")
    for role, numbering in (("user", users), ("item", items)):
        fault = numbering.fault(role)
        if fault is not None:
            raise file.error(header + fault[0], fault[1], layout.columns[role], layout.name(role))
    joined = {role: np.concatenate(parts) for role, parts in numbers.items()}
    return Interactions(
        *(users.ids(), items.ids(), joined.get("rating"), joined.get("timestamp"), len(users) + 1, len(items) + 1),
        user_labels=users.labels(),
        item_labels=items.labels(),
        padding_idx=0,
    )


def _checked_rows(file: _File, lines: Lines) -> Iterator[list[str]]:
    """Yield the rows of a file; raise a ValueError if quotes do not match."""
    try:
        yield from file.split(lines)
    except csv.Error as error:
        what = "the quotes do not match" + (", or a field is too long" if "larger than field limit" in str(error) else "")
        raise ValueError(f"{file.path}, line {max(1, lines.lines)}: {what} ({error}).") from None


def _blocks(rows: Iterator[list[str]], lines: Lines) -> Iterator[list[list[str]]]:
    """Yield blocks of `BLOCK` rows, or of fewer if the rows are long."""
    block, start = [], lines.characters
    for row in rows:
        block.append(row)
        if len(block) == BLOCK or lines.characters - start > BLOCK_CHARACTERS:
            yield block
            block, start = [], lines.characters
    if block:
        yield block


def _check_widths(file: _File, layout: _Layout, block: list[list[str]], done: int) -> None:
    """Check that every row has as many fields as the first row."""
    if set(map(len, block)) == {layout.width}:
        return
    row = next(number for number, fields in enumerate(block) if len(fields) != layout.width)
    raise file.error(done + row, f"{_fields(len(block[row]))} where the first line has {layout.width}.")


def _fields(number: int) -> str:
    """Return ``"1 field"``, ``"2 fields"`` and so on."""
    return f"{number} field" + ("" if number == 1 else "s")


class _Numbering:
    """Ids from 1 in order of first appearance."""

    def __init__(self) -> None:
        """Begin without labels."""
        self._numbers: defaultdict[str, int] = defaultdict(count(1).__next__)
        self._ids: list[IntArray] = []

    def __len__(self) -> int:
        """Return the number of distinct labels."""
        return len(self._numbers)

    def add(self, column: Sequence[str]) -> None:
        """Number a block of labels."""
        self._ids.append(np.fromiter(map(self._numbers.__getitem__, map(str.strip, column)), np.int64, len(column)))

    def ids(self) -> IntArray:
        """Return all ids."""
        return np.concatenate(self._ids)

    def fault(self, role: str) -> tuple[int, str] | None:
        """Return the first row whose label is missing or too long, and a message, or None."""
        if "" in self._numbers:
            name, what = "", f"there is no {role}."
        else:
            name = max(self._numbers, key=len)
            what = f"the id of a {role} must have at most {LONGEST_LABEL:,} characters, not {len(name):,}."
            if len(name) <= LONGEST_LABEL:
                return None
        return int(np.flatnonzero(self.ids() == self._numbers[name])[0]), what

    def labels(self) -> LabelArray:
        """
        Return the labels by id, with a placeholder at 0.

        They are integers if all are written as Python writes an int64, else strings.
        """
        names = list(self._numbers)
        try:
            integers = list(map(int, names))
            if list(map(str, integers)) == names:
                return np.array([-1, *integers], dtype=np.int64)
        except (ValueError, OverflowError):
            pass
        return text_labels(["", *names])


_Parser = Callable[[Sequence[str]], npt.NDArray[Any]]


def _parsed(file: _File, layout: _Layout, role: str, column: Sequence[str], done: int, parse: _Parser) -> npt.NDArray[Any]:
    """Parse a block of numbers; raise a ValueError for the first field that is none."""
    try:
        values = parse(column)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    row, field = next((row, field.strip()) for row, field in enumerate(column) if not _reads(parse, field))
    what = "is not a number" if role == "rating" else "is not a number or a date"
    if isinstance(parse, _Times) and parse.otherwise(field):
        what = f"is a {'number' if parse.dates else 'date'} where the first row has a {'date' if parse.dates else 'number'}"
    sentence = f"{_quoted(field)} {what}." if field else "there is no number."
    raise file.error(done + row, sentence, layout.columns[role], layout.name(role))


def _reads(parse: _Parser, field: str) -> bool:
    """Return True if a field alone can be read."""
    try:
        return bool(np.isfinite(parse([field])).all())
    except ValueError:
        return False


def _floats(column: Sequence[str]) -> npt.NDArray[Any]:
    """Return fields as float64; refuse ``4_5``, which Python reads as 45."""
    if "_" in "".join(column):
        raise ValueError("a number has no underscore")
    return np.fromiter(map(float, column), np.float64, len(column))


def _numbers(column: Sequence[str]) -> npt.NDArray[Any]:
    """Return fields as int64 if all are integers, else as float64."""
    floats = _floats(column)
    try:
        return np.fromiter(map(int, column), np.int64, len(column))
    except (ValueError, OverflowError):
        return floats


class _Times:
    """Parser of times: all of a file are numbers, or all are dates, as the first one decides."""

    def __init__(self) -> None:
        """Begin without a kind."""
        self.dates: bool | None = None

    def __call__(self, column: Sequence[str]) -> npt.NDArray[Any]:
        """Return numbers, or seconds since 1970."""
        if self.dates is None:
            self.dates = not _is_number(column[0])
        return _dates(column) if self.dates else _numbers(column)

    def otherwise(self, field: str) -> bool:
        """Return True if an unreadable field could be read in a file of the other kind."""
        return _reads(_numbers if self.dates else _dates, field)


def _dates(column: Sequence[str]) -> npt.NDArray[Any]:
    """Return dates in ISO format as seconds since 1970, taken as UTC if they name no zone."""
    return np.fromiter(map(_seconds, column), np.float64, len(column))


def _seconds(field: str) -> float:
    """Return one date as seconds since 1970."""
    moment = datetime.fromisoformat(field.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _undecodable_line(path: str) -> int:
    """Return the number of the first line that is not UTF-8."""
    with opened(path) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(4 * LONGEST + 4), b""), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1
