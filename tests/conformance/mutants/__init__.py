"""
The catalogue of faults: backends that are wrong in one way each, backends that do nothing, and backends that are right.

`MUTANTS` says what the kit can see: the selftest demands that each of them fails, and that every check fails for one of
them. `NULL_BACKENDS` must never be `ok`, `VARIANTS` always.
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
