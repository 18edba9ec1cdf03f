"""Tests of golden vectors: their contents, and their verdicts on right and wrong answers."""

from __future__ import annotations

import json
import re
import struct
from fractions import Fraction

import numpy as np
import pytest

from npbloom.conformance import Unsupported
from npbloom.conformance.backends import NpBloom
from npbloom.conformance.runner.wire import as_line, reply_object
from npbloom.conformance.vectors import SETS, export, files, judge
from npbloom.conformance.vectors.judgement import verdict
from npbloom.conformance.vectors.source import Source
from npbloom.conformance.vectors.vector import FLAGS, RESULTS, Band, answer_of
from tests.conformance._vectors import VECTORS, at, paths
from tests.conformance.mutants import MUTANTS, Right


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with all sets as files."""
    path = tmp_path_factory.mktemp("vectors")
    export(path)
    return path


# ---- contents ------------------------------------------------------------------------------------


def test_integers_are_hashes_of_a_counter():
    """Compare words 0 to 3 of stream 7 with mmh3's hash of the four bytes of the counter."""
    import mmh3

    words = [mmh3.hash(struct.pack("<I", counter), 7, signed=False) for counter in range(6)]
    source = Source(7)
    assert source.words(2).tolist() == words[:2]
    assert source.integers(-3, 4, (2, 2)).ravel().tolist() == [-3 + word % 7 for word in words[2:6]]
    ranks = Source(1).ranks(5, 40)
    assert (np.sort(ranks, axis=0) == np.arange(1, 6)[:, None]).all()
    assert len({tuple(column) for column in ranks.T.tolist()}) > 20
    floats = Source(2).floats((1000,), 6)
    assert (floats == floats.astype(np.float32)).all()
    assert 2**-6 <= np.abs(floats).min() < 2**-5 < 2**5 < np.abs(floats).max() < 2**6


def test_every_kind_of_case_is_there():
    assert {vector.case.op for vector in VECTORS.values()} == {
        *("hash", "hash_bytes", "embedding", "bag", "bloom", "bloom_mean", "bloom_concat", "bloom64"),
        *("sgd", "adagrad", "rowwise_adagrad", "adam"),
    }
    assert {vector.result for vector in VECTORS.values()} == set(RESULTS)
    assert {flag for vector in VECTORS.values() for flag in vector.flags} == set(FLAGS)
    assert {vector.case.dtype for vector in VECTORS.values()} == {"float32", "float64"}
    assert [min(files.vectors_of(name)) for name in SETS] == [1001, 2001, 3001, 4001, 5001, 6001, 7001]
    assert len(VECTORS) > 480


def test_every_vector_expects_something_unless_it_is_to_be_refused():
    for number, vector in VECTORS.items():
        refused = vector.result == "invalid" or {"MeanWeights", "OutOfBounds"} & set(vector.flags)
        assert bool(vector.expect) != bool(refused), number
        if "grad_weight" in vector.expect:
            assert vector.expect["out"].lo.shape == vector.case.grad_out.shape
        assert re.fullmatch(r"L\d+(, L\d+)*", vector.spec), number


def test_smhashers_verification_value_is_among_them():
    import mmh3

    (vector,) = [vector for vector in VECTORS.values() if "Verification" in vector.flags]
    hashes = [mmh3.hash(bytes(range(i)), 256 - i, signed=False) for i in range(256)]
    assert vector.case.keys.tobytes() == struct.pack("<256I", *hashes)
    assert vector.expect["hash"].lo.tolist() == [0xB0F57EE3]
    assert vector.expect["hash"].hi.tolist() == [0xB0F57EE3]


def test_flags_say_what_is_there():
    for number, vector in VECTORS.items():
        case = vector.case
        if "Padding" in vector.flags:
            assert case.padding_idx is not None, number
        if "Duplicates" in vector.flags:
            entries = (case.rows if case.ids is None else case.ids).ravel()
            assert len(np.unique(entries)) < len(entries), number
        if case.state is not None:
            assert "Lazy" in vector.flags, number
        if "SignedRemainder" in vector.flags:
            assert case.num_rows & (case.num_rows - 1), number  # at a power of two they agree
        if "RawBits" in vector.flags:
            assert vector.expect["out"].bits
    heights = {vector.case.num_rows for vector in VECTORS.values() if "SignedRemainder" in vector.flags}
    assert {3, 1000, 1021, 2**31 - 1} <= heights


# ---- right answers and wrong ones ----------------------------------------------------------------


def test_the_middle_of_each_band_is_right():
    for number, vector in VECTORS.items():
        if vector.expect:
            reply = json.loads(as_line(reply_object(number, answer_of(vector))))
            assert verdict(vector, reply) == ("passed", ""), number


def test_beyond_the_edges_of_each_band_is_wrong():
    """
    Move the first and last element of every output one unit in the last place beyond either edge.
    """
    moved = 0
    for number, vector in VECTORS.items():
        if vector.result != "valid":
            continue
        for path in paths(vector.expect):
            band = at(vector.expect, path)
            if not band.lo.size:
                continue
            for edge, toward in ((band.lo, -np.inf), (band.hi, np.inf)):
                for element in (0, -1):
                    outputs = answer_of(vector)
                    array = at(outputs, path).reshape(-1)
                    array[element] = _next(edge.reshape(-1)[element], toward)
                    status, sentence = verdict(vector, json.loads(as_line(reply_object(number, outputs))))
                    assert status == "failed", (number, path)
                    assert f"`{path[-1]}" in sentence or f"state[{path[-1]!r}]" in sentence
                    moved += 1
    assert moved > 2500


