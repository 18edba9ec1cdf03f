"""
Memory of a training step beyond that before it, printed. Arguments: CONTENDER OPTIMIZER IDS BATCH
THREADS.

The kernel's record of the peak (`VmHWM`) is reset before the step, so that creating the table does
not count. A step on a few rows runs before, which creates state, threads and compiled code. The
batch's ids, rows and gradients exist before, too.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks import huge_pages
from benchmarks.contenders.table import Batch, Table
from benchmarks.measuring import threads
from benchmarks.resident import resident, settle
from benchmarks.topics import steps


def contender(name: str, optimizer: str, num_embeddings: int, count: int) -> Table:
    """Return a contender with two batches: a small one first, then the real one."""
    sized = {"ids": num_embeddings, "ids a batch": count, "k": 4, "d": 64, "ratio": 0.2}
    layer, batch = steps.problem("uniform", sized)
    assert batch.rows is not None
    few = Batch(batch.ids[:16].copy(), batch.grad_out[:16].copy(), batch.rows[:16].copy())
    height, batches = len(layer.weight), [few, batch]
    if name == "npbloom":
        from benchmarks.contenders.ours import Ours

        return Ours(layer, optimizer, batches)
    del layer
    if name == "fbgemm":
        from benchmarks.contenders.fbgemm_tables import FbgemmTable

        return FbgemmTable(height, optimizer, batches)
    from benchmarks.contenders.torch_tables import TorchDenseTable, TorchTable

    return (TorchDenseTable if name == "torch_dense" else TorchTable)(height, optimizer, batches)


def main(name: str, optimizer: str, num_embeddings: int, count: int, number: int) -> dict[str, Any]:
    """
    Return the peak of the second step beyond the memory resident before it, the table's own bytes,
    and the huge pages before the step.
    """
    with threads(number):
        table = contender(name, optimizer, num_embeddings, count)
        for accumulator in table.accumulators():
            accumulator.fill(1)  # touches every page of the state before the measured step
        table.step()
        before, pages = settle(), huge_pages.of_this_process()
        table.step()
        return {"peak": resident("VmHWM") - before, "table": int(np.asarray(table.weight).nbytes), "pages": pages}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3], *(int(word) for word in sys.argv[3:]))))
