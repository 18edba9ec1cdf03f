"""check.py names each step, its command and its seconds, and stops at the first that fails."""

from __future__ import annotations

import re

import pytest

import check
from check import Step

WRONG = Step("wrong", ("-c", "raise SystemExit(3)"), {"COLOUR": "red"})


def saying(name: str, word: str) -> Step:
    """A step that prints a word."""
    return Step(name, ("-c", f"print({word!r})"), {})


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two usual steps and two others, which have a name together."""
    monkeypatch.setattr(check, "STEPS", (saying("first", "one"), saying("last", "9 passed in 1.00s")))
    monkeypatch.setattr(check, "EXTRA_STEPS", (saying("slow", "two"), saying("slower", "three"), WRONG))
    monkeypatch.setattr(check, "GROUPS", {"nightly": ("slow", "slower")})


def lines(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Exit status, and what is printed, with S for seconds."""
    status = check.main(list(words))
    return status, [re.sub(r"\s+\d+\.\d s", " S s", line) for line in capfd.readouterr().out.splitlines()]


def test_the_closing_line_is_the_summary_of_the_whole_test_run(few, capfd):
    status, said = lines(capfd)
    assert status == 0
    assert said == [
        "--- first: python -c 'print('\"'\"'one'\"'\"')'",
        "one",
        "--- first S s",
        "--- together S s",
        "--- last: python -c 'print('\"'\"'9 passed in 1.00s'\"'\"')'",
        "9 passed in 1.00s",
    ]


def test_a_name_for_several_steps(few, capfd):
    status, said = lines(capfd, "nightly")
    assert status == 0
    assert said[1::2] == ["two", "three", "--- slower S s"]
    assert lines(capfd, "slower", "first")[1][-3:] == ["--- first S s", "--- slower S s", "--- together S s"]


def test_a_step_that_fails_is_the_last_and_says_how_to_run_it_again(few, capfd):
    status, said = lines(capfd, "wrong", "first", "slow")
    assert status == 1
    assert said[-1] == "check.py: step `wrong` failed after S s. Again: COLOUR=red python -c 'raise SystemExit(3)'"
    assert "two" in said


def test_a_step_that_does_not_exist(few, capfd):
    with pytest.raises(SystemExit) as stopped:
        check.main(["never"])
    assert stopped.value.code == 2
    assert "no step 'never'; there are first, last, slow, slower, wrong, nightly" in capfd.readouterr().err


def test_what_the_usual_run_leaves_out_is_run_by_night():
    usual, night = check.STEPS[-1], [step for step in check.EXTRA_STEPS if step.name in check.GROUPS["nightly"]]
    assert len(night) == len(check.GROUPS["nightly"])
    assert "not nightly" in usual.arguments
    assert "not nightly" not in night[-1].arguments
    assert "-q" in usual.arguments
    assert "--durations" in usual.arguments
