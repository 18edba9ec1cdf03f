"""
Seconds from a fresh interpreter to the end of a first training step, printed in parts, and its huge
pages.
"""

from __future__ import annotations

import json
import time


def main() -> dict[str, float]:
    """Import, build a layer and its optimizer, take a step, and return the seconds of each."""
    times = [time.perf_counter()]
    import numpy as np

    import npbloom as nb

    times.append(time.perf_counter())
    layer = nb.BloomEmbedding(100_000, 64, rng=0)
    optimizer = nb.Adagrad(layer)
    times.append(time.perf_counter())
    ids = np.arange(1, 4097)
    out = layer.forward(ids)
    optimizer.update(layer, ids, np.ones_like(out))
    times.append(time.perf_counter())
    return dict(zip(("import", "build", "step"), np.diff(times).tolist(), strict=True))


if __name__ == "__main__":
    parts = main()

    from benchmarks import huge_pages

    print(json.dumps({"parts": parts, "pages": huge_pages.of_this_process()}))
