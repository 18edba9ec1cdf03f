"""
Random arguments from the grammar itself: every run ends with a status and one line at most, never
with a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import npbloom.cli as cli
from npbloom.cli import _arguments, _commands, _generated
from tests.support._examples import examples

ODD = (
    *(
        "",
        " ",
        "-",
        "--",
        "0",
        "-0",
        "1",
        "2",
        "3",
        "7",
        "0.5",
        ".5",
        "1e-3",
        "-1",
        "-1e9",
        "1e9",
        "1e10",
        "1e308",
        "1e999",
        "5e-324",
    ),
    *("nan", "inf", "-inf", "1_0", "٣", "0x10", "1,2", "full,,", "learned,bloom", "None", "true", "a\nb", "\x00", "\udcff", "é"),
    *("9" * 19, "9" * 20, "9" * 400, "9" * 5000, "0." + "0" * 400 + "1", "1e-400", "2147483647", "4294967296", "65536"),
    *(
        "/",
        "/dev/null",
        "/dev/full",
        "nowhere/a.png",
        "x" * 300 + ".png",
        "500 MB",
        "1e400 GB",
        "9" * 400 + " MB",
        "-5 MB",
        "1 XB",
    ),
)
SMALL = {  # valid values that keep the work small
    "epochs": ("1", "2"),
    "number": ("1", "3", "1000"),
}
GOOD = {  # valid values, so that not every command is refused
    "ratings": ("GOOD", "GOOD", "GOOD", "FOLDER", "MODEL"),
    "model": ("MODEL", "MODEL", "GOOD"),
    "user": ("1", "2", "99"),
    "ids": ("1000", "2", "9223372036854775808"),
    "dim": ("32", "8", "4", "1"),
    "compression": ("0.5", "0.7", "1"),
    "ratio": ("0.5", "2"),
    "memory": ("500 MB", "1 kB"),
    "hashes": ("1", "4", "24"),
    "methods": ("full", "learned,bloom", "concat, frequent", "narrow,narrow"),
    "l2": ("0", "1e-5", "1e9"),
    "plot": ("plot.png", "MODEL.png"),
    "out": ("model", "plot.png"),
}
COSTLY = ("2147483647",)
COMMANDS = ("demo", "fit", "plan", "recommend")
RETIRED = "npbloom plan: --precompute-hashes has no effect any more and will be removed.\n"


def grammar() -> dict[str, list[argparse.Action]]:
    """Return the options of each command."""
    (choices,) = (action.choices for action in _arguments.parser()._subparsers._group_actions)
    return {name: choices[name]._actions for name in COMMANDS}


GRAMMAR = grammar()


def values(action: argparse.Action) -> st.SearchStrategy[str]:
    """Return words for an option: its choices, its default, small numbers, and odd ones."""
    known = [str(choice) for choice in action.choices or ()]
    known += [str(action.default)] if action.default not in (None, argparse.SUPPRESS) else []
    known += [*SMALL.get(action.dest, ()), *GOOD.get(action.dest, ())]
    odd = [word for word in ODD if not (action.dest in SMALL and word in COSTLY)]
    return st.one_of(*[st.sampled_from(known or odd)] * 3, st.sampled_from(odd))


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a command, its words, and some of its options, sometimes something else."""
    command = draw(st.sampled_from(COMMANDS))
    actions = GRAMMAR[command]
    words = [command]
    for action in actions:
        if not action.option_strings and draw(st.sampled_from([True] * 9 + [False])):
            words.append(draw(values(action)))
    options = [action for action in actions if action.option_strings and action.dest != "help"]
    for action in draw(st.lists(st.sampled_from(options), max_size=3)):
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            words.append(draw(values(action)))
    if command == "fit" and "--epochs" not in words:
        words += ["--epochs", "1"]
    if command == "fit" and "--l2" not in words and draw(st.booleans()):
        words += ["--l2", "0"]
    return words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder to work in, with ratings, a model, and small generated data."""
    path = tmp_path_factory.mktemp("fuzz")
    lines = [f"{user},{item},{1 + (user + item) % 5},{item}\n" for user in range(1, 13) for item in range(1, 21)]
    (path / "GOOD").write_text("".join(lines), encoding="utf-8")
    (path / "FOLDER").mkdir()
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cli.TRACEBACK, "1")  # an unforeseen exception fails the test
        patch.delenv("NPBLOOM_DATA_DIR", raising=False)
        patch.setattr(_generated, "NUM_USERS", 20)
        patch.setattr(_generated, "NUM_ITEMS", 80)
        patch.setattr(_commands, "fetch_movielens", lambda release: pytest.fail("no network"))
        os.chdir(path)
        try:
            options = ["--methods", "full", "--epochs", "1", "--l2", "0", "--out", "MODEL"]
            with contextlib.redirect_stdout(io.StringIO()):
                assert cli.main(["fit", "GOOD", *options]) == 0
            yield path
        finally:
            os.chdir(before)


@examples(60)
@given(words=command_lines())
def test_any_command_line_ends_with_a_status_and_one_line(folder: Path, words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(words)
        except SystemExit as stopped:
            status = stopped.code
    event(f"{words[0]}: {status}")
    assert status in (0, 1, 2)
    assert "nan" not in out.getvalue().lower().replace("nan'", "")
    said = err.getvalue()
    if "--precompute-hashes" in words:
        said = said.removeprefix(RETIRED)
    if status:
        assert out.getvalue() == ""
        assert said.count("\n") == 1
        assert said.startswith("npbloom")
    else:
        assert said == ""


@pytest.mark.parametrize("words", [["1000", "32"], ["2", "32"]])
def test_a_retired_option_warns_in_one_line_more(words: list[str]) -> None:
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        status = cli.main(["plan", *words, "--precompute-hashes"])
    assert err.getvalue().startswith(RETIRED)
    assert err.getvalue().count("\n") == 1 + bool(status)


def test_the_grammar_is_read_whole() -> None:
    assert {action.dest for action in GRAMMAR["fit"]} >= {
        "methods",
        "keep",
        "split",
        "compression",
        "l2",
        "out",
        "plot",
        "ratings",
    }


# ---- the last resort ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (KeyError("user"), "KeyError: 'user'"),
        (RecursionError(), "RecursionError"),
        (OverflowError("too\nlarge"), "OverflowError: too large"),
        (OSError(28, "No space left on device"), "standard output: no space left on device"),
    ],
)
def test_what_nobody_foresaw_is_one_line_and_a_switch_shows_it(error, words, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(_commands, "generate", fail)
    monkeypatch.delenv(cli.TRACEBACK, raising=False)
    assert cli.main(["demo"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"npbloom: error: {words}")
    assert printed.err.count("\n") == 1
    monkeypatch.setenv(cli.TRACEBACK, "0")
    assert cli.main(["demo"]) == 1
    monkeypatch.setenv(cli.TRACEBACK, "1")
    with pytest.raises(type(error)):
        cli.main(["demo"])
