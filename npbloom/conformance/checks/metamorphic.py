"""Checks without a reference: relations between outputs of one backend."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.backend import Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.draws import drawn
from npbloom.conformance.cases.structures import Features, Structure, verbatim
from npbloom.conformance.cases.values import divides_exactly, exact
from npbloom.conformance.checks.lookup import answers
from npbloom.conformance.checks.registry import register
from npbloom.conformance.runner.answers import Failure, copies_of
from npbloom.conformance.runner.check_run import CheckRun

LOOKUPS = {"embedding": Features(), "bag": Features(modes=("sum",)), "bloom": Features()}
EVERY_MODE = {**LOOKUPS, "bag": Features(modes=("sum", "mean", "max"))}


def on_exact_cases(run: CheckRun, op: str, features: Features, judge: Any) -> None:
    """Run `judge(case, outputs, rng)` on drawn cases whose arithmetic does not round."""

    def body(structure: Structure, rng: np.random.Generator, dtype: str) -> None:
        case = exact(structure, features, dtype, 3, rng, run.backend.profile[dtype])
        if case is None:
            run.discarded += 1
            return
        shares = case.mode == "max" and run.policy("max_tie") == "any"
        # Thirds and reciprocals round, which makes the order of the terms visible.
        if shares or not divides_exactly(case):
            case = case.replace(mode="sum")
        outputs = run.ask(case)
        if outputs:
            judge(case, outputs, rng)

    run.draw("metamorphic", drawn(op, features), body)


def need(outputs: Outputs, *keys: str) -> list[Any]:
    """Return those outputs as float64; raise Unsupported if one is missing."""
    for key in keys:
        if key not in outputs:
            raise Unsupported(f"needs `{' and `'.join(keys)}` to compare")
    return [outputs[key].astype(np.float64) for key in keys]


def equal(case: Case, left: Any, right: Any, sentence: str) -> None:
    """Raise a Failure with the sentence and the first element that differs."""
    differ = ~((left == right) | (np.isnan(left) & np.isnan(right)))
    if differ.any():
        where = tuple(int(at) for at in np.argwhere(differ)[0])
        raise Failure(case, f"{sentence}: {left[where].item()!r} against {right[where].item()!r} at {list(where)}")


def adjoint(run: CheckRun, op: str, features: Features) -> None:
    """Check that <forward(W), G> and <W, backward(G)> are the same integer."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        out, grad = need(outputs, "out", "grad_weight")
        run.judged += 1
        left, right = float((out * case.grad_out).sum()), float((grad * case.weight).sum())
        if left != right:
            raise Failure(case, f"<forward(W), G> is {left}, <W, backward(G)> is {right}: one is not the other's transpose")

    on_exact_cases(run, op, features, judge)


def linearity(run: CheckRun, op: str, features: Features) -> None:
    """Check that twice the table gives twice the output; likewise for the gradients."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        out, grad = need(outputs, "out", "grad_weight")
        twice = run.ask(case.replace(weight=case.weight * 2, grad_out=case.grad_out * 2))
        run.judged += 1
        equal(case, need(twice, "out")[0], 2 * out, "twice the table does not give twice the output")
        equal(case, need(twice, "grad_weight")[0], 2 * grad, "twice the output gradient does not give twice the gradient")

    on_exact_cases(run, op, features, judge)


def permutation(run: CheckRun, op: str, features: Features) -> None:
    """Check that renaming the rows changes nothing else."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        out, grad = need(outputs, "out", "grad_weight")
        new_name = rng.permutation(len(case.weight))
        weight = np.empty_like(case.weight)
        weight[new_name] = case.weight
        renamed = run.ask(case.replace(weight=weight, ids=new_name[case.ids].astype(np.int64)))
        run.judged += 1
        equal(case, need(renamed, "out")[0], out, "renaming the rows changes the output")
        equal(case, need(renamed, "grad_weight")[0][new_name], grad, "renaming the rows does not rename the gradient")

    on_exact_cases(run, op, features, judge)


