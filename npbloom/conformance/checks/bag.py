"""Checks of `bag`: one vector for each bag of ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.backend import Unsupported
from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.floats import ROUNDOFF, stored
from npbloom.conformance.cases.structures import Features
from npbloom.conformance.checks.embedding import cancelling, max_norm_check, out_of_bounds_check, touched_check
from npbloom.conformance.checks.lookup import judge, lookup_check
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.bounds import Expected
from npbloom.conformance.expected.lookup import exactly, roughly
from npbloom.conformance.runner.answers import Failure
from npbloom.conformance.runner.check_run import CheckRun

EVERY = ("sum", "mean", "max")

for _mode, _law, _how in (
    ("sum", "L13", "the sum of its rows"),
    ("mean", "L16", "the sum of its rows divided by their number"),
    ("max", "L17", "the maximum of its rows by dimension"),
):
    lookup_check(f"bag.{_mode}", _law, f"Each bag gives {_how}; an empty bag gives zero.", ("out",), Features(modes=(_mode,)))
    lookup_check(
        f"bag.{_mode}_backward",
        _law,
        f"The gradient of {_how}; an empty bag has none.",
        ("grad_weight",),
        Features(modes=(_mode,)),
    )
lookup_check(
    "bag.padding",
    "L15",
    "Padding is left out of sum, count and maximum, and has no gradient.",
    ("out", "grad_weight"),
    Features(modes=EVERY, padding=True),
)
lookup_check(
    "bag.include_last_offset",
    "L13",
    "With include_last_offset the last offset is the number of ids and no bag.",
    ("out", "grad_weight"),
    Features(modes=EVERY, last_offset=True),
)
lookup_check(
    "bag.weighted_sum",
    "L18",
    "Each row counts as often as its weight says, forward and backward.",
    ("out", "grad_weight"),
    Features(weighted=True),
    Features(weighted=True, padding=True),
)
lookup_check(
    "bag.per_sample_weights",
    "L18",
    "The gradient of a weight is its bag's gradient times its row, and 0 for padding.",
    ("grad_per_sample_weights",),
    Features(weighted=True),
    Features(weighted=True, padding=True),
)
lookup_check(
    "bag.scale_grad_by_freq",
    "L11",
    "A row's gradient is divided by how often its own id occurs in the whole batch, padding not counted.",
    ("grad_weight",),
    Features(modes=("sum", "mean"), frequency=True),
    Features(modes=("sum", "mean"), frequency=True, padding=True),
)
lookup_check(
    "bag.scale_max_by_freq",
    "L11",
    "Frequencies divide a maximum's gradient too.",
    ("grad_weight",),
    Features(modes=("max",), frequency=True),
)
max_norm_check("bag", Features(modes=EVERY), Features(modes=EVERY, padding=True))
touched_check("bag", Features(modes=EVERY, padding=True))
out_of_bounds_check("bag", Features(modes=EVERY))


def bag_case(dtype: str, weight: Any, ids: Any, offsets: Any, grad_out: Any, mode: str, **more: Any) -> Case:
    """Return a bag case without options."""
    options: dict[str, Any] = {"scale_grad_by_freq": False, "norm_type": 2.0, "include_last_offset": False, **more}
    arrays: dict[str, Any] = {"ids": np.array(ids, dtype=np.int64), "offsets": np.array(offsets, dtype=np.int64)}
    return Case("bag", dtype, weight=stored(weight, dtype), grad_out=stored(grad_out, dtype), mode=mode, **arrays, **options)


@register("bag.max_tie", "L17", "Among equal maxima the first in the bag takes the gradient.", ("grad_weight",))
def max_tie(run: CheckRun) -> None:
    """
    Run two rows that tie in one column, in both orders, with a third that loses.

    With the policy "any", only the sum of their gradients is compared.
    """
    run.stage("exact")
    for dtype in run.dtypes:
        for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0, 1], [0, 0, 1]):
            weight = [[5.0, -4.0], [5.0, -4.0], [1.0, -7.0]]
            case = bag_case(dtype, weight, order, [0], [[2.0, 3.0]], "max")
            outputs = run.ask(case)
            if "grad_weight" not in outputs:
                continue
            run.judged += 1
            got = outputs["grad_weight"].astype(np.float64)
            tied = [row for row in order if row != 2]
            row = {"first": tied[0], "last": tied[-1]}.get(run.policy("max_tie"))
            value = np.zeros((3, 2))
            value[0 if row is None else row] = [2.0, 3.0]
            slack = 0.0
            if row is None:  # shares of the gradient may round
                got = np.array([got[0] + got[1], [0.0, 0.0], got[2]])
                slack = 4 * ROUNDOFF[dtype]
            if not (np.abs(got - value) <= slack * np.abs(value)).all():
                raise Failure(
                    case, f"rows {tied} tie in a bag {order}: the gradient went as {got.tolist()}, not {value.tolist()}"
                )


@register(
    "bag.no_columns",
    "L14",
    "Ids in two dimensions without columns are empty bags: zero, without gradient.",
    ("out", "grad_weight"),
)
def no_columns(run: CheckRun) -> None:
    """Run 2-D ids without columns: a check of its own, since some backends refuse them."""
    run.stage("exact")
    for dtype in run.dtypes:
        for mode in EVERY:
            case = bag_case(dtype, np.eye(3), np.zeros((2, 0)), [], np.ones((2, 3)), mode).replace(offsets=None)
            judge(run, case, exactly(case, ("out", "grad_weight")), ("out", "grad_weight"))


@register("bag.max_nan", "L17", "A NaN in a bag makes its maximum NaN, whatever its position.")
def max_nan(run: CheckRun) -> None:
    """Run bags with a NaN first, in the middle, and last."""
    if run.policy("max_nan") != "propagate":
        raise Unsupported("what a NaN does to a maximum depends on its position, says its policy")
    run.stage("exact")
    for dtype in run.dtypes:
        weight = [[1.0], [np.nan], [3.0], [-np.inf]]
        for order in ([1, 0, 2], [0, 1, 2], [0, 2, 1], [1], [3, 1], [1, 1, 0]):
            case = bag_case(dtype, weight, [*order, 0, 2], [0, len(order)], np.ones((2, 1)), "max")
            outputs = run.ask(case)
            run.compare(case, outputs, {"out": Expected(np.array([[np.nan], [3.0]]))}, ("out",))


@register(
    "bag.precision",
    "L5",
    "Thousands of entries add up within the bound of the accumulator that the profile claims.",
    ("out",),
)
def precision(run: CheckRun) -> None:
    """
    Run counts at which narrower accumulators stop, and a large term among small ones.

    In some cases the large term is subtracted again.
    """
    run.stage("precision")
    for dtype in run.dtypes:
        for terms in cancelling(dtype):
            case = bag_case(dtype, terms[[0, 1, -1], None], [0, *([1] * 64), 2], [0], np.zeros((1, 1)), "sum")
            judge(run, case, roughly(case, run.backend.profile[dtype], ("out",)), ("out",))
        for count, big in ((3, 1.0), (300, 1.0), (3000, 1.0), (1000, 2.0**24)):
            if dtype in ("float16", "bfloat16") and big > 1:
                continue
            weight = [[1.0, 1.0], [big, -big]]
            case = bag_case(dtype, weight, [1, *([0] * count)], [0], np.zeros((1, 2)), "sum")
            judge(run, case, roughly(case, run.backend.profile[dtype], ("out",)), ("out",))


@register("bag.invalid_offsets", "L13", "Offsets that are no partition raise, and nothing has been written by then.", ())
def invalid_offsets(run: CheckRun) -> None:
    """Run invalid offsets, only on a backend that claims to raise."""
    if run.policy("invalid_offsets") != "raise":
        raise Unsupported("what invalid offsets do is undefined, says its policy")
    run.stage("exact")
    ids = [0, 1, 2, 1]
    for offsets, why, last in (
        ([1, 2], "offsets that start at 1", False),
        ([0, 3, 2], "offsets that decrease", False),
        ([0, 5], "offsets beyond the ids", False),
        ([0, -1], "a negative offset", False),
        ([], "no offsets for four ids", False),
        ([0, 2, 3], "a last offset that ends early", True),
    ):
        for mode in EVERY:
            bags = max(1, len(offsets) - last)
            case = bag_case(run.dtypes[0], np.eye(3), ids, offsets, np.ones((bags, 3)), mode, include_last_offset=last)
            right = np.array([0, 2, 4] if last else [0, 2], dtype=np.int64)
            run.must_raise(case, why, case.replace(offsets=right, grad_out=stored(np.ones((2, 3)), case.dtype)))


@register("bag.weights_refused", "L18", "Per-sample weights with mean or max raise.", ())
def weights_refused(run: CheckRun) -> None:
    """Run weights that a backend would ignore, or give a meaning of its own."""
    if run.policy("mean_weights") != "refused":
        raise Unsupported("what weights do in a mean is the backend's own choice, says its policy")
    run.stage("exact")
    for mode in ("mean", "max"):
        weights = stored([2.0, 1.0, 0.5], run.dtypes[0])
        case = bag_case(run.dtypes[0], np.eye(3), [0, 1, 2], [0, 2], np.ones((2, 3)), mode, per_sample_weights=weights)
        run.must_raise(case, f"weights in a {mode}", case.replace(mode="sum"))
