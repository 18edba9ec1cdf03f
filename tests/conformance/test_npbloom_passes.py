"""Tests of npbloom's own kernels: they pass every check, in float32 and in float64."""

from __future__ import annotations

import mmh3
import numpy as np
import pytest

from npbloom import reference
from npbloom.conformance import Case, Unsupported, check
from npbloom.conformance.backends.npbloom import NpBloom
from npbloom.conformance.checks.registry import CHECKS
from npbloom.types import HashSpec

OPERATIONS = sorted({each.op for each in CHECKS.values()})


@pytest.mark.parametrize("op", OPERATIONS)
def test_npbloom_passes_every_check(op: str) -> None:
    report = check(NpBloom(), only=f"{op}.*")
    assert {result.name for result in report.results} == {name for name, each in CHECKS.items() if each.op == op}
    assert [(result.name, result.message) for result in report.results if result.status != "passed"] == []
    assert report.ok
    assert sum(result.cases_declined for result in report.results) == 0


def test_npbloom_claims_both_dtypes_and_omits_nothing() -> None:
    backend = NpBloom()
    assert set(backend.profile) == {"float32", "float64"}
    assert not backend.omits
    assert backend.policy["out_of_bounds"] == backend.policy["invalid_offsets"] == "raise"


@pytest.mark.parametrize("case", [Case("embedding", "float16"), Case("no such thing")])
def test_npbloom_declines_what_it_does_not_offer(case: Case) -> None:
    with pytest.raises(Unsupported):
        NpBloom().run(case)
    with pytest.raises(Unsupported):
        NpBloom().session(case.replace(weight=np.zeros((1, 1)), options={}, state={}))


def test_npbloom_hashes_bytes_and_wide_ids() -> None:
    """
    Compare with mmh3 and with the reference; keys of four and of eight bytes are two operations.
    """
    keys = np.frombuffer(b"abcdefghij", dtype=np.uint8).reshape(2, 5)
    hashes = NpBloom().run(Case("hash_bytes", keys=keys, seed=7))["hash"]
    assert hashes.tolist() == [mmh3.hash(b"abcde", 7, signed=False), mmh3.hash(b"fghij", 7, signed=False)]
    weight = np.arange(10.0).reshape(5, 2)
    case = Case("bloom64", "float64", weight=weight, ids=np.array([2**40, 3]), grad_out=np.ones((2, 2)))
    case = case.replace(num_embeddings=2**41, num_hash_functions=3, share_padding_row=True)
    outputs = NpBloom().run(case)
    assert outputs["out"].tolist() == reference.bloom_forward(weight, case.ids, HashSpec(2**41, 5, 3)).tolist()
    for wrong in (case.replace(num_embeddings=2**41, op="bloom"), case.replace(num_embeddings=10, ids=np.array([2, 3]))):
        with pytest.raises(Unsupported, match="bytes"):
            NpBloom().run(wrong)


def test_sessions_of_npbloom_use_both_ways_to_take_a_step() -> None:
    """Take steps with `update` and `step` in turn, on one layer; each returned array is a copy."""
    options = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.0}
    state = {"momentum_buffer": np.zeros((2, 1))}
    session = NpBloom().session(Case("sgd", "float64", weight=np.zeros((2, 1)), state=state, options=options))
    step = Case("sgd", "float64", rows=np.array([1, 1]), values=np.array([[1.0], [3.0]]), options=options)
    first = session.step(step)
    second = session.step(step)
    assert first["weight"].ravel().tolist() == [0.0, -2.0]  # buf = 4
    assert second["weight"].ravel().tolist() == [0.0, -5.0]  # buf = 0.5 * 4 + 4
    assert second["state"]["momentum_buffer"].ravel().tolist() == [0.0, 6.0]
