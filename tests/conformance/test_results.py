"""Tests of files of results: every verdict, and every kind of invalid file."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from npbloom.conformance.runner.wire import as_line, outputs_of, reply_object
from npbloom.conformance.vectors import export, files, judge
from npbloom.conformance.vectors.judgement import verdict
from npbloom.conformance.vectors.vector import answer_of
from tests.conformance._vectors import VECTORS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with all sets as files."""
    path = tmp_path_factory.mktemp("vectors")
    export(path)
    return path


# ---- files of results ----------------------------------------------------------------------------


def reply(number, **changes):
    return as_line({**reply_object(number, answer_of(VECTORS[number])), **changes})


def first(result, **has):
    """Return the first vector with this result, and with these flags or this operation."""
    for number, vector in VECTORS.items():
        if (
            vector.result == result
            and has.get("flag", "") in ("", *vector.flags)
            and has.get("op", vector.case.op) == vector.case.op
        ):
            return number
    raise LookupError(result, has)


def test_verdicts_of_every_kind(folder):
    bloom, tie, bad, mean = (
        first("valid", op="bloom"),
        first("acceptable", flag="MaxTie"),
        first("invalid"),
        first("acceptable", flag="MeanWeights"),
    )
    tied = answer_of(VECTORS[tie])
    tied["grad_weight"] = tied["grad_weight"][::-1].copy()
    without = {name: array for name, array in answer_of(VECTORS[bloom + 1]).items() if name == "out"}
    lines = [
        reply(bloom),
        as_line(reply_object(tie, tied)),
        as_line({"tcId": bad, "error": "no such id"}),
        as_line({"tcId": mean, "error": "sum only"}),
        as_line(reply_object(bloom + 1, without)),
        as_line({**reply_object(bloom + 2, {"out": answer_of(VECTORS[bloom + 2])["out"]}), "omits": ["grad_weight"]}),
        as_line({"tcId": bloom + 3, "error": "too hard"}),
        as_line({"tcId": bloom + 4, "unsupported": "not yet"}),
        as_line(reply_object(bad + 1, {"out": np.zeros((3, 2), dtype=np.float32)})),
        as_line(reply_object(mean + 1, {"out": np.zeros((2, 3), dtype=np.float32)})),
        as_line(reply_object(bloom + 5, {})),
    ]
    found = judge(folder, lines).verdicts
    assert found[bloom] == found[bad] == found[mean] == ("passed", "")
    assert found[tie][0] == "acceptable"
    assert "`grad_weight[0, 0]`" in found[tie][1]
    assert found[bloom + 1] == ("partial", "without grad_weight")
    assert found[bloom + 2] == ("passed", "")
    assert found[bloom + 3] == ("failed", "refused: too hard")
    assert found[bloom + 4] == ("unsupported", "not yet")
    assert found[bad + 1] == ("failed", f"must be refused ({VECTORS[bad + 1].note}), not answered with out")
    assert found[mean + 1] == ("acceptable", "answered, where npbloom refuses")
    assert found[bloom + 5] == ("failed", "must return some of out, grad_weight, not nothing")
    assert found[bloom + 6] == ("unanswered", "")


def test_rows_and_values_are_a_gradient(folder):
    number = first("valid", op="bloom")
    right = answer_of(VECTORS[number])
    dense = right.pop("grad_weight")
    rows = np.flatnonzero(dense.any(axis=1))[::-1]
    pair = {**right, "rows": np.append(rows, rows[0]), "values": np.append(dense[rows], 0 * dense[rows[:1]], axis=0)}
    assert verdict(VECTORS[number], json.loads(as_line(reply_object(number, pair)))) == ("passed", "")
    pair["values"] = pair["values"] + 1
    assert verdict(VECTORS[number], json.loads(as_line(reply_object(number, pair))))[0] == "failed"


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({"out": 1}, "the answer `out` must be an object of dtype, shape and hex"),
        ({"out": {"dtype": "float32", "shape": [2], "hex": "00"}}, "the answer `out` has 1 bytes, not the 8 of its shape [2]"),
        ({"out": {"dtype": "float31", "shape": [2], "hex": "00"}}, "the answer `out` has the dtype 'float31', not one of"),
        ({"out": {"dtype": "float32", "shape": [-1], "hex": ""}}, "the answer `out` has the shape [-1], not a list of sizes"),
        (
            {"out": {"dtype": "float32", "shape": [1], "hex": "0000zz00"}},
            "the answer `out` must be hexadecimal digits, not '0000zz00'",
        ),
        ({"out": {"dtype": "float32", "shape": [1], "hex": "00000000"}}, "`out` must have shape (8, 2), not (1,)"),
        ({"out": {"dtype": "float16", "shape": [8, 2], "hex": "0000" * 16}}, "`out` must be float32 or wider, not float16"),
        ({"out": {"dtype": "int64", "shape": [8, 2], "hex": "00" * 128}}, "`out` must be float32 or wider, not int64"),
        (3, "the answer `outputs` must be an object of arrays, not '3'"),
    ],
)
def test_nonsense_is_a_failed_test_with_a_sentence(outputs, sentence):
    status, message = verdict(VECTORS[4001], {"tcId": 4001, "outputs": outputs})
    assert status == "failed"
    assert message.startswith(sentence)


