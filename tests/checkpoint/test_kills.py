"""
SIGKILL in the middle of saves, and processes that save to one file.

The file is the old or the new one, whole, without litter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("NPBLOOM_KILLS", "6"))  # at random moments; more by hand
ROWS = int(os.environ.get("NPBLOOM_KILLS_ROWS", "20000"))


def killed(path: Path, *arguments: str) -> dict[str, int]:
    """
    Run `tests/checkpoint/_killed_saves.py`, and return its counts.

    It fails if a file was not whole or litter stayed.
    """
    command = [sys.executable, "-m", "tests.checkpoint._killed_saves", str(path), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    counts: dict[str, int] = json.loads(ended.stdout)
    return counts


def test_a_save_killed_at_any_line_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    counts = killed(tmp_path / "model.safetensors", "lines")
    assert counts["kills"] == counts["old file"] + counts["new file"]
    assert counts["kills"] == counts["nothing left"] + counts["a part left"] + counts["a whole file left"]
    assert min(counts.values()) > 0  # killed before, between and after
    assert counts["kills"] > 100


def test_saves_killed_at_random_moments_leave_a_whole_file(tmp_path: Path) -> None:
    counts = killed(tmp_path / "model.safetensors", "moments", str(KILLS), str(ROWS), "0")
    assert counts["kills"] == KILLS == counts.get("old file", 0) + counts.get("new file", 0)


def test_a_fork_in_the_middle_of_a_save_harms_neither_side(tmp_path: Path) -> None:
    counts = killed(tmp_path / "model.safetensors", "forks", "8")
    assert counts["children"] == 8
    assert counts["saves of the parent"] > 0


def test_processes_that_save_to_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    program = (
        "import sys, pathlib; from tests.checkpoint._killed_saves import save, generation_of\n"
        "path, own = pathlib.Path(sys.argv[1]), int(sys.argv[2])\n"
        "for _ in range(10):\n"
        "    save(path, own, 500)\n"
        "    assert generation_of(path) in (1, 2, 3)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    writers = [subprocess.Popen([*command, own], cwd=ROOT, stderr=subprocess.PIPE, text=True) for own in "123"]
    ends = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], ends
    assert list(tmp_path.iterdir()) == [path]
