"""The lanes that checks of lookups share: all small structures, drawn ones, identities, thresholds, full-range floats."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case
from npbloom.conformance.cases.draws import drawn
from npbloom.conformance.cases.structures import Features, Structure, exhaustive, high_rows, small, thresholds
from npbloom.conformance.cases.values import bounded, divides_exactly, exact, fingerprint, stored
from npbloom.conformance.checks.registry import register
from npbloom.conformance.expected.lookup import Want, exactly, roughly
from npbloom.conformance.runner.check_run import Exam, Failure

Keys = tuple[str, ...]
WIDTHS = (1, 2, 3, 4, 5, 8, 9, 16, 17)


def lookup_check(
    name: str,
    law: str,
    sentence: str,
    keys: Keys,
    *features: Features,
    lanes: Keys = ("exhaustive", "exact", "fingerprint", "thresholds", "bounded"),
) -> None:
    """Register a check that judges some outputs of a lookup on every structure that has the features."""

    def run(exam: Exam) -> None:
        for each in features:
            run_lanes(exam, name.partition(".")[0], keys, each, lanes)

    register(name, law, sentence, keys)(run)


def run_lanes(exam: Exam, op: str, keys: Keys, features: Features, lanes: Keys) -> None:
    """Go through the lanes, cheapest first: most faults die in the first."""
    first = exam.dtypes[0]
    if "exhaustive" in lanes and exam.budget.exhaustive:
        exam.lane("exhaustive")
        for case, wants in _smallest(op, features, first, exam.seed, *_claims(exam, first), keys):
            judge(exam, case, with_policy(exam, case, wants), keys)
    if "exact" in lanes:
        exam.draw(
            "exact",
            drawn(op, features),
            lambda structure, rng, dtype: judge_exact(exam, structure, features, dtype, int(rng.choice(WIDTHS)), rng, keys),
        )
    if "fingerprint" in lanes and features.modes != ("max",) and not features.weighted:
        exam.draw("fingerprint", drawn(op, features), lambda structure, rng, dtype: judge_identity(exam, structure, dtype, keys))
    if "thresholds" in lanes:
        exam.lane("thresholds")
        for dtype in exam.dtypes:
            for case, wants in _largest(op, features, dtype, exam.seed, exam.budget.sizes, *_claims(exam, dtype), keys):
                judge(exam, case, with_policy(exam, case, wants), keys)
        for width in (*range(1, 10), 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 257):
            for structure in small(op, features):
                judge_exact(exam, structure, features, first, width, exam.rng(width), keys)
    if "bounded" in lanes:
        exam.draw(
            "bounded",
            drawn(op, features),
            lambda structure, rng, dtype: judge_rough(exam, structure, features, dtype, int(rng.choice(WIDTHS)), rng, keys),
        )


Judged = list[tuple[Case, dict[str, Want]]]


def _claims(exam: Exam, dtype: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """What the right answers depend on, besides the case."""
    return tuple(exam.backend.profile[dtype].items()), exam.policy("max_tie")


@lru_cache(maxsize=4)  # backend after backend is asked the same when mutants run
def _smallest(
    op: str, features: Features, dtype: str, start: int, claims: tuple[tuple[str, str], ...], tie: str, keys: Keys
) -> Judged:
    """All small structures with exact values, and what they give."""
    rng = np.random.default_rng([start, 0])
    cases = [exact(structure, features, dtype, 2, rng, dict(claims)) for structure in exhaustive(op, features)]
    return [(case, expected(case, dict(claims), tie, keys)) for case in cases if case is not None]


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
    """Structures of the given sizes with full-range floats, and what they give."""
    found: Judged = []
    for structures, width in ((thresholds(op, features, sizes), 3), (high_rows(op, features), 1)):
        for structure in structures:
            case = bounded(structure, features, dtype, width, np.random.default_rng([start, 1]))
            found.append((case, roughly(case, dict(claims), keys)))
    return found


def judge_exact(
    exam: Exam, structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator, keys: Keys
) -> None:
    """Small integers: every element must be right to the last bit."""
    case = exact(structure, features, dtype, width, rng, exam.backend.profile[dtype])
    if case is None:
        exam.discarded += 1
        return
    judge(exam, case, answers(exam, case, keys), keys)


def judge_rough(
    exam: Exam, structure: Structure, features: Features, dtype: str, width: int, rng: np.random.Generator, keys: Keys
) -> None:
    """Full-range floats: every element must be within the bound of the accumulator that the backend claims."""
    case = bounded(structure, features, dtype, width, rng)
    judge(exam, case, with_policy(exam, case, roughly(case, exam.backend.profile[dtype], keys)), keys)


def judge_identity(exam: Exam, structure: Structure, dtype: str, keys: Keys) -> None:
    """An identity as table and as gradient shows the whole operator at once."""
    forward, backward = fingerprint(structure, dtype)
    if "out" in keys:
        judge(exam, forward, answers(exam, forward, ("out",)), ("out",))
    gradients = tuple(key for key in keys if key != "out")
    if gradients:
        if backward.mode == "max" and exam.policy("max_tie") != "first":  # among zeros, rows would tie
            ranks = np.arange(structure.rows)[:, None] + np.zeros(backward.weight.shape)
            backward = backward.replace(weight=stored(ranks, dtype))
        judge(exam, backward, answers(exam, backward, gradients), gradients)


def answers(exam: Exam, case: Case, keys: Keys) -> dict[str, Want]:
    """What must come back from this backend, exactly where nothing rounds."""
    return with_policy(exam, case, expected(case, exam.backend.profile[case.dtype], exam.policy("max_tie"), keys))


def expected(case: Case, claims: dict[str, str], tie: str, keys: Keys) -> dict[str, Want]:
    """
    The right answers, without tolerance where nothing rounds.

    Multiplying by a reciprocal is as good as a division, and so is sharing a maximum's gradient among those that tie where
    any may have it: where that rounds, the bound of a sum holds.
    """
    shared = case.mode == "max" and tie == "any"
    if shared or not divides_exactly(case):
        near = roughly(case, claims, keys)
        return near if not shared else {**near, "out": exactly(case, keys)["out"]} if "out" in keys else near
    return exactly(case, keys)


def with_policy(exam: Exam, case: Case, wants: dict[str, Want]) -> dict[str, Want]:
    """A backend may say that it masks the padding row in forward."""
    if case.op != "embedding" or case.padding_idx is None or "out" not in wants:
        return wants
    if exam.policy("padding_forward") == "row":
        return wants
    padded = np.asarray(case.ids) == case.padding_idx % len(case.weight)
    value = np.where(padded[..., None], 0.0, wants["out"].value)
    return {**wants, "out": Want(value, wants["out"].tolerance, wants["out"].blind)}


def judge(exam: Exam, case: Case, wants: dict[str, Want], keys: Keys) -> None:
    """Ask and compare; a failure is decoded in words where an identity shows what was read."""
    outputs = exam.ask(case)
    try:
        exam.compare(case, outputs, wants, keys)
    except Failure as failure:
        words = decode(exam, case, keys)
        raise Failure(case, f"{failure.message}{'; ' + words if words else ''}") from None


def decode(exam: Exam, case: Case, keys: Keys) -> str:
    """Ask the same structure with identities: which rows a wrong output reads, which outputs a wrong row gets."""
    if case.op not in ("embedding", "bag", "bloom", "bloom_mean") or case.mode == "max" or case.max_norm is not None:
        return ""
    rows, outputs = len(case.weight), int(np.prod(case.grad_out.shape[:-1], dtype=int))
    try:
        if "out" in keys:
            eye = case.replace(
                weight=stored(np.eye(rows), case.dtype), grad_out=stored(np.zeros((*case.grad_out.shape[:-1], rows)), case.dtype)
            )
            got = exam.ask(eye, counted=False).get("out")
            words = _differ(case, got, answers(exam, eye, ("out",))["out"].value, "read rows")
            if words:
                return words
        if "grad_weight" in keys and outputs:
            eye = case.replace(
                weight=stored(np.zeros((rows, outputs)), case.dtype),
                grad_out=stored(np.eye(outputs), case.dtype).reshape(*case.grad_out.shape[:-1], outputs),
            )
            got = exam.ask(eye, counted=False).get("grad_weight")
            return _differ(None, got, answers(exam, eye, ("grad_weight",))["grad_weight"].value, "got the gradients of outputs")
    except Exception:  # the words are a help: what is wrong stands already
        return ""
    return ""


def _differ(case: Case | None, got: Any, value: Any, verb: str) -> str:
    """``bag 2 read rows {3:2, 7:1}, expected {3:1, 7:1, 9:1}`` for the first line of two incidence matrices that differ."""
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
    """The entries of a line that are not zero: ``{3:2, 7:1}``."""
    return "{" + ", ".join(f"{at}:{float(line[at]):.4g}" for at in np.flatnonzero(line)) + "}"