def test_an_answer_is_exactly_one_of_three():
    assert verdict(VECTORS[4001], {"tcId": 4001}) == (
        "failed",
        "the answer must have one of outputs, error, unsupported, not none",
    )
    both = {"tcId": 4001, "error": "", "outputs": {}}
    assert verdict(VECTORS[4001], both) == (
        "failed",
        "the answer must have one of outputs, error, unsupported, not outputs and error",
    )


def test_results_are_lines_or_one_array(folder):
    replies = [reply(number) for number in (1001, 1002)]
    by_line = judge(folder, ["", replies[0] + ",", "  " + replies[1]]).verdicts
    by_array = judge(folder, ("[\n" + ",\n".join(replies) + "]").splitlines()).verdicts
    assert by_line == by_array
    assert by_line[1002] == ("passed", "")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["nonsense"], "Line 1 of the results is no JSON: 'nonsense'"),
        (["3"], "Line 1 of the results is no JSON object: '3'"),
        ([as_line({"tcId": 1001, "error": ""}), "NaN"], "Line 2 of the results is no JSON: 'NaN'"),
        (["[1,"], "The results are no JSON"),
        (["[" * 100_000], "The results are no JSON: maximum recursion depth exceeded while decoding a JSON array"),
        (["[" + "9" * 5000 + "]"], "The results are no JSON: Exceeds the limit"),
        (["[1]"], "Each result must be an object with a tcId, not 1"),
        (['{"tcId":"1001","error":""}'], "Each result must be an object with a tcId"),
        (['{"tcId":99,"error":""}'], "There is no test 99 among the vectors."),
        (['{"tcId":1001,"error":""}'] * 2, "There are two answers to tcId 1001."),
    ],
)
def test_files_that_are_no_results_are_refused(folder, lines, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        judge(folder, lines)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda test: test.update(tcId=1002), "has a test without a number of its own: {'tcId': 1002"),
        (lambda test: test.update(expect=[]), "has a test 1001 that cannot be read: 'list' object has no attribute 'items'"),
        (
            lambda test: test.update(expect={"hash": {"a": 1}}),
            "has a test 1001 that cannot be read: 'int' object has no attribute",
        ),
        (
            lambda test: test.update(note={"a": nested(500)}),
            "has a test 1001 that cannot be read: maximum recursion depth exceeded",
        ),
        (
            lambda test: test["in"]["keys"].update(shape=[2**62, 2**62, 0]),
            "has a test 1001 that cannot be read: cannot reshape array of size 0",
        ),
        (
            lambda test: test["in"]["keys"].update(shape=[1] * 33),
            "has a test 1001 that cannot be read: `keys` has the shape [1, 1,",
        ),
        (
            lambda test: test["in"].update({"keys": None, "weight": 5}),
            "has a test 1001 that contradicts itself: 'int' object has no",
        ),
        (
            lambda test: test["expect"]["hash"].update(shape=[1, 1]),
            None,
        ),  # a hash of another shape: no answer passes, but this one does
        (
            lambda test: test["expect"].update(out=test["expect"].pop("hash")),
            "has a test 1001 that contradicts itself: must return",
        ),
    ],
)
def test_vectors_that_do_not_hang_together_are_refused(change, sentence, folder, tmp_path):
    """
    Refuse invalid files that mutation testing found.

    Before, each of them raised an exception of another kind, or got a verdict on nothing.
    """
    whole = json.loads((folder / "hash.json").read_text())
    assert {"keys", "seed"} <= whole["tests"][0]["in"].keys()
    change(whole["tests"][0])
    path = tmp_path / "hash.json"
    path.write_text(json.dumps(whole))
    if sentence is None:
        assert judge(tmp_path, []).verdicts[1001] == ("unanswered", "")
        return
    with pytest.raises(ValueError, match="^" + re.escape(f"{path} {sentence}")) as caught:
        judge(tmp_path, [])
    assert len(str(caught.value)) < 500


