"""Huge pages of this process, and the notes of a benchmark."""

from __future__ import annotations

import mmap

import pytest

from benchmarks import huge_pages

ROLLUP = """55b60971c000-7ffce717a000 ---p 00000000 00:00 0                          [rollup]
Rss:                1760 kB
Anonymous:           116 kB
AnonHugePages:      2048 kB
FilePmdMapped:         0 kB
"""


def test_fields_are_read_in_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(huge_pages, "ROLLUP", tmp_path / "rollup")
    assert huge_pages.of_this_process() == {}
    (tmp_path / "rollup").write_text(ROLLUP, encoding="ascii")
    assert huge_pages.of_this_process() == {"Anonymous": 116 * 1024, "AnonHugePages": 2**21, "FilePmdMapped": 0}


def test_the_policy_is_the_word_in_brackets(tmp_path, monkeypatch):
    monkeypatch.setattr(huge_pages, "POLICY", tmp_path / "enabled")
    assert huge_pages.mode() == "unknown"
    (tmp_path / "enabled").write_text("always madvise [never]\n", encoding="ascii")
    assert huge_pages.mode() == "never"


@pytest.mark.skipif(not huge_pages.of_this_process(), reason="the kernel does not say")
def test_memory_in_huge_pages_is_counted():
    before = huge_pages.of_this_process()["AnonHugePages"]
    size = 2**26
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for start in range(0, size, mmap.PAGESIZE):
            memory[start] = 1
        pages = huge_pages.of_this_process()
        assert pages["Anonymous"] >= size
        if huge_pages.mode() != "never":
            assert pages["AnonHugePages"] >= before + size // 2


def test_notes_are_those_of_the_block():
    huge_pages.note()
    with huge_pages.noted() as notes:
        huge_pages.note({"Anonymous": 30, "AnonHugePages": 20})
        huge_pages.note({"Anonymous": 10, "AnonHugePages": 20})
        huge_pages.note({})
    huge_pages.note({"Anonymous": 1})
    assert huge_pages.ranges(notes) == {"Anonymous": [10, 30], "AnonHugePages": [20, 20]}
    assert huge_pages.ranges([]) == {}
