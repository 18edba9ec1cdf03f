"""
torch as a second implementation, in float64.

It has its functional calls, and compositions of them for layers that torch lacks.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

from npbloom.types import SPOTLIGHT_SEEDS
from tests.support.strategies import Bags

torch = pytest.importorskip("torch")  # a test file that imports this one is skipped, by name, where torch is missing
functional = torch.nn.functional
torch.set_num_threads(1)


def tensor(array: Any) -> Any:
    """Return a copy, so that neither side sees writes of the other."""
    return torch.from_numpy(np.array(array))


def leaf(array: Any) -> Any:
    """Return a copy that requires a gradient."""
    return tensor(array).requires_grad_()


def assert_close(actual: Any, expected: Any, scale: float, why: str = "") -> None:
    """
    Check equality up to the rounding of a few hundred float64 operations.

    The absolute values of their numbers add up to `scale`.
    """
    __tracebackhide__ = True
    expected = expected.detach().numpy() if torch.is_tensor(expected) else np.asarray(expected)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-14 * scale, err_msg=why)


def total(*arrays: Any) -> float:
    """Return the sum of all absolute values, which bounds the sum of any of them."""
    return float(sum(np.abs(array).sum() for array in arrays if array is not None))


def limits(norms: np.ndarray) -> list[float]:
    """
    Return values of `max_norm` between the norms of a table's rows.

    At a norm itself its last bit would decide.
    """
    steps = np.unique(np.concatenate([[0.0], norms, [2 * norms.max() + 1]]))
    return [float(low + high) / 2 for low, high in itertools.pairwise(steps) if high - low > 1e-9 * high]


def bag_call(case: Bags) -> dict[str, Any]:
    """
    Return indices and bags of a case in a form that torch takes.

    Empty offsets and rows of length 0 become other offsets.
    """
    offsets, shape = case.partition.offsets, case.indices.shape
    if offsets is None and 0 not in shape:
        return {"input": tensor(case.indices), "include_last_offset": case.partition.include_last_offset}
    starts = np.cumsum([0, *(len(entries) for entries in case.partition.entries)])
    if offsets is None or offsets.size == 0:
        return {"input": tensor(case.indices.reshape(-1)), "offsets": tensor(starts), "include_last_offset": True}
    include_last = case.partition.include_last_offset
    return {"input": tensor(case.indices), "offsets": tensor(offsets), "include_last_offset": include_last}


def bags_one_by_one(vectors: Any, case: Bags, weights: Any = None) -> Any:
    """
    Reduce the vectors of all entries (n, d) bag by bag, without padding.

    `embedding_bag` should compute the same.
    """
    outs = []
    for counted in case.counted:
        chosen = vectors[counted]
        if weights is not None:
            chosen = chosen * weights.reshape(-1)[counted].unsqueeze(1)
        if not counted:
            outs.append(torch.zeros(vectors.shape[1], dtype=vectors.dtype))
        elif case.mode == "max":
            outs.append(chosen.max(dim=0).values)
        else:
            outs.append(chosen.sum(dim=0) / (len(counted) if case.mode == "mean" else 1))
    return torch.stack(outs) if outs else torch.zeros((0, vectors.shape[1]), dtype=vectors.dtype)


def combine_rows(rows: Any, weight: Any, combine: str, padded: bool) -> Any:
    """
    Return vectors of hashed ids from their table rows (..., k), as Spotlight computes them.

    Row 0 has zeros and is not trained.
    """
    probes = functional.embedding(tensor(rows), weight, padding_idx=0 if padded else None)
    if combine == "concat":
        slices = probes.unflatten(-1, (probes.shape[-2], -1))  # (..., probe, slice, column)
        return torch.diagonal(slices, dim1=-3, dim2=-2).transpose(-1, -2).flatten(-2)
    return probes.sum(dim=-2) / (probes.shape[-2] if combine == "mean" else 1)


def spotlight_rows(num_embeddings: int, num_rows: int, num_hash_functions: int) -> np.ndarray:
    """
    Return Spotlight's hash table for its default padding id 0.

    It is scikit-learn's hash modulo the rows, with the padding id at 0.
    """
    indices = np.arange(num_embeddings, dtype=np.int32)
    hashes = [murmurhash3_32(indices, seed=seed) for seed in SPOTLIGHT_SEEDS[:num_hash_functions]]
    for hashed in hashes:
        hashed[0] = 0
    return np.stack([hashed % num_rows for hashed in hashes], axis=1).astype(np.int64)
