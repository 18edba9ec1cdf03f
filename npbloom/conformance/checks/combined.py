"""Checks of options together: some faults need two of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from npbloom.conformance.cases.draws import LENGTH, Choices, read_from_bytes, structure
from npbloom.conformance.cases.structures import Features, Structure
from npbloom.conformance.cases.values import normed
from npbloom.conformance.checks.embedding import judge_normed
from npbloom.conformance.checks.lookup import WIDTHS, judge_exact, judge_rough
from npbloom.conformance.checks.registry import register
from npbloom.conformance.runner.check_run import CheckRun

KEYS = ("out", "grad_weight", "grad_per_sample_weights")


def options(op: str, frequency: bool) -> Iterator[Features]:
    """
    Yield all options that go together, with frequencies or without.

    Weights are for sums only; some options are for bags only.
    """
    both = (False, True)
    bag = op == "bag"
    for mode, padding, last, weighted, norm in product(
        ("sum", "mean", "max") if bag else ("sum",), both, both if bag else (False,), both if bag else (False,), both
    ):
        if mode == "sum" or not weighted:
            yield Features((mode,), padding, frequency, weighted, last, norm)


def combined(run: CheckRun, op: str, frequency: bool) -> None:
    """
    Run every combination a few times, then drawn ones.

    Frequencies have a check of their own: a backend whose frequencies are wrong, like torch's in
    bags, still runs everything else.
    """
    every = list(options(op, frequency))

    def judge(features: Features, case: Structure, rng: np.random.Generator, dtype: str) -> None:
        if features.max_norm:
            judge_normed(run, normed(case, features, dtype, int(rng.choice([1, 2, 4])), rng))
        elif rng.random() < 0.75:
            judge_exact(run, case, features, dtype, int(rng.choice(WIDTHS)), rng, KEYS)
        else:
            judge_rough(run, case, features, dtype, int(rng.choice(WIDTHS)), rng, KEYS)

    def read(choices: Choices) -> tuple[Features, Structure]:
        features = choices.one_of(every)
        return features, structure(choices, op, features)

    run.stage("options")
    for number, features in enumerate(every):
        rng = run.rng(number)
        for _ in range(3):
            judge(features, structure(Choices(rng.bytes(LENGTH)), op, features), rng, run.dtypes[number % len(run.dtypes)])
    run.draw("drawn", read_from_bytes(read), lambda drawn, rng, dtype: judge(drawn[0], drawn[1], rng, dtype))


for _op, _law in (("embedding", "L9 to L10"), ("bag", "L10 to L18")):
    register(
        f"{_op}.combined",
        _law,
        "Options do together what they do alone: padding, weights, last offsets, norms.",
        ("out", "grad_weight"),
    )(lambda run, op=_op: combined(run, op, frequency=False))
    register(
        f"{_op}.combined_by_freq",
        "L11",
        "Frequencies do with every other option what they do alone.",
        ("out", "grad_weight"),
    )(lambda run, op=_op: combined(run, op, frequency=True))
