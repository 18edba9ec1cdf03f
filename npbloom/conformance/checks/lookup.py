"""
The stages that checks of lookups share.

These are all small structures, drawn ones, identities, thresholds, and full-range floats.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.draws import drawn
from npbloom.conformance.cases.floats import stored
from npbloom.conformance.cases.structures import Features, Structure, exhaustive, high_rows, small, thresholds
from npbloom.conformance.cases.values import bounded, divides_exactly, exact, fingerprint
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.bounds import Expected
from npbloom.conformance.expected.lookup import exactly, roughly
from npbloom.conformance.runner.answers import Failure
from npbloom.conformance.runner.check_run import CheckRun

Keys = tuple[str, ...]
WIDTHS = (1, 2, 3, 4, 5, 8, 9, 16, 17)


def lookup_check(
    name: str,
    law: str,
    sentence: str,
    keys: Keys,
    *features: Features,
    stages: Keys = ("exhaustive", "exact", "fingerprint", "thresholds", "bounded"),
) -> None:
    """Register a check that judges some outputs of a lookup on all structures with the features."""

    def body(run: CheckRun) -> None:
        for each in features:
            run_stages(run, name.partition(".")[0], keys, each, stages)

    register(name, law, sentence, keys)(body)


def run_stages(run: CheckRun, op: str, keys: Keys, features: Features, stages: Keys) -> None:
    """Run the stages, cheapest first: most faults fail in the first."""
    first = run.dtypes[0]
    if "exhaustive" in stages and run.budget.exhaustive:
        run.stage("exhaustive")
        for case, expected in _smallest(op, features, first, run.seed, *_claims(run, first), keys):
            judge(run, case, with_policy(run, case, expected), keys)
    if "exact" in stages:
        run.draw(
            "exact",
            drawn(op, features),
            lambda structure, rng, dtype: judge_exact(run, structure, features, dtype, int(rng.choice(WIDTHS)), rng, keys),
        )
    if "fingerprint" in stages and features.modes != ("max",) and not features.weighted:
        run.draw("fingerprint", drawn(op, features), lambda structure, rng, dtype: judge_identity(run, structure, dtype, keys))
    if "thresholds" in stages:
        run.stage("thresholds")
        for dtype in run.dtypes:
            for case, expected in _largest(op, features, dtype, run.seed, run.budget.sizes, *_claims(run, dtype), keys):
                judge(run, case, with_policy(run, case, expected), keys)
        for width in (*range(1, 10), 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 257):
            for structure in small(op, features):
                judge_exact(run, structure, features, first, width, run.rng(width), keys)
    if "bounded" in stages:
        run.draw(
            "bounded",
            drawn(op, features),
            lambda structure, rng, dtype: judge_rough(run, structure, features, dtype, int(rng.choice(WIDTHS)), rng, keys),
        )


Judged = list[tuple[Case, dict[str, Expected]]]


def _claims(run: CheckRun, dtype: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the claims of the backend on which expected outputs depend."""
    return tuple(run.backend.profile[dtype].items()), run.policy("max_tie")


@lru_cache(maxsize=4)  # shared by backends, like mutants, that run one after the other
def _smallest(
    op: str, features: Features, dtype: str, start: int, claims: tuple[tuple[str, str], ...], tie: str, keys: Keys
) -> Judged:
    """Return all small structures with exact values, and their expected outputs."""
    rng = np.random.default_rng([start, 0])
    cases = [exact(structure, features, dtype, 2, rng, dict(claims)) for structure in exhaustive(op, features)]
    return [(case, expected_of(case, dict(claims), tie, keys)) for case in cases if case is not None]


@lru_cache(maxsize=8)
def _largest(
    op: str,
    features: Features,
    dtype: str,
    start: int,
    sizes: tuple[int, ...],
    claims: tuple[tuple[str, str], ...],
    tie: str,
    keys: Keys,
) -> Judged:
    """Return structures of the given sizes with full-range floats, and their expected outputs."""
    found: Judged = []
    for structures, width in ((thresholds(op, features, sizes), 3), (high_rows(op, features), 1)):
        for structure in structures:
            case = bounded(structure, features, dtype, width, np.random.default_rng([start, 1]))
            found.append((case, roughly(case, dict(claims), keys)))
    return found


def judge_exact(
    run: CheckRun, structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator, keys: Keys
) -> None:
    """Judge small integers: every element must be right to the last bit."""
    case = exact(structure, features, dtype, width, rng, run.backend.profile[dtype])
    if case is None:
        run.discarded += 1
        return
    judge(run, case, answers(run, case, keys), keys)


def judge_rough(
    run: CheckRun, structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator, keys: Keys
) -> None:
    """Judge full-range floats: every element must be within the claimed accumulator's bound."""
    case = bounded(structure, features, dtype, width, rng)
    judge(run, case, with_policy(run, case, roughly(case, run.backend.profile[dtype], keys)), keys)