def split_batch(run: CheckRun, op: str, features: Features) -> None:
    """Check that the gradients of two halves add up to the gradient of the whole."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        (grad,) = need(outputs, "grad_weight")
        out = outputs.get("out")
        total = np.zeros_like(grad)
        parts = []
        for part in halves(case):
            answer = run.ask(part)
            total += need(answer, "grad_weight")[0]
            parts.append(answer.get("out"))
        run.judged += 1
        equal(case, total, grad, "the gradients of two halves of the batch do not add up to that of the whole")
        if out is not None and all(part is not None for part in parts):
            whole = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts if part is not None])
            equal(case, whole, out.reshape(whole.shape), "two halves of the batch do not give the output of the whole")

    on_exact_cases(run, op, features, judge)


def halves(case: Case) -> list[Case]:
    """Return the case cut in two along its outputs."""
    count = case.grad_out.shape[0]
    cut = count // 2
    if case.op != "bag" or case.offsets is None:
        return [case.replace(ids=case.ids[part], grad_out=case.grad_out[part]) for part in (slice(0, cut), slice(cut, count))]
    bounds = np.append(case.offsets, case.ids.size).astype(np.int64)
    parts = []
    for lo, hi in ((0, cut), (cut, count)):
        start, stop = (int(bounds[lo]), int(bounds[hi])) if count else (0, 0)
        offsets = bounds[lo:hi] - start
        parts.append(case.replace(ids=case.ids[start:stop], offsets=offsets, grad_out=case.grad_out[lo:hi]))
    return parts


def determinism(run: CheckRun, op: str, features: Features) -> None:
    """
    Check that the same case gives the same bits again, and that earlier outputs keep theirs.

    Another case of the same shape runs in between.
    """

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        kept = copies_of(outputs)
        other = case.replace(weight=-2 * case.weight, grad_out=-4 * case.grad_out)
        run.compare(other, run.ask(other), answers(run, other, ("out", "grad_weight")), ("out", "grad_weight"))
        for key, before in kept.items():
            if outputs[key].tobytes() != before.tobytes():
                raise Failure(case, f"`{key}` of an earlier answer changed when the next case was run")
        again = run.ask(case)
        run.judged += 1
        for key, before in kept.items():
            if key not in again or again[key].tobytes() != before.tobytes():
                raise Failure(case, f"`{key}` differs between two runs of the same case")

    on_exact_cases(run, op, features, judge)


def aliasing(run: CheckRun, op: str, features: Features) -> None:
    """Check that no output shares memory with an input or with another output."""

    def body(structure: Structure, rng: np.random.Generator, dtype: str) -> None:
        case = exact(structure, features, dtype, 3, rng, run.backend.profile[dtype])
        if case is None:
            run.discarded += 1
            return
        judge(case)

    def judge(case: Case) -> None:
        own, outputs = run.ask_with_copy(case)
        run.judged += bool(outputs)
        arrays = {key: value for key, value in outputs.items() if isinstance(value, np.ndarray) and key != "dense"}
        inputs = {f"input `{name}`": array for name, array in own.arrays().items()}
        for key, array in arrays.items():
            others = {f"output `{name}`": other for name, other in arrays.items() if name != key}
            for name, other in {**inputs, **others}.items():
                if np.shares_memory(array, other):
                    raise Failure(case, f"`{key}` shares its memory with the {name}")

    for structure in verbatim(op, features):
        for dtype in run.dtypes:
            body(structure, run.rng(), dtype)
    run.draw("metamorphic", drawn(op, features), body)


for _name, _law, _sentence, _keys, _run, _where in (
    ("adjoint", "L25", "<forward(W), G> equals <W, backward(G)>.", ("out", "grad_weight"), adjoint, LOOKUPS),
    (
        "linearity",
        "L25",
        "Twice the table gives twice the output; twice the gradient gives twice the gradient.",
        ("out", "grad_weight"),
        linearity,
        LOOKUPS,
    ),
    (
        "permutation",
        "L7",
        "Renaming the rows of the table changes nothing else.",
        ("out", "grad_weight"),
        permutation,
        {op: EVERY_MODE[op] for op in ("embedding", "bag")},
    ),
    ("split_batch", "L7", "Two halves of a batch add up to the whole.", ("grad_weight",), split_batch, EVERY_MODE),
    (
        "determinism",
        "L6",
        "The same case gives the same bits again, whatever was asked in between, and no answer changes later.",
        ("out", "grad_weight"),
        determinism,
        EVERY_MODE,
    ),
    ("aliasing", "L3", "No output shares memory with an input or another output.", ("out", "grad_weight"), aliasing, EVERY_MODE),
):
    for _op, _features in _where.items():
        register(f"{_op}.{_name}", _law, _sentence, _keys)(
            lambda run, body=_run, op=_op, features=_features: body(run, op, features)
        )


def same_answers(run: CheckRun, case: Case, left: Outputs, right: Outputs, sentence: str) -> None:
    """Check that two answers agree in every output that both have."""
    for key in ("out", "grad_weight"):
        if key in left and key in right:
            run.judged += 1
            equal(case, left[key].astype(np.float64), right[key].astype(np.float64), f"`{key}`: {sentence}")


@register("bag.unit_weights", "L18", "Weights of 1 are no weights.", ("out", "grad_weight"))
def unit_weights(run: CheckRun) -> None:
    """Run a sum with and without weights."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        ones = np.ones(case.ids.shape, dtype=case.weight.dtype)
        weighted = run.ask(case.replace(per_sample_weights=ones))
        same_answers(run, case, outputs, weighted, "weights of 1 change it")

    on_exact_cases(run, "bag", Features(), judge)


@register("bag.loop_of_lookups", "L13", "A bag is the sum of its lookups.", ("out",))
def loop_of_lookups(run: CheckRun) -> None:
    """Compare bags with embeddings of the same backend, added up."""

    def judge(case: Case, outputs: Outputs, rng: np.random.Generator) -> None:
        (out,) = need(outputs, "out")
        zeros = np.zeros((*case.ids.shape, case.weight.shape[1]), dtype=case.weight.dtype)
        lookup = Case(
            "embedding",
            case.dtype,
            weight=case.weight,
            ids=case.ids,
            grad_out=zeros,
            norm_type=2.0,
            scale_grad_by_freq=False,
        )
        (rows,) = need(run.ask(lookup), "out")
        run.judged += 1
        if case.offsets is None:
            total = rows.sum(axis=1)
        else:
            sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
            bounds = np.append(case.offsets, case.ids.size).astype(np.int64)
            total = sums[bounds[1:]] - sums[bounds[:-1]]
        equal(case, out, total, "a bag's sum is not the sum of its lookups")

    on_exact_cases(run, "bag", Features(), judge)
