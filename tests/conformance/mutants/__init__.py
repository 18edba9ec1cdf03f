"""
The catalogue of backends that test the kit: faulty, null and right ones.

The kit must reject every backend of `MUTANTS`, and every check must reject one of them. A backend
of `NULL_BACKENDS` must never be `ok`. A backend of `VARIANTS` must always be.
"""

from tests.conformance.mutants import (
    bags,
    bloom,
    bounds,
    duplicates,
    hashing,
    memory,
    norms,
    optimizers,
    outputs,
    padding,
    precision,
    steps,
)
from tests.conformance.mutants.mutant import Mutant, members
from tests.conformance.mutants.null import NULL_BACKENDS
from tests.conformance.mutants.right import Right
from tests.conformance.mutants.variants import VARIANTS

FAMILIES = (hashing, bounds, padding, duplicates, bags, norms, precision, bloom, memory, outputs, steps, optimizers)
MUTANTS: tuple[Mutant, ...] = tuple(mutant for family in FAMILIES for mutant in members(family))

__all__ = ["MUTANTS", "Mutant", "NULL_BACKENDS", "Right", "VARIANTS"]