def nested(depth):
    """Return nested objects, not deeper than JSON can hold."""
    return {"a": nested(depth - 1)} if depth else {}


def test_a_dtype_that_no_table_has_is_refused(folder, tmp_path):
    path = tmp_path / "lookup.json"
    path.write_text((folder / "lookup.json").read_text().replace('"dtype":"float32"', '"dtype":"float32768"', 1))
    with pytest.raises(ValueError, match="^" + re.escape(f"{path} has a test 2001 that contradicts itself: 'float32768'")):
        judge(tmp_path, [])


def test_omitted_outputs_are_a_list_of_names(folder):
    answer = json.loads(reply(1001))
    for omits in (3, "hash", {"hash": 1}, [1]):
        status, sentence = judge(folder, [json.dumps({**answer, "omits": omits})]).verdicts[1001]
        assert status == "failed"
        assert sentence.startswith("the answer `omits` must be a list of names, not ")


def test_files_that_are_no_vectors_are_refused(tmp_path):
    path = tmp_path / "hash.json"
    for text, sentence in (
        ("nonsense", "hash.json is no JSON"),
        ("[]", "hash.json is no file of vectors in the format npbloom-vectors-1"),
        ('{"format":"npbloom-vectors-1"}', "hash.json is no file of vectors in the format npbloom-vectors-1"),
        ('{"format":"npbloom-vectors-1","tests":[{"tcId":5}]}', "hash.json has a test 5 that cannot be read"),
        ('{"format":"npbloom-vectors-1","tests":[7]}', "hash.json has a test without a number of its own: 7"),
        ('{"format":"npbloom-vectors-1","tests":[],"numberOfTests":2}', "hash.json has 0 tests, not the 2 that it speaks of"),
        ('{"a":' + "[" * 100_000, "hash.json is no JSON: maximum recursion depth exceeded while decoding a JSON array"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            judge(tmp_path, [])


def test_ok_needs_something_right_nothing_wrong_and_whole_sets(folder):
    hashes = [reply(number) for number in files.vectors_of("hash")]
    assert judge(folder, hashes).ok
    assert not judge(folder, []).ok
    assert not judge(folder, hashes[:-1]).ok  # an incomplete set
    declined = [as_line({"tcId": number, "unsupported": ""}) for number in VECTORS]
    assert not judge(folder, declined).ok
    assert judge(folder, [*hashes[:-1], as_line({"tcId": 1000 + len(hashes), "unsupported": ""})]).ok
    wrong = as_line({"tcId": 1000 + len(hashes), "error": ""})
    judgement = judge(folder, [*hashes[:-1], wrong])
    assert not judgement.ok
    last = 1000 + len(hashes)
    assert f"hash tcId {last}: failed: refused: " in str(judgement)
    assert str(judgement).endswith("NOT OK")
    found = json.loads(judgement.to_json())
    assert found["ok"] is False
    assert found["results"][last - 1001] == {"tcId": last, "set": "hash", "status": "failed", "message": "refused: "}


def test_outputs_survive_a_line():
    outputs = {
        "out": np.array([[np.nan, -0.0, np.inf]], dtype=np.float32),
        "rows": np.zeros((0, 4), dtype=np.int64),
        "state": {"step": np.array(7), "sum": np.array([1.5])},
    }
    back = outputs_of(json.loads(as_line(reply_object(3, outputs))))
    assert back["out"].tobytes() == outputs["out"].tobytes()
    assert back["rows"].shape == (0, 4)
    assert back["state"]["step"].shape == ()
    assert int(back["state"]["step"]) == 7
    big = {"out": outputs["out"].astype(">f4")}
    assert outputs_of(json.loads(as_line(reply_object(3, big))))["out"].tobytes() == outputs["out"].tobytes()
