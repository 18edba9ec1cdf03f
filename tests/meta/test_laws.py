"""Every law has a test module that names it.

The specification and the list of laws agree. The rule itself is shown to reject.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.meta import laws

ROOT = Path(__file__).resolve().parents[2]


def test_every_law_has_a_test():
    assert laws.untested(ROOT / "tests" / "laws") == []


def test_the_specification_states_these_laws_in_this_order():
    assert laws.laws_of((ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")) == laws.LAWS


def test_the_list_of_laws():
    assert len(laws.LAWS) == laws.LAST + 1
    assert laws.LAWS[0] == "L1"
    assert laws.LAWS[22:25] == ["L23", "L23b", "L24"]
    assert laws.LAWS[-1] == f"L{laws.LAST}"


GOOD = '"""L{law}: what it says."""\n\n\ndef test_it():\n    assert 1\n'


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a test of every law."""
    for law in laws.LAWS:
        number = law[1:].rstrip("b").zfill(2) + ("b" if law.endswith("b") else "")
        (tmp_path / f"test_L{number}_words.py").write_text(GOOD.format(law=law[1:]), encoding="utf-8")
    return tmp_path


def test_a_complete_folder_is_accepted(folder):
    assert laws.untested(folder) == []


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("test_L07_words.py", None, "L7 has no test"),
        ("test_L23b_words.py", None, "L23b has no test"),
        ("test_L07_words.py", GOOD.format(law="8"), "test_L07_words.py does not say what L7 says"),
        ("test_L07_words.py", '"""L7: no test."""\n', "test_L07_words.py holds no test"),
        ("test_L07_words.py", '"""L7: x."""\n\n\ndef test_it():\n    pass\n', "test_L07_words.py: test_it checks nothing"),
        ("test_L99_words.py", GOOD.format(law="99"), "test_L99_words.py is named after no law"),
        ("test_words.py", GOOD.format(law="1"), "test_words.py is named after no law"),
    ],
)
def test_what_is_missing_is_named(folder, name, source, complaint):
    if source is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(source, encoding="utf-8")
    assert laws.untested(folder) == [complaint]


def test_laws_are_found_in_either_form():
    assert laws.laws_of("- **L1 Kinds.** An index\n**L23b Bags.** x\ntext (**L3 no**)\n") == ["L1", "L23b"]
