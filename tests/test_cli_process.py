"""The command line as a process of its own: streams, terminals, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import sysconfig
import termios
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "npbloom")


@pytest.fixture
def ratings(tmp_path):
    """Six users, eight items."""
    path = tmp_path / "ratings.csv"
    path.write_text(
        "".join(f"{user},{item},{1 + (user + item) % 5}\n" for user in range(6) for item in range(8)), encoding="utf-8"
    )
    return str(path)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m npbloom`."""
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)


def test_the_first_run_as_it_comes():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("----"))
    rows = {line.split("  ")[0]: line.split() for line in lines[start + 1 : start + 6]}
    mrr = {name: float(cells[-3]) for name, cells in rows.items()}
    # a model learned something, compression costs, and learned codes keep more than hashed ones
    assert mrr["full"] > mrr["learned 0.2, 8 hashes"] > mrr["Bloom 0.2, 4 hashes"] > mrr["popularity"]


def test_the_installed_command_is_the_same():
    script = Path(sysconfig.get_path("scripts"), "npbloom")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == run("--version").stdout
    assert done.stdout.startswith("npbloom 0.")


def test_json_is_all_there_is_on_stdout_and_nothing_on_stderr(ratings):
    done = run("fit", ratings, "--compression", "0.5", "--epochs", "2", "--l2", "0", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["command"] == "fit"


def test_bars_are_for_terminals(ratings):
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))  # a terminal without columns has no room for a bar
    child = subprocess.Popen(
        [*COMMAND, "fit", ratings, "--compression", "0.5", "--epochs", "2", "--l2", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=end,
    )
    os.close(end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody has the other end open any more
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    out, _ = child.communicate()
    assert child.returncode == 0
    assert json.loads(out)["command"] == "fit"
    assert b"training Bloom 0.5, 4 hashes" in shown
    assert shown.endswith(b" \r")  # wiped out again


def test_wrong_use_is_status_2_and_one_line(ratings):
    done = run("fit", ratings, "--compression", "0.01")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_control_c_is_quiet(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "waiting.py").write_text(f"open({str(pipe)!r}).read()\n", encoding="utf-8")
    child = subprocess.Popen(
        [*COMMAND, "verify", "waiting:Backend"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    with open(pipe, "wb"):  # opens once the child has opened it to read
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert (child.returncode, out, err) == (130, b"", b"")


def test_a_reader_that_has_gone_is_no_traceback(ratings):
    read, write = os.pipe()
    os.close(read)
    child = subprocess.Popen(
        [*COMMAND, "fit", ratings, "--compression", "0.5", "--epochs", "1", "--l2", "0"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    _, err = child.communicate()
    assert (child.returncode, err) == (1, b"")
