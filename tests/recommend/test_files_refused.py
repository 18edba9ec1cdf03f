"""Files that `read_ratings` refuses: a sentence names the file, the line and the column."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

from npbloom.recommend import files, read_ratings
from tests.recommend._written import write

REFUSED = {
    "empty": ("", "{path} is empty: there is no interaction in it."),
    "quoted blanks": ('"\t\n"\n', "{path} is empty: there is no interaction in it."),
    "blank": ("\n \n\t\n", "{path} is empty: there is no interaction in it."),
    "header only": ("userId,movieId\n", "{path} has a header and no line after it: there is no interaction in it."),
    "missing item": (
        "userId,rating\n1,2\n",
        "{path}, line 1: no column of the header is named as the item (item_id, movieId, item, asin, ...): 'userId', 'rating'.",
    ),
    "missing user": (
        "\nmovieId,rating\n1,2\n",
        "{path}, line 2: no column of the header is named as the user (user_id, userId, user, ...): 'movieId', 'rating'.",
    ),
    "unknown names": (
        "foo,bar,baz\na,b,3\n",
        "{path}, line 1: no column of the header is named as the user (user_id, userId, user, ...): 'foo', 'bar', 'baz'.",
    ),
    "text for a rating": (
        "userId,movieId,rating\n1,2,3\n\n1,3,good\n",
        "{path}, line 4, column 3 (rating): 'good' is not a number.",
    ),
    "no rating": ("user,stars,item\na,1,b\nc,,d\n", "{path}, line 3, column 2 (stars): there is no number."),
    "rating not finite": ("u,i,nan\n", "{path}, line 1, column 3 (rating): 'nan' is not a number."),
    "text for a time": (
        "1,2,3,100\n1,2,3,soon\n",
        "{path}, line 2, column 4 (timestamp): 'soon' is not a number or a date.",
    ),
    "a date among numbers": (
        "1,2,3,100\n1,2,3,1970-01-02\n",
        "{path}, line 2, column 4 (timestamp): '1970-01-02' is a date where the first row has a number.",
    ),
    "a number among dates": (
        "1,2,3,1970-01-02\n1,2,3,1970-01-03\n1,2,3,7.5\n",
        "{path}, line 3, column 4 (timestamp): '7.5' is a number where the first row has a date.",
    ),
    "an underscore in a rating": ("a,b,4\na,c,4_5\n", "{path}, line 2, column 3 (rating): '4_5' is not a number."),
    "an underscore in the first rating": ("a,b,4_5\na,c,4\n", "{path}, line 1, column 3 (rating): '4_5' is not a number."),
    "an underscore in a time": (
        "a,b,4,10\na,c,4,1_0\n",
        "{path}, line 2, column 4 (timestamp): '1_0' is not a number or a date.",
    ),
    "an underscore in the first time": (
        "a,b,4,1_0.5\na,c,4,10\n",
        "{path}, line 1, column 4 (timestamp): '1_0.5' is not a number or a date.",
    ),
    "a long user": (
        f"user,item\na,b\n\n{'x' * 4097},b\n",
        "{path}, line 4, column 1 (user): the id of a user must have at most 4,096 characters, not 4,097.",
    ),
    "a long item": (
        f"{'7' * 5000}::{'7' * 100_000}\n",
        "{path}, line 1, column 1 (user): the id of a user must have at most 4,096 characters, not 5,000.",
    ),
    "a long field of a table": (
        f"user,item\na,{'x' * 140_000}\n",
        "{path}, line 2: the quotes do not match, or a field is too long (field larger than field limit (131072)).",
    ),
    "a row of many lines": (
        "user,item,a\n1,2" + ',"\n"' * 262_144,
        "{path}, line 262145: a row must have at most 1,048,576 characters.",
    ),
    "a gzip file of little but spaces": (
        gzip.compress(b"user,item\n" + (b"a,b" + b" " * 1000 + b"\n") * 2000, mtime=0),
        "{path}: the text must be at most 128 times as long as the gzip file, which has 4,285 bytes.",
    ),
    "too few fields": ("a,b,1\nc,d\n", "{path}, line 2: 2 fields where the first line has 3."),
    "too many fields": ("a b\n\nc d e\n", "{path}, line 3: 3 fields where the first line has 2."),
    "one field": ("user,item\n\n\nx\n", "{path}, line 4: 1 field where the first line has 2."),
    "one column": ("ann\nbob\n", "{path}, line 1, column 1: one column, 'ann', where a user and an item must be."),
    "five columns": ("1,2,3,4,5\n", "{path}, line 1: 5 columns and no header that says which is the user and which the item."),
    "no user": ("user,item\na,b\n ,c\n", "{path}, line 3, column 1 (user): there is no user."),
    "no item": ("a::\n", "{path}, line 1, column 2 (item): there is no item."),
    "quotes": ('user,item\na,"b\nc,d\n', "{path}, line 3: the quotes do not match (unexpected end of data)."),
    "after a long field": (
        'user,item,note,score\na,b,"one\ntwo\nthree",1\nc,d,x,bad\n',
        "{path}, line 5, column 4 (score): 'bad' is not a number.",
    ),
    "NUL": ("user,item\na,b\n1,2\n1\0,2\n", "{path}, line 4: there is a NUL character in the text."),
    "NUL in another column": (
        'user,item,title\na,b,"c\nd\0"\n',
        "{path}, line 3: there is a NUL character in the text.",
    ),
    "blocks that were never written": (
        b"user,item\na,b\n" + bytes(4096),
        "{path}, line 3: there is a NUL character in the text.",
    ),
    "not UTF-8": (b"user,item\na,b\nc,\xff\n", "{path}, line 3: the text is not UTF-8."),
    "a long field": (f"1,2,{'x' * 61}\n", "{path}, line 1, column 3 (rating): '" + "x" * 60 + "'... is not a number."),
    "a long header": (
        f"{'y' * 70},b,c,d,e,f,g,h,i,rating,k,l\n",
        "{path}, line 1: no column of the header is named as the user (user_id, userId, user, ...): '"
        + "y" * 60
        + "'..., 'b', 'c', "
        "'d', 'e', 'f', 'g', 'h', 'i', 'rating' and 2 more.",
    ),
    "damaged gzip of a text that is not UTF-8": (
        gzip.compress(b"user,item\na,b\nc,\xe4", mtime=0)[:-8] + bytes(8),
        "{path}: the gzip file is damaged (CRC check failed 0x0 != 0x9221623).",
    ),
    "damaged gzip": (
        gzip.compress(b"user,item\na,b\n")[:-9],
        "{path}: the gzip file is damaged (Compressed file ended before the end-of-stream marker was reached).",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named_with_file_line_and_column(content: str | bytes, sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence.format(path=path))}$"):
        read_ratings(path)


@pytest.mark.parametrize("block", [1, 2, 65536])
def test_lines_are_counted_across_blocks(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    path = write(tmp_path, "user,item,rating\n" + "a,b,1\n" * 6 + "a,b,c\n" + "a,b,1\n" * 2)
    with pytest.raises(ValueError, match=r"line 8, column 3 \(rating\): 'c' is not a number"):
        read_ratings(path)


def test_missing_files_and_folders_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv"):
        read_ratings(tmp_path / "nothing.csv")
    with pytest.raises(IsADirectoryError):
        read_ratings(tmp_path)


def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"^{path} is no regular file: it is read more than once, which a pipe or a device "):
            read_ratings(path)
