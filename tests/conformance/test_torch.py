"""Tests of PyTorch under the oracle: the documented faults are found, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from npbloom.conformance import Case, CheckResult, Report, Unsupported, check
from npbloom.conformance.backends import TorchCPU, TorchSparseAdam
from npbloom.conformance.backends.torch_cpu import ACCUMULATORS
from npbloom.conformance.checks.registry import CHECKS
from npbloom.conformance.runner.check_run import Budget
from npbloom.conformance.runner.run_check import run_check

LOOKUPS = "embedding.*,bag.*"
# With sparse gradients.
PASSED = ("embedding.touched", "bag.touched", "bag.sum_backward", "embedding.padding")
DECLINED = ("embedding.scale_grad_by_freq", "bag.scale_grad_by_freq", "bag.max")


def statuses(report: Report, *wanted: str) -> set[str]:
    """Return the names of the checks with one of these statuses."""
    return {result.name for result in report.results if result.status in wanted}


def case_of(result: CheckResult) -> Any:
    """Return the smallest case of a failure, made by the snippet of the report."""
    namespace: dict[str, Any] = {}
    exec(result.snippet, namespace)
    return namespace["case"]


@pytest.fixture(scope="module")
def report() -> Report:
    """Return the report of the fast profile."""
    return check(TorchCPU(), expected_failures=TorchCPU.known_faults)


def test_exactly_the_known_faults_fail(report: Report) -> None:
    assert statuses(report, "xfailed") == set(TorchCPU.known_faults)
    assert statuses(report, "failed", "xpassed", "not-exercised", "blind") == set()
    assert report.ok


def test_all_that_torch_offers_is_asked(report: Report) -> None:
    declined = statuses(report, "declined")
    ours = {name for name, each in CHECKS.items() if each.op not in ("embedding", "bag", "sgd", "adagrad", "adam")}
    assert ours <= declined
    assert declined - ours == {
        "adam.empty",  # dense Adam: a step that does not name every row is a different step
        "adam.nan",
        "bag.invalid_offsets",
        "bag.max_nan",
        "bag.scale_max_by_freq",
        "bag.touched",
        "embedding.touched",
    }


def test_the_wrong_count_is_found_and_shrunk_to_three_ids() -> None:
    result = check(TorchCPU(), only="bag.scale_grad_by_freq").results[0]
    assert (result.status, result.stage) == ("failed", "exhaustive")
    assert case_of(result).ids.size <= 3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_wrong_count_is_shrunk_to_three_ids_where_it_is_drawn(seed: int) -> None:
    budget = Budget(drawn=100, exhaustive=False, sizes=())
    result = run_check(TorchCPU(), CHECKS["bag.scale_grad_by_freq"], budget, seed)
    assert (result.status, result.stage) == ("failed", "exact")
    assert case_of(result).ids.size <= 3


def test_a_wrong_count_is_said_in_words() -> None:
    result = check(TorchCPU(), only="bag.scale_grad_by_freq").results[0]
    assert "row 1 got the gradients of outputs {0:0.5}, expected {0:1}" in result.message


@pytest.mark.parametrize("only", [",".join((*PASSED, *DECLINED)), pytest.param(LOOKUPS, marks=pytest.mark.nightly)])
def test_sparse_gradients_pass(only: str) -> None:
    backend = TorchCPU(sparse=True)
    report = check(backend, only=only, expected_failures=backend.known_faults)
    assert report.ok
    assert set(PASSED) <= statuses(report, "passed")
    assert set(DECLINED) <= statuses(report, "declined")


def test_narrow_tables_pass_with_the_accumulators_that_they_have() -> None:
    narrow = TorchCPU(profile={dtype: ACCUMULATORS[dtype] for dtype in ("bfloat16", "float16")})
    names = "*.precision,*_bits,embedding.backward,bag.sum,bag.sum_backward,embedding.padding"
    assert check(narrow, only=names).ok


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_gradient_summed_in_sixteen_bits_is_no_sum_in_float32(dtype: str) -> None:
    boast = TorchCPU(profile={dtype: {"forward": "float32", "backward": "float32"}})
    report = check(boast, only="embedding.precision,bag.precision", shrink=False)
    assert statuses(report, "failed") == {"embedding.precision"}
    assert statuses(report, "passed") == {"bag.precision"}


def test_other_claims_are_held_against_torch() -> None:
    strict = TorchCPU(policy={"invalid_offsets": "raise", "max_nan": "propagate", "max_tie": "last"})
    report = check(strict, only="bag.invalid_offsets,bag.max_nan,bag.max_tie", shrink=False)
    assert {result.name: result.status for result in report.results} == dict.fromkeys(
        ("bag.max_tie", "bag.max_nan", "bag.invalid_offsets"), "failed"
    )


def test_sparse_adam_is_adam_with_another_eps() -> None:
    assert check(TorchSparseAdam(), only="adam.*").ok
    plain = TorchSparseAdam(convert_eps=False)
    report = check(plain, only="adam.*", expected_failures=plain.known_faults)
    assert report.ok
    assert statuses(report, "xfailed") == set(plain.known_faults)


def test_a_session_keeps_its_optimizer() -> None:
    state = {"exp_avg": np.zeros((2, 1)), "exp_avg_sq": np.zeros((2, 1)), "step": np.array(0)}
    options = {"lr": 0.5, "betas": (0.5, 0.75), "eps": 1.0, "weight_decay": 0.0}
    rows, values = np.array([0, 1]), np.ones((2, 1))
    first = Case("adam", "float64", weight=np.zeros((2, 1)), rows=rows, values=values, state=state, options=options)
    session = TorchCPU().session(first)
    step = Case("adam", "float64", rows=rows, values=values, options=options)
    counts = [int(session.step(step)["state"]["step"]) for _ in range(3)]
    assert counts == [1, 2, 3]
    assert int(TorchCPU().run(first)["state"]["step"]) == 1


@pytest.mark.parametrize(
    "case",
    [
        Case("hash"),
        Case("embedding", "float16"),
        Case("embedding", scale_grad_by_freq=True),
        Case("bag", mode="max"),
        Case("rowwise_adagrad"),
    ],
)
def test_what_torch_does_not_offer_is_declined(case: Case) -> None:
    backend = TorchCPU(sparse=True)
    with pytest.raises(Unsupported):
        backend.run(case)


def test_the_call_that_makes_an_adapter_is_its_repr() -> None:
    calls = ["TorchCPU()", "TorchCPU(sparse=True)", "TorchCPU(policy={'max_nan': 'propagate'}, num_threads=2)"]
    calls += ["TorchSparseAdam()", "TorchSparseAdam(convert_eps=False)"]
    for call in calls:
        assert repr(eval(call)) == call


def test_more_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    case = Case("embedding", weight=np.eye(2, dtype=np.float32), ids=np.array([1]), grad_out=np.ones((1, 2), dtype=np.float32))
    outputs = TorchCPU(num_threads=before + 1).run(case)
    assert outputs["out"].tolist() == [[0.0, 1.0]]
    assert torch.get_num_threads() == before
