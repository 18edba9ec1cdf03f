"""Tests of programs in other languages as backends: the protocol, and faulty programs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from npbloom.conformance import Case, CommandBackend, Unsupported, check
from npbloom.conformance.cases.backend import Crashed, Hung

WIDE = {dtype: {"forward": "float64", "backward": "float64"} for dtype in ("float32", "float64")}
HASH = Case("hash", ids=np.arange(3), num_rows=10, seeds=(1, 2))
pytestmark = pytest.mark.filterwarnings("error::ResourceWarning")


# ---- programs in Python that do one thing --------------------------------------------------------


@pytest.fixture
def program(tmp_path):
    """
    Return a maker of backends.

    Their program runs the given lines for each case, with `line` and `number` defined.
    """
    backends = []

    def make(body: str, before: str = "", limit: float = 20.0, **options) -> CommandBackend:
        path = tmp_path / f"runner{len(backends)}.py"
        code = f"import json, os, sys, time\n{before}\nfor line in sys.stdin:\n    number = json.loads(line)['tcId']\n"
        path.write_text(code + textwrap.indent(textwrap.dedent(body), "    "))
        backends.append(CommandBackend([sys.executable, str(path)], limit=limit, **options))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


def test_a_case_goes_out_and_its_answer_comes_back(program):
    backend = program("""
        case = json.loads(line)
        assert set(case) == {"tcId", "op", "dtype", "in"}
        case["in"]["weight"]["shape"].reverse()
        state = {"step": {"dtype": "int64", "shape": [], "hex": "0700000000000000"}}
        print(json.dumps({"tcId": number, "outputs": {"out": case["in"]["weight"], "state": state}}), flush=True)
    """)
    weight = np.array([[1.5, np.nan, -0.0]], dtype=np.float32)
    outputs = backend.run(Case("embedding", weight=weight, max_norm=np.inf, ids=np.zeros((0, 2), dtype=np.int64)))
    assert outputs["out"].tobytes() == weight.tobytes()
    assert outputs["out"].shape == (3, 1)
    assert outputs["state"]["step"] == 7


def test_what_the_program_reads(program, tmp_path):
    """Read the line itself: the given fields, hexadecimal arrays, infinities as words."""
    seen = tmp_path / "seen"
    backend = program(f"""
        open({str(seen)!r}, "w").write(line)
        print(json.dumps({{"tcId": number, "unsupported": "no"}}), flush=True)
    """)
    options = {"lr": 0.1, "betas": (0.5, 0.75)}
    case = Case("adam", "float64", weight=np.array([[1.0]]), norm_type=np.inf, state={"step": np.array(3)}, options=options)
    with pytest.raises(Unsupported, match="no"):
        backend.run(case)
    assert seen.read_text() == (
        '{"tcId":1,"op":"adam","dtype":"float64","in":{"weight":{"dtype":"float64","shape":[1,1],"hex":"000000000000f03f"},'
        '"norm_type":"inf","state":{"step":{"dtype":"int64","shape":[],"hex":"0300000000000000"}},'
        '"options":{"lr":0.1,"betas":[0.5,0.75]}}}\n'
    )


def test_one_process_answers_many_cases(program):
    backend = program("print(json.dumps({'tcId': number, 'error': str(os.getpid())}), flush=True)")
    answers = set()
    for _ in range(20):
        with pytest.raises(RuntimeError) as refusal:
            backend.run(HASH)
        answers.add(str(refusal.value))
    assert len(answers) == 1
    backend.close()
    with pytest.raises(RuntimeError) as refusal:
        backend.run(HASH)
    assert str(refusal.value) not in answers


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("os.kill(os.getpid(), 11)", "the program died of SIGSEGV instead of answering"),
        ("os.kill(os.getpid(), 35)", "the program died of signal 35 instead of answering"),
        ("sys.exit(0)", "the program ended with status 0 instead of answering"),
        ("sys.exit('a reason\\nand more')", "the program ended with status 1 instead of answering; its last words: and more"),
        ("os.close(1); time.sleep(60)", "the program closed its output"),
        ("print('hello', flush=True)", "the program's answer is no JSON: 'hello'"),
        ("print('[1]', flush=True)", "the program's answer is no JSON object: '[1]'"),
        ("print('{}', flush=True)", "the program's answer must have one of outputs, error, unsupported, not none"),
        ("os.write(1, b'\\xff\\xfe\\n')", "the program's answer is no JSON: '\\xff\\xfe'"),
        (
            "print(line.replace(str(number), '77').replace('in', 'error'), flush=True)",
            "the program answered case 77 when it was asked",
        ),
        (
            "print(json.dumps({'tcId': number, 'outputs': {'rows': 3}}), flush=True)",
            "the program's answer is none: `rows` must be",
        ),
        (
            "print(json.dumps({'tcId': number, 'outputs': []}), flush=True)",
            "the program's answer is none: `outputs` must be an object",
        ),
        ("print(100000 * '[', flush=True)", "the program's answer is no JSON: '[[["),
    ],
)
def test_every_misdeed_is_a_failed_check_with_a_sentence(program, body, sentence):
    backend = program(body)
    with pytest.raises(Crashed) as crash:
        backend.run(HASH)
    assert str(crash.value).startswith(sentence)
    report = check(backend, only="hash.rows,embedding.out_of_bounds", shrink=False)
    assert [result.status for result in report.results] == ["failed", "failed"]
    assert all(sentence[:40] in result.message for result in report.results)


def test_dying_is_no_refusal(program):
    """
    Distinguish death from refusal.

    The program answers valid cases and dies of ids out of range. If it raised instead, the check
    would pass.
    """
    answer = """
        case = json.loads(line)["in"]
        ids = bytes.fromhex(case["ids"]["hex"])
        bad = any(int.from_bytes(ids[at:at + 8], "little") >= case["weight"]["shape"][0] for at in range(0, len(ids), 8))
        if bad:
            {}
        zeros = dict(case["grad_out"], hex="00" * (len(case["grad_out"]["hex"]) // 2))
        print(json.dumps({{"tcId": number, "outputs": {{"out": zeros}}}}), flush=True)
    """
    (result,) = check(program(answer.format("os.abort()")), only="embedding.out_of_bounds").results
    assert result.status == "failed"
    assert result.message == "must raise for id -1 of 3; the program died of SIGABRT instead of answering"
    refuse = 'print(json.dumps({"tcId": number, "error": "no"}), flush=True); continue'
    assert check(program(answer.format(refuse)), only="embedding.out_of_bounds").results[0].status == "passed"


@pytest.mark.parametrize(
    "body",
    ["time.sleep(1000)", "print('no line', end='', flush=True); time.sleep(1000)", "while True: sys.stderr.write('x' * 1000)"],
)
def test_a_hang_ends_its_check_at_the_limit_and_is_not_shrunk(program, body):
    backend = program(body, limit=0.3)
    with pytest.raises(Hung):
        backend.run(HASH)
    report = check(backend, only="bloom.forward")
    (result,) = report.results
    assert (result.status, result.message) == ("failed", "the program did not answer within 0.3 s")
    assert "Case(" in result.snippet
    assert result.examples == 0
    assert backend._number == 2  # the check ran one case only


def test_a_program_that_writes_without_reading_blocks_nobody(program):
    """Fill the pipe with output of a program that reads no input."""
    backend = program("", before="while True: print('x' * 99)", limit=5.0)
    with pytest.raises(Crashed, match="the program answered before it had read its case"):
        backend.run(Case("embedding", weight=np.zeros((1000, 200)), ids=np.zeros(3, dtype=np.int64)))


def test_long_lines_both_ways(program):
    backend = program("print(json.dumps({'tcId': number, 'outputs': {'out': json.loads(line)['in']['weight']}}), flush=True)")
    weight = np.random.default_rng(0).standard_normal((2000, 300))
    assert backend.run(Case("embedding", "float64", weight=weight))["out"].tobytes() == weight.tobytes()


def test_a_line_without_end_is_stopped(program, monkeypatch):
    monkeypatch.setattr("npbloom.conformance.runner.command.MAX_REPLY_BYTES", 100_000)
    with pytest.raises(Crashed, match="the program writes without end"):
        program("while True: sys.stdout.write('x' * 1000)").run(HASH)


def test_a_program_that_is_not_there():
    backend = CommandBackend("./no-such-runner --fast")
    assert backend.name == "no-such-runner"
    assert repr(backend) == "CommandBackend('./no-such-runner --fast')"
    report = check(backend, only="hash.*")
    assert {result.message for result in report.results} == {
        "the program ./no-such-runner could not be started: No such file or directory"
    }
    assert not report.ok


def test_what_makes_no_backend_is_refused():
    with pytest.raises(ValueError, match="`command` must name a program"):
        CommandBackend("")
    with pytest.raises(ValueError, match="`limit` must be a number of seconds above 0, not nan"):
        CommandBackend("x", limit=float("nan"))


def test_a_snippet_starts_the_program_again(program, tmp_path):
    backend = program("print(json.dumps({'tcId': number, 'error': 'not today'}), flush=True)")
    (result,) = check(backend, only="hash.rows", shrink=False).results
    done = subprocess.run([sys.executable, "-c", result.snippet], capture_output=True, text=True, check=False)
    assert "from npbloom.conformance import Case, CommandBackend\n" in result.snippet
    assert "RuntimeError: not today" in done.stderr


def test_the_program_ends_with_its_adapter(program, tmp_path):
    answer = "print(json.dumps({'tcId': number, 'error': str(os.getpid())}), flush=True)"

    def process_of(adapter: CommandBackend) -> int:
        try:
            adapter.run(HASH)
        except RuntimeError as refusal:
            return int(str(refusal))
        raise AssertionError

    backend = program(answer)
    copy = pickle.loads(pickle.dumps(backend))
    mine, other = process_of(backend), process_of(copy)
    assert mine != other
    del copy
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)
    backend.close()
    with pytest.raises(ProcessLookupError):
        os.kill(mine, 0)


def test_a_program_that_does_not_end_is_killed(program, monkeypatch):
    monkeypatch.setattr("npbloom.conformance.runner.command.EXIT_SECONDS", 0.1)
    backend = program(
        "print(json.dumps({'tcId': number, 'error': str(os.getpid())}), flush=True)",
        before="import atexit, signal\natexit.register(lambda: time.sleep(1000))",
    )
    with pytest.raises(RuntimeError) as refusal:
        backend.run(HASH)
    backend.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(refusal.value)), 0)


def test_a_fork_starts_its_own_program(program):
    backend = program("print(json.dumps({'tcId': number, 'error': str(os.getpid())}), flush=True)")

    def ask() -> str:
        try:
            backend.run(HASH)
        except RuntimeError as refusal:
            return str(refusal)
        return ""

    mine = ask()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ask().encode())
        backend._runner.kill()
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert theirs not in ("", mine)
    assert ask() == mine


def test_profile_policy_and_omits_are_of_each_program():
    backend = CommandBackend(
        "a", name="mine", version="3", profile=WIDE, policy={"max_tie": "last"}, omits={"bag.sum": "no bags"}
    )
    assert (backend.name, backend.version, backend.profile) == ("mine", "3", WIDE)
    assert CommandBackend("b").policy == {}
    assert set(CommandBackend("b").profile) == {"float32"}
    assert check(backend, only="bag.sum").results[0].message == "no bags"
