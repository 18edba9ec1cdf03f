"""Helpers of the adapters of torch and of its extensions: tensors, arrays, and threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from npbloom.conformance.cases.case import Case

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def tensor(array: Any, dtype: str) -> torch.Tensor:
    """Return a floating array as a tensor; bfloat16 bit by bit, as conversion changes NaNs."""
    if dtype == "bfloat16":
        return torch.from_numpy((np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array).to(DTYPES[dtype])


def integers(array: Any) -> torch.Tensor:
    """Return indices as a tensor."""
    return torch.from_numpy(np.asarray(array, dtype=np.int64))


def array(values: torch.Tensor) -> Any:
    """Return a tensor as a new array; bfloat16 becomes float32 of the same bits."""
    values = values.detach()
    if values.dtype == torch.bfloat16:
        return np.array((values.view(torch.uint16).numpy().astype(np.uint32) << 16).view(np.float32))
    return np.array(values.numpy())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """
    Run with `count` threads of torch.

    Checks run in forked children, which lack the threads of an OpenMP that was used before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def names_every_row(case: Case, height: int) -> bool:
    """Return True if a step names every row, which makes dense and sparse updates the same."""
    return len(np.unique(case.rows)) == height
