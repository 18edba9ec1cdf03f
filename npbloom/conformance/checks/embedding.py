"""Checks of `embedding`: one row for each id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from npbloom.conformance.cases.backend import Unsupported
from npbloom.conformance.cases.case import BLOOMS, Case
from npbloom.conformance.cases.draws import drawn
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Features, Structure, exhaustive, small, three
from npbloom.conformance.cases.values import exact, normed
from npbloom.conformance.checks.lookup import answers, judge, lookup_check, with_policy
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.lookup import exactly, roughly
from npbloom.conformance.runner.answers import Failure
from npbloom.conformance.runner.check_run import CheckRun

PLAIN = Features()
PADDED = Features(padding=True)

lookup_check(
    "embedding.forward",
    "L4",
    "Each id gives its row of the table, in the shape of the ids.",
    ("out",),
    PLAIN,
    stages=("exhaustive", "exact", "fingerprint", "thresholds"),
)
lookup_check("embedding.backward", "L7", "A row's gradient is the sum over all its occurrences.", ("grad_weight",), PLAIN)
lookup_check(
    "embedding.padding",
    "L9",
    "The padding row, named from either end, is read as stored and has no gradient.",
    ("out", "grad_weight"),
    PADDED,
)
lookup_check(
    "embedding.scale_grad_by_freq",
    "L11",
    "A row's gradient is divided by how often its own id occurs, padding not counted.",
    ("grad_weight",),
    Features(frequency=True),
    Features(frequency=True, padding=True),
)


@register("embedding.raw_bits", "L5", "A lookup copies every bit: NaN payloads, -0.0, subnormals.")
def raw_bits(run: CheckRun) -> None:
    """Run bit patterns that arithmetic would change."""
    run.stage("raw bits")
    for dtype in run.dtypes:
        weight = strange_bits(dtype)
        ids = np.array([1, 0, 2, 1, 3], dtype=np.int64)
        case = plain_case(dtype, weight, ids, np.zeros((ids.size, weight.shape[1])))
        outputs = run.ask(case)
        if "out" in outputs:
            run.judged += 1
            got, right = outputs["out"], weight[ids]
            if got.dtype != right.dtype:
                got = got.astype(right.dtype)
            bits = f"u{right.dtype.itemsize}"
            wrong = np.ascontiguousarray(got).view(bits) != right.view(bits)
            if wrong.any():
                i, c = (int(at) for at in np.argwhere(wrong)[0])
                have, need = (int(np.ascontiguousarray(a).view(bits)[i, c]) for a in (got, right))
                raise Failure(case, f"`out[{i}, {c}]` has the bits {have:#x}, the table {need:#x} ({right[i, c]!r})")


def strange_bits(dtype: str) -> Any:
    """Return four rows of values whose bits are easily lost."""
    tiny = {"float16": 6e-8, "bfloat16": 1e-40, "float32": 1e-45, "float64": 5e-324}[dtype]
    rows = [[0.0, -0.0, tiny, -tiny], [np.inf, -np.inf, np.nan, 1 / 3], [1.0, 2.0 / 3, 257.0, 1e-3], [3.0, -1 / 7, 0.1, 5e4]]
    weight = stored(rows, dtype)
    if dtype in ("float32", "float64"):
        payload = np.array([0x7FC00123], np.uint32) if dtype == "float32" else np.array([0x7FF8000000000123], np.uint64)
        weight[1, 2] = payload.view(weight.dtype)[0]
    return weight


def plain_case(dtype: str, weight: Any, ids: Any, grad_out: Any, **more: Any) -> Case:
    """Return an embedding case without options."""
    options = {"scale_grad_by_freq": False, "norm_type": 2.0, **more}
    return Case("embedding", dtype, weight=stored(weight, dtype), ids=ids, grad_out=stored(grad_out, dtype), **options)


@register("embedding.shapes", "L1", "Ids of any shape, 0-d, 2-d, 3-d and empty ones included.", ("out", "grad_weight"))
def shapes(run: CheckRun) -> None:
    """Run ids of many shapes on one table."""
    run.stage("exact")
    for shape in ((), (1,), (0,), (0, 3), (2, 0), (2, 3), (2, 1, 3)):
        rng = run.rng(len(shape))
        structure = Structure(
            "embedding",
            4,
            {"ids": rng.integers(0, 4, shape), "scale_grad_by_freq": False, "norm_type": 2.0},
        )
        case = exact(structure, PLAIN, run.dtypes[0], 3, rng, run.backend.profile[run.dtypes[0]])
        assert case is not None
        judge(run, case, answers(run, case, ("out", "grad_weight")), ("out", "grad_weight"))


def max_norm_check(op: str, features: Features, padded: Features) -> None:
    """Register `max_norm` for an operation; the padding row is scaled like any other."""

    @register(
        f"{op}.max_norm",
        "L10",
        "Each distinct row looked up whose norm exceeds the limit is scaled to it once, in the table; no other row moves.",
        ("out", "weight"),
    )
    def body(run: CheckRun) -> None:
        def body(structure: Structure, rng: np.random.Generator, dtype: str) -> None:
            judge_normed(run, normed(structure, features, dtype, int(rng.choice([1, 2, 4])), rng))

        run.stage("exhaustive")
        for structure in exhaustive(op, features):
            body(structure, run.rng(2), run.dtypes[0])
        for structure, norm, width in product(small(op, padded), (1.0, 2.0, 3.0, np.inf), (1, 2, 4, 8)):
            for dtype in run.dtypes:
                typed = Structure(op, structure.rows, {**structure.fields, "norm_type": norm})
                judge_normed(run, normed(typed, padded, dtype, width, run.rng(width)))
        for each in (features, padded):
            run.draw("bounded", drawn(op, replace(each, max_norm=True)), body)


def judge_normed(run: CheckRun, case: Case) -> None:
    """
    Judge output and table within the rounding of a norm, a quotient and a product.

    Rows that were not looked up must keep their bits.
    """
    outputs = run.ask(case)
    expected = with_policy(run, case, roughly(case, run.backend.profile[case.dtype], ("out", "weight")))
    run.compare(case, outputs, expected, ("out", "weight"))
    if "weight" in outputs:
        _untouched(case, outputs["weight"], np.isin(np.arange(len(case.weight)), case.ids))


def _untouched(case: Case, weight: Any, touched: Any) -> None:
    """Raise a Failure if a row that was not looked up has changed."""
    moved = (weight != case.weight).any(axis=1) & ~touched
    if moved.any():
        raise Failure(case, f"row {int(np.flatnonzero(moved)[0])} of the table was not looked up, but has changed")


max_norm_check("embedding", PLAIN, PADDED)


def touched_check(op: str, features: Features) -> None:
    """Register `touched` for an operation; it is declined if no `rows` come back."""

    @register(
        f"{op}.touched",
        "L24",
        "`rows` are exactly the rows that were looked up without padding, distinct and increasing, zero gradients included.",
        ("rows",),
    )
    def body(run: CheckRun) -> None:
        def body(structure: Structure, rng: np.random.Generator, dtype: str) -> None:
            case = exact(structure, features, dtype, 2, rng, run.backend.profile[dtype])
            if case is None:
                run.discarded += 1
                return
            if rng.random() < 0.3:
                case = case.replace(grad_out=np.zeros_like(case.grad_out))
            outputs = run.ask(case)
            if "rows" not in outputs:
                raise Unsupported("gradients come back dense, without `rows`")
            run.compare(case, outputs, exactly(case, ("rows",)), ("rows",))

        run.draw("exact", drawn(op, features), body)


touched_check("embedding", PADDED)


def out_of_bounds_check(op: str, features: Features) -> None:
    """Register `out_of_bounds` for an operation; the policy "undefined" declines it."""

    @register(
        f"{op}.out_of_bounds",
        "L2",
        "An id below 0 or beyond the last raises, and nothing has been written by then.",
        (),
    )
    def body(run: CheckRun) -> None:
        if run.policy("out_of_bounds") != "raise":
            raise Unsupported("what happens out of bounds is undefined, says its policy")
        run.stage("exact")
        for structure, place in product(three(op, features), range(3)):
            case = exact(structure, features, run.dtypes[0], 2, run.rng(3), run.backend.profile[run.dtypes[0]])
            assert case is not None
            if op not in BLOOMS and place:  # rows may be scaled before the bad id is found
                case = case.replace(max_norm=1e-3)
            largest = structure.fields.get("num_embeddings", structure.rows)
            for bad in (-1, largest, largest + 7, 2**31 - 1, -(2**31), 2**32, 2**32 + 1, -(2**32), 2**63 - 1, -(2**63)):
                ids = case.ids.copy()
                ids[place] = bad
                run.must_raise(case.replace(ids=ids), f"id {bad} of {largest}", case)
            if op not in BLOOMS:  # -1 may name the padding row from the end, but is no id
                ids = case.ids.copy()
                ids[place] = -1
                case = case.replace(padding_idx=-1)
                run.must_raise(case.replace(ids=ids), "id -1 where padding_idx is -1", case)


out_of_bounds_check("embedding", PLAIN)


def cancelling(dtype: str) -> Iterator[Any]:
    """
    Yield a large number, 64 ones, and the large number negated.

    Their sum is 64 in an accumulator that can hold the large number plus 1. The result is small, so
    that storing it in a narrow dtype hides nothing. The first number is too large for accumulators
    of 16 bits, the second for float32.
    """
    for big in (2.0**12, 2.0**30):
        terms = stored([big, *([1.0] * 64), -big], dtype)
        if terms[0] == big:
            yield terms


@register(
    "embedding.precision",
    "L5",
    "Thousands of occurrences of one id add up within the bound of the accumulator that the profile claims.",
    ("grad_weight",),
)
def precision(run: CheckRun) -> None:
    """
    Run counts at which narrower accumulators stop, and ones that a large number absorbs.

    bfloat16 stops at 256, float16 at 2,048.
    """
    run.stage("precision")
    for dtype in run.dtypes:
        for terms in cancelling(dtype):
            case = plain_case(dtype, np.zeros((3, 1)), np.ones(terms.size, dtype=np.int64), terms[:, None])
            judge(run, case, roughly(case, run.backend.profile[dtype], ("grad_weight",)), ("grad_weight",))
        for count in (3, 300, 3000):
            ids = np.ones(count, dtype=np.int64)
            case = plain_case(dtype, np.zeros((3, 2)), ids, np.ones((count, 2)))
            judge(run, case, roughly(case, run.backend.profile[dtype], ("grad_weight",)), ("grad_weight",))
