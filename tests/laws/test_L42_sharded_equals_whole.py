"""L42: ranks with parts of a batch leave the bits of one process on the batch in order of rank.

Each run of `mpiexec` draws tables, batches and cuts of all kinds. Outputs, gradients, gradients of
weights, two steps of a drawn optimizer, its state and the gathered table are compared with a plain
layer. Messages are cut at limits of 1 byte and more.
"""

from __future__ import annotations

import pytest

from tests.support._examples import repeats
from tests.support._layers import OPTIMIZERS
from tests.support._ranks import output_of, run_ranks


@pytest.mark.parametrize(("size", "count"), [(1, 15), (2, 25), (3, 25), (5, 12)])
def test_all_kinds_of_tables_and_optimizers(size, count):
    seen = dict(line.split("\t")[::-1] for line in output_of(run_ranks(size, "whole", repeats(count))).splitlines())
    expected = {*OPTIMIZERS, "sum", "mean", "max", "concat", "weights", "gradients of weights", "max_norm"}
    if size > 1:
        expected |= {"empty parts", "more ranks than rows"}
    assert expected <= {name for name, times in seen.items() if int(times)}, seen
