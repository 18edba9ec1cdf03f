"""The command line as a process of its own: streams, terminals, signals."""

from __future__ import annotations

import json
import os
import pty
import shlex
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
    """Return a file of six users and eight items."""
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
    # The models learned something, compression costs score, and learned codes keep more than hashed
    # ones.
    assert mrr["full"] > mrr["Bloom 0.2, 4 hashes"] > mrr["popularity"]
    assert mrr["learned 0.2, 8 hashes"] > mrr["Bloom 0.2, 4 hashes"]


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
        except OSError:  # Linux's error if the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    out, _ = child.communicate()
    assert child.returncode == 0
    assert json.loads(out)["command"] == "fit"
    assert b"training Bloom 0.5, 4 hashes" in shown
    assert shown.endswith(b" \r")  # the line is erased


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


# ---- streams and signals that are not as usual --------------------------------------------------

PLAN = ("plan", "1000", "32")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [PLAN, (*PLAN, "--json"), ("--help",), ("fit", "--help"), ("--version",)], ids=" ".join)
def test_a_full_device_is_one_line(words, unbuffered):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"npbloom: error: standard output: no space left on device\n")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which $NPBLOOM is the command."""
    command = " ".join(map(shlex.quote, COMMAND))
    return subprocess.run(
        ["sh", "-c", line.replace("$NPBLOOM", command)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | environment,
        check=False,
    )


def test_closed_output_is_one_line():
    done = shell("$NPBLOOM plan 1000 32 >&-")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "npbloom: error: standard output is closed\n")


def test_closed_errors_are_no_reason_to_write_them_elsewhere(ratings):
    done = shell("$NPBLOOM fit nowhere 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    done = shell(f"$NPBLOOM fit {shlex.quote(ratings)} --compression 0.5 --epochs 1 --l2 0 --json 2>&-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["command"] == "fit"


def test_letters_that_an_encoding_lacks_are_printed_as_escapes(tmp_path):
    path, model = tmp_path / "noël.csv", tmp_path / "model"
    lines = [f"zoë{user},café{item}\n" for user in range(6) for item in range(8)]
    path.write_text("".join(lines), encoding="utf-8")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = shell(f"$NPBLOOM fit {path} --methods full --epochs 1 --l2 0 --out {model}", **ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no\\xebl.csv" in done.stdout
    done = shell(f"$NPBLOOM recommend {model} zoë1", **ascii_only)
    assert done.returncode == 0
    assert done.stdout.startswith("User zo\\xeb1: 0 items")
    done = shell(f"$NPBLOOM recommend {model} zoë9", **ascii_only)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("command", [COMMAND, (str(Path(sysconfig.get_path("scripts"), "npbloom")),)], ids=["module", "script"])
def test_control_c_during_the_imports_is_quiet(tmp_path, command):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "mmh3.py").write_text(f"open({str(pipe)!r}).read()\n", encoding="utf-8")
    for name in ("numba", "safetensors", "tqdm"):  # whichever is imported first
        (tmp_path / f"{name}.py").write_text("import mmh3\n", encoding="utf-8")
    child = subprocess.Popen(
        [*command, *PLAN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path)}
    )
    with open(pipe, "wb"):  # opens once the child has opened it to read
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert (child.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("name", ["__future__", "signal", "threading", "typing"])
@pytest.mark.parametrize("command", [COMMAND, (str(Path(sysconfig.get_path("scripts"), "npbloom")),)], ids=["module", "script"])
def test_control_c_is_quiet_from_the_first_module_that_npbloom_loads(tmp_path, command, name):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / f"{name}.py").write_text(f"open({str(pipe)!r}).read()\n", encoding="utf-8")
    child = subprocess.Popen(
        [*command, *PLAN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tmp_path)}
    )
    with open(pipe, "wb"):
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert (child.returncode, out, err) == (130, b"", b"")


def test_a_number_of_threads_that_is_none_is_wrong_use():
    done = shell("$NPBLOOM plan 1000 32", NPBLOOM_NUM_THREADS="many")
    words = "npbloom: error: the environment: `NPBLOOM_NUM_THREADS` must be a whole number of at least 1, not 'many'.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", words)


def test_an_import_by_anything_else_leaves_control_c_alone():
    code = "import signal, npbloom; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stderr == b""
