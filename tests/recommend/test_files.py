"""`read_ratings`: layouts of files, and messages that name the file, the line and the column."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from npbloom.recommend import Interactions, files, read_ratings
from tests.recommend._written import write

Triple = tuple[Any, Any, float | None]


def triples(ratings: Interactions) -> list[Triple]:
    """Return user, item and rating of each line, with the file's own ids."""
    assert ratings.user_labels is not None
    assert ratings.item_labels is not None
    users, items = ratings.user_labels[ratings.user_ids].tolist(), ratings.item_labels[ratings.item_ids].tolist()
    stars = [None] * len(ratings) if ratings.ratings is None else ratings.ratings.tolist()
    return list(zip(users, items, stars, strict=True))


FORMS = {
    "comma, header": "userId,movieId,rating,timestamp\n7,50,4.5,100\n9,50,3,200\n7,2,1,300\n",
    "no header": "7,50,4.5,100\n9,50,3,200\n7,2,1,300\n",
    "tab, no header": "7\t50\t4.5\t100\n9\t50\t3\t200\n7\t2\t1\t300\n",
    "semicolon": "uid;asin;stars;time\n7;50;4.5;100\n9;50;3;200\n7;2;1;300\n",
    "spaces": "user item score ts\n7  50 4.5 100\n 9 50 3   200\n7 2 1 300\n",
    "double colon": "7::50::4.5::100\n9::50::3::200\n7::2::1::300\n",
    "RecBole": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t50\t4.5\t100\n9\t50\t3\t200\n7\t2\t1\t300\n",
    "other order, other columns": "timestamp,title,Product ID,Rating,reviewerID\n"
    '100,"a, b",50,4.5,7\n200,c,50,3,9\n300,"say ""hi""\nthere",2,1,7\n',
    "byte order mark, CRLF, blank lines": "\ufeff\r\nuserId,movieId,rating,timestamp\r\n\r\n7,50,4.5,100\r\n"
    "9,50,3,200\r\n \r\n7,2,1,300\r\n\r\n",
    "quotes and spaces": '"userId", "movieId", "rating", "timestamp"\n"7", "50", "4.5", "100"\n9 , 50 , 3 , 200\n7,2,1,300',
    "old line ends": "userId,movieId,rating,timestamp\r7,50,4.5,100\r9,50,3,200\r7,2,1,300\r",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_every_form_reads_the_same(content: str, tmp_path: Path) -> None:
    ratings = read_ratings(write(tmp_path, content))
    assert triples(ratings) == [(7, 50, 4.5), (9, 50, 3.0), (7, 2, 1.0)]
    assert ratings.timestamps is not None
    assert ratings.timestamps.tolist() == [100, 200, 300]
    assert ratings.user_ids.tolist() == [1, 2, 1]
    assert ratings.item_ids.tolist() == [1, 1, 2]
    assert (ratings.num_users, ratings.num_items, ratings.padding_idx) == (3, 3, 0)
    assert ratings.user_labels is not None
    assert ratings.user_labels.dtype == np.int64


def test_gzip(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(FORMS["comma, header"].encode()), "ratings.csv.gz")
    assert triples(read_ratings(path)) == [(7, 50, 4.5), (9, 50, 3.0), (7, 2, 1.0)]
    assert triples(read_ratings(str(path)))[0] == (7, 50, 4.5)


def test_two_columns_are_user_and_item(tmp_path: Path) -> None:
    ratings = read_ratings(write(tmp_path, "1 5\n1 6\n2 5\n", "beauty.txt"))
    assert triples(ratings) == [(1, 5, None), (1, 6, None), (2, 5, None)]
    assert ratings.timestamps is None


@pytest.mark.parametrize(
    ("users", "kind"),
    [
        (["3", "-1", "0"], "i"),
        (["007", "7", "8"], "O"),  # two users
        (["1.0", "2.0", "3.0"], "O"),
        (["5", "x", "6"], "O"),
        (["99999999999999999999", "1", "2"], "O"),  # beyond int64
        (["+1", "1", "2"], "O"),
        (["1_0", "10", "2"], "O"),
        (["ann", "日本", "é"], "O"),
    ],
)
def test_labels_are_integers_only_where_nothing_is_lost(users: list[str], kind: str, tmp_path: Path) -> None:
    lines = "".join(f"{user},1\n" for user in users)
    ratings = read_ratings(write(tmp_path, "user,item\n" + lines))
    labels = ratings.user_labels
    assert labels is not None
    assert labels.dtype.kind == kind
    assert [str(label) for label in labels[ratings.user_ids]] == users
    assert [ratings.user_id(user) for user in users] == [1, 2, 3]
    assert labels[0] == (-1 if kind == "i" else "")


def test_ids_of_4096_characters_are_read_and_cost_what_they_hold(tmp_path: Path) -> None:
    """These labels take their own size. As an array of NumPy's str they would take 820 MB."""
    long = "é" * 4096
    path = write(tmp_path, f"{long},1\n" + "".join(f"u{number},1\n" for number in range(50_000)))
    tracemalloc.start()
    ratings = read_ratings(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10 * 2**20
    assert peak < 40 * 2**20
    labels = ratings.user_labels
    assert labels is not None
    assert labels.dtype == object
    assert labels[:3].tolist() == ["", long, "u0"]
    assert ratings.user_id(long) == 1


def test_long_columns_that_are_passed_over_are_not_held(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item,review\n" + f"1,2,{'x' * 2000}\n" * 5000)
    tracemalloc.start()
    assert len(read_ratings(path)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


def test_quoted_rows_of_a_million_characters_and_many_blank_lines_are_read(tmp_path: Path) -> None:
    note = '"' + "\n" * 100_000 + '"'
    content = "\n" * 2**20 + "user,item,a,b,c,d\n" + f"1,2,{note},{note},{note},{note}\n" * 4 + "\n" * 2**20
    assert triples(read_ratings(write(tmp_path, content))) == [(1, 2, None)] * 4


def test_a_gzip_file_may_hold_a_hundred_times_its_size(tmp_path: Path) -> None:
    rows = [f"{number},1\n" + "1,1\n" * 100 for number in range(6000)]
    content = gzip.compress("".join(rows).encode(), mtime=0)
    assert 100 * len(content) < len("".join(rows)) < 128 * len(content)
    assert len(read_ratings(write(tmp_path, content))) == 6000 * 101


@pytest.mark.parametrize("times", [["100", "1970-01-02"], ["1970-01-02", "100"]])
def test_numbers_and_dates_in_different_blocks_are_refused(
    times: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK", 2)
    lines = [f"a,b,1,{times[0]}"] * 3 + [f"a,b,1,{times[1]}"] * 2
    with pytest.raises(ValueError, match=rf"line 4, column 4 \(timestamp\): '{times[1]}' is a (date|number) where the first row"):
        read_ratings(write(tmp_path, "\n".join(lines)))


def test_dates_become_seconds(tmp_path: Path) -> None:
    content = "user,item,date\na,b,1970-01-02\na,c,1970-01-01T00:01:00Z\na,d,1970-01-01 02:00:00+01:00\n"
    times = read_ratings(write(tmp_path, content)).timestamps
    assert times is not None
    assert times.tolist() == [86400.0, 60.0, 3600.0]


def test_long_integer_times_keep_their_digits(tmp_path: Path) -> None:
    times = read_ratings(write(tmp_path, "a,b,1,1700000000000000001\na,c,1,1700000000000000002\n")).timestamps
    assert times is not None
    assert times.tolist() == [1700000000000000001, 1700000000000000002]


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00", exclude_categories=["Cs", "Zs", "Cc"]), min_size=1)


@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS, st.integers(-9, 9).map(lambda number: number / 2), FIELDS), min_size=1, max_size=12),
    separator=st.sampled_from(",\t;"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([1, 3, 65536]),
)
def test_what_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, str, float, str]], separator: str, quoting: Any, end: str, block: int, tmp_path_factory: Any
) -> None:
    event(f"separator {separator!r}")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([("note", "item_id", "user_id", "score")] + [(note, item, user, stars) for user, item, stars, note in rows])
    path = write(tmp_path_factory.getbasetemp(), text.getvalue(), "written.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", block)
        ratings = read_ratings(path)
    assert [tuple(map(str, row)) for row in triples(ratings)] == [
        (user, item, str(float(stars))) for user, item, stars, _ in rows
    ]
    assert ratings.user_ids[0] == 1
    first = list(dict.fromkeys(ratings.user_ids.tolist()))
    assert first == list(range(1, len(first) + 1))  # in order of first appearance


@pytest.mark.data
def test_movielens(data_dir: Path) -> None:
    ratings = read_ratings(data_dir / "ml-latest-small" / "ratings.csv")
    assert repr(ratings) == "<Interactions: 610 users x 9724 items, 100836 interactions>"
    assert triples(ratings)[:2] == [(1, 1, 4.0), (1, 3, 4.0)]
    assert ratings.timestamps is not None
    assert ratings.timestamps[0] == 964982703


@pytest.mark.data
def test_beauty(data_dir: Path) -> None:
    ratings = read_ratings(data_dir / "amazon-beauty" / "beauty.txt")
    assert repr(ratings) == "<Interactions: 40226 users x 54542 items, 353962 interactions>"
    assert ratings.ratings is None


@pytest.mark.movielens100k
def test_recbole(movielens_100k: Path) -> None:
    ratings = read_ratings(movielens_100k)
    assert repr(ratings) == "<Interactions: 943 users x 1682 items, 100000 interactions>"
    assert triples(ratings)[0] == (196, 242, 3.0)
