"""Checkpoints as torch reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import npbloom as nb
from tests.backends._torch import functional, torch


def test_torch_reads_tables_and_state_under_the_documented_names(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    items = nb.ScaledEmbedding(7, 4, rng=0)
    optimizer = nb.Adam(items)
    optimizer.update(items, [1, 2], np.ones((2, 4), dtype=np.float32))
    nb.checkpoint.save(tmp_path / "model.safetensors", {"items": items}, optimizer)
    tensors = load_file(tmp_path / "model.safetensors")
    state = {f"optimizer.items.{name}": array for name, array in optimizer.state(items).items()}
    assert tensors.keys() == {"items.weight", *state}
    for name, array in {"items.weight": items.weight, **state}.items():
        assert tensors[name].dtype == torch.from_numpy(array).dtype
        np.testing.assert_array_equal(tensors[name].numpy(), array)
    out = functional.embedding(torch.tensor([1, 6]), tensors["items.weight"])
    np.testing.assert_array_equal(out.numpy(), items([1, 6]))