def _next(value, toward):
    if value.dtype.kind in "iu":
        return value - 1 if value == np.iinfo(value.dtype).max or (toward < 0 < value) else value + 1
    if not np.isfinite(value):
        return value.dtype.type(1)
    return np.nextafter(value, value.dtype.type(toward))


def test_npbloom_answers_every_vector_it_offers(folder):
    backend = NpBloom()
    replies = [answered(backend, number, vector.case.copy()) for number, vector in VECTORS.items()]
    judgement = judge(folder, [as_line(reply) for reply in replies])
    assert judgement.ok, str(judgement)
    statuses = {status for status, _ in judgement.verdicts.values()}
    assert statuses <= {"passed", "unsupported"}
    declined = {VECTORS[number].case.op for number, (status, _) in judgement.verdicts.items() if status == "unsupported"}
    assert declined <= {"hash_bytes", "bloom64"}


def test_vectors_of_optimizers_are_torchs():
    """
    Compare every band with torch's own steps on the coalesced gradient.

    Steps are dense if no row is lazy.
    """
    torch = pytest.importorskip("torch")
    judged = 0
    for number, vector in VECTORS.items():
        case = vector.case
        if case.op not in ("sgd", "adagrad", "adam") or set(case.rows.tolist()) == set():
            continue
        touched = sorted(set(case.rows.tolist()))
        after = _torch_step(torch, case, touched)
        for path in paths(vector.expect):
            if path[-1] == "step":
                continue
            band, got = at(vector.expect, path), at(after, path)
            rows = Band(band.lo[touched], band.hi[touched])
            assert rows.holds(got).all(), (number, path)
            judged += 1
    assert judged > 60


def _torch_step(torch, case, touched):
    """Return the touched rows after a step of torch on a table of those rows."""
    weight = torch.nn.Parameter(torch.tensor(case.weight[touched]))
    grad = np.zeros((len(case.weight), case.weight.shape[1]), dtype=case.weight.dtype)
    np.add.at(grad, case.rows, case.values)
    weight.grad = torch.tensor(grad[touched])
    kind = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam}[case.op]
    optimizer = kind([weight], **case.options)
    state = {
        name: torch.tensor(np.asarray(array)[touched] if np.ndim(array) else float(array)) for name, array in case.state.items()
    }
    optimizer.state[weight] = state
    optimizer.step()
    found = {name: value.detach().numpy() for name, value in optimizer.state[weight].items() if value is not None}
    return {"weight": weight.detach().numpy(), "state": found}


def test_faults_are_found_by_files_alone():
    """
    Find nine in ten of the catalogue's faults with files alone.

    The others write to their inputs, keep state, or make an acceptable choice.
    """

    def finds(mutant) -> bool:
        likely_first = sorted(VECTORS.values(), key=lambda vector: vector.case.op not in mutant.ops)
        return any(verdict(vector, answered(mutant, 0, vector.case.copy()))[0] == "failed" for vector in likely_first)

    with np.errstate(all="ignore"):
        lost = [mutant.name for mutant in MUTANTS if not finds(mutant)]
    assert len(lost) < 0.1 * len(MUTANTS), lost
    assert not any(verdict(vector, answered(Right(), 0, vector.case.copy()))[0] == "failed" for vector in VECTORS.values())


def answered(backend, number, case):
    """Return the reply of a backend, as a file would hold it."""
    try:
        return json.loads(as_line(reply_object(number, backend.run(case))))
    except Unsupported as reason:
        return {"tcId": number, "unsupported": str(reason)}
    except Exception as error:
        return {"tcId": number, "error": str(error)}


def test_torch_answers_all_but_those_of_its_wrong_count():
    """
    Accept all answers of torch but those of two faults.

    One is pytorch#190063. The other is that of bags in two dimensions without columns. Answers that
    differ by a policy of torch's are acceptable.
    """
    pytest.importorskip("torch")
    from npbloom.conformance.backends import TorchCPU

    backend, failed = TorchCPU(), []
    for number, vector in VECTORS.items():
        if vector.case.op not in ("embedding", "bag") or "InvalidOffsets" in vector.flags:  # some crash torch
            continue
        if verdict(vector, answered(backend, number, vector.case.copy()))[0] == "failed":
            failed.append(vector.case)
    counted = [case for case in failed if case.op == "bag" and case.scale_grad_by_freq and case.mode != "max"]
    columns = [case for case in failed if case.ids.shape == (2, 0)]
    assert len(counted) >= 7
    assert len(counted) + len(columns) == len(failed)


def test_bands_of_sums_hold_every_order_and_no_term_more_or_less():
    """
    Add float32 terms of the bounded vectors one by one in five orders; every sum must pass.

    Exact sums with a term more or less must not pass; Fractions compute them.
    """
    rng = np.random.default_rng(0)
    judged = 0
    for vector in VECTORS.values():
        case = vector.case
        if "Rounding" not in vector.flags or case.op != "embedding" or case.max_norm is not None or case.scale_grad_by_freq:
            continue
        band = vector.expect["grad_weight"]
        for row in range(len(case.weight)):
            terms = case.grad_out[case.ids == row]
            for _ in range(5):
                total = np.zeros(terms.shape[1], dtype=np.float32)
                for term in rng.permutation(terms):
                    total = total + term
                assert ((band.lo[row] <= total) & (total <= band.hi[row])).all()
            exact = [sum(map(Fraction, column.tolist())) for column in terms.T]
            for column, value in enumerate(exact):
                assert Fraction(float(band.lo[row, column])) <= value <= Fraction(float(band.hi[row, column]))
                for term in terms[:, column].tolist():
                    assert not band.lo[row, column] <= float(value - Fraction(term)) <= band.hi[row, column]
                    judged += 1
    assert judged > 300