def judge_identity(run: CheckRun, structure: Structure, dtype: str, keys: Keys) -> None:
    """Judge an identity as table and as gradient, which shows the whole operator at once."""
    forward, backward = fingerprint(structure, dtype)
    if "out" in keys:
        judge(run, forward, answers(run, forward, ("out",)), ("out",))
    gradients = tuple(key for key in keys if key != "out")
    if gradients:
        # Rows would tie among zeros.
        if backward.mode == "max" and run.policy("max_tie") != "first":
            ranks = np.arange(structure.rows)[:, None] + np.zeros(backward.weight.shape)
            backward = backward.replace(weight=stored(ranks, dtype))
        judge(run, backward, answers(run, backward, gradients), gradients)


def answers(run: CheckRun, case: Case, keys: Keys) -> dict[str, Expected]:
    """Return the expected outputs for this backend, without tolerance if nothing rounds."""
    return with_policy(run, case, expected_of(case, run.backend.profile[case.dtype], run.policy("max_tie"), keys))


def expected_of(case: Case, claims: dict[str, str], tie: str, keys: Keys) -> dict[str, Expected]:
    """
    Return the expected outputs, without tolerance if nothing rounds.

    A backend may multiply by a reciprocal instead of dividing. If any row may win a tie, it may
    share a maximum's gradient among the rows that tie. If one of these rounds, the bound of a sum
    holds.
    """
    shared = case.mode == "max" and tie == "any"
    if shared or not divides_exactly(case):
        near = roughly(case, claims, keys)
        return near if not shared else {**near, "out": exactly(case, keys)["out"]} if "out" in keys else near
    return exactly(case, keys)


def with_policy(run: CheckRun, case: Case, expected: dict[str, Expected]) -> dict[str, Expected]:
    """Return expected outputs for a backend that may mask the padding row in forward."""
    if case.op != "embedding" or case.padding_idx is None or "out" not in expected:
        return expected
    if run.policy("padding_forward") == "row":
        return expected
    padded = np.asarray(case.ids) == case.padding_idx % len(case.weight)
    value = np.where(padded[..., None], 0.0, expected["out"].value)
    return {**expected, "out": Expected(value, expected["out"].tolerance, expected["out"].blind)}


def judge(run: CheckRun, case: Case, expected: dict[str, Expected], keys: Keys) -> None:
    """Run and compare a case; identities let a failure name the rows that were read."""
    outputs = run.ask(case)
    try:
        run.compare(case, outputs, expected, keys)
    except Failure as failure:
        words = decode(run, case, keys)
        raise Failure(case, f"{failure.message}{'; ' + words if words else ''}") from None


def decode(run: CheckRun, case: Case, keys: Keys) -> str:
    """
    Return a sentence from the same structure with identities.

    It names the rows that a wrong output reads, or the outputs that a wrong row gets.
    """
    if case.op not in ("embedding", "bag", "bloom", "bloom_mean") or case.mode == "max" or case.max_norm is not None:
        return ""
    rows, outputs = len(case.weight), int(np.prod(case.grad_out.shape[:-1], dtype=int))
    try:
        if "out" in keys:
            eye = case.replace(
                weight=stored(np.eye(rows), case.dtype), grad_out=stored(np.zeros((*case.grad_out.shape[:-1], rows)), case.dtype)
            )
            got = run.ask(eye, counted=False).get("out")
            words = _differ(case, got, answers(run, eye, ("out",))["out"].value, "read rows")
            if words:
                return words
        if "grad_weight" in keys and outputs:
            eye = case.replace(
                weight=stored(np.zeros((rows, outputs)), case.dtype),
                grad_out=stored(np.eye(outputs), case.dtype).reshape(*case.grad_out.shape[:-1], outputs),
            )
            got = run.ask(eye, counted=False).get("grad_weight")
            return _differ(None, got, answers(run, eye, ("grad_weight",))["grad_weight"].value, "got the gradients of outputs")
    except Exception:  # this sentence is a help only; the failure itself is known
        return ""
    return ""


def _differ(case: Case | None, got: Any, value: Any, verb: str) -> str:
    """
    Return a sentence about the first line in which two incidence matrices differ.

    For example ``bag 2 read rows {3:2, 7:1}, expected {3:1, 7:1, 9:1}``.
    """
    if got is None:
        return ""
    got, value = got.reshape(-1, got.shape[-1]), value.reshape(-1, value.shape[-1])
    lines = np.flatnonzero((np.abs(got - value) > 1e-3).any(axis=1))
    if not lines.size:
        return ""
    at = int(lines[0])
    if case is None or case.op == "bag":
        who = f"{'row' if case is None else 'bag'} {at}"
    else:
        who = f"id {case.ids.flat[at]} at position {at}"
    return f"{who} {verb} {_sparse(got[at])}, expected {_sparse(value[at])}"


def _sparse(line: Any) -> str:
    """Return the entries of a line that are not zero: ``{3:2, 7:1}``."""
    return "{" + ", ".join(f"{at}:{float(line[at]):.4g}" for at in np.flatnonzero(line)) + "}"
