"""Helpers of the adapters of torch and of its extensions: arrays to tensors and back, and one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from npbloom.conformance.cases.case import Case

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def tensor(array: Any, dtype: str) -> torch.Tensor:
    """A floating array as a tensor; bfloat16 bit by bit, since converting it changes NaNs."""
    if dtype == "bfloat16":
        return torch.from_numpy((np.ascontiguousarray(array).view(np.uint32) >> 16).astype(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array).to(DTYPES[dtype])


def integers(array: Any) -> torch.Tensor:
    """Indices as a tensor."""
    return torch.from_numpy(np.asarray(array, dtype=np.int64))


def array(values: torch.Tensor) -> Any:
    """A tensor as an array of its own; bfloat16 as float32 of the same bits."""
    values = values.detach()
    if values.dtype == torch.bfloat16:
        return np.array((values.view(torch.uint16).numpy().astype(np.uint32) << 16).view(np.float32))
    return np.array(values.numpy())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with so many threads: checks run in forked children, where the threads of an OpenMP that was used before are gone."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def names_every_row(case: Case, height: int) -> bool:
    """True if a step names every row: only then moving all rows is the same as moving those named."""
    return len(np.unique(case.rows)) == height
