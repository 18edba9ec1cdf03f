"""
Training of a table that is larger than the memory.

Table and optimizer state are files, and a step touches the rows of its batch only.

    python examples/larger_than_memory.py FOLDER --gigabytes 12 --steps 20

A second run on the same folder continues where the first stopped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import npbloom as nb

DIM = 64


def mapped(path: Path, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """
    Return the mapped array of a .npy file; writes to it go to the file.

    A new file is zeros and takes no space yet.
    """
    if path.exists():
        return np.load(path, mmap_mode="r+")
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def open_items(folder: Path, rows: int) -> nb.ScaledEmbedding:
    """Return the layer on its file. A missing file is created and filled."""
    path, unfinished = folder / "weight.npy", folder / "weight.unfinished"
    if path.exists():
        return nb.ScaledEmbedding(rows, DIM, weight=mapped(path, (rows, DIM)))
    unfinished.unlink(missing_ok=True)
    items = nb.ScaledEmbedding(rows, DIM, weight=mapped(unfinished, (rows, DIM)))
    items.reset_parameters(rng=0)  # the values of nb.ScaledEmbedding(rows, DIM, rng=0), written block by block
    unfinished.rename(path)
    return items


def main() -> None:
    """Open or create the files, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files are, or shall be")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the table (default: 1)")
    parser.add_argument("--steps", type=int, default=10, help="how many (default: 10)")
    parser.add_argument("--batch", type=int, default=8192, help="ids a step (default: 8192)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    started = time.perf_counter()
    items = open_items(options.folder, int(options.gigabytes * 1e9) // (DIM * 4))
    state = {
        "sum": mapped(options.folder / "sum.npy", items.weight.shape),
        "step": mapped(options.folder / "step.npy", (), np.int64),
    }
    optimizer = nb.Adagrad(items, lr=0.05, state={items: state})
    print(f"{items!r}\nopened in {time.perf_counter() - started:.1f} s, {int(state['step'])} steps taken before", flush=True)

    for _ in range(options.steps):
        rng = np.random.default_rng([7, int(state["step"])])  # the same batches after any interruption
        ids = rng.integers(0, items.num_embeddings, options.batch)
        started = time.perf_counter()
        out = items(ids)
        optimizer.update(items, ids, out - 1)
        elapsed = time.perf_counter() - started
        print(f"step {int(state['step'])}: {1e3 * elapsed:.1f} ms, loss {np.square(out - 1).mean():.4f}", flush=True)
    for array in (items.weight, *state.values()):
        array.flush()  # to the disk, in case the power fails


if __name__ == "__main__":
    main()
