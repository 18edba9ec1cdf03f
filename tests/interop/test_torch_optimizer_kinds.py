"""State dicts do not name their class; those of other optimizers of torch are refused."""

from __future__ import annotations

import pytest

import npbloom as nb
from npbloom.interop import optimizer_from_torch
from tests.backends._torch import torch

optim = torch.optim
EVERY = sorted(
    name
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer
)
SAME = {("SGD", "SGD"), ("Adagrad", "Adagrad"), ("Adam", "Adam"), ("SparseAdam", "Adam")}


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("ours", ["SGD", "Adagrad", "Adam"])
@pytest.mark.parametrize("theirs", EVERY)
def test_the_state_of_no_other_optimizer_of_torch_is_taken(theirs: str, ours: str, stepped: bool) -> None:
    module = torch.nn.Embedding(5, 2, sparse=theirs == "SparseAdam")
    optimizer = getattr(optim, theirs)(module.parameters())
    if stepped:
        if theirs == "LBFGS":
            pytest.skip("LBFGS steps on a closure")
        module(torch.tensor([1])).sum().backward()
        optimizer.step()
    layer = nb.ZeroEmbedding(5, 2)
    if (theirs, ours) in SAME:
        assert optimizer_from_torch(optimizer.state_dict(), getattr(nb, ours), {0: layer}).layers == (layer,)
    else:
        with pytest.raises(ValueError, match=r"^`(param_groups|state)` .*\.$"):
            optimizer_from_torch(optimizer.state_dict(), getattr(nb, ours), {0: layer})
