"""State dictionaries of torch that do not fit are refused, and the sentence says which part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import npbloom as nb
from npbloom.interop import optimizer_from_torch
from tests.interop._torch_states import group, state

REFUSED: dict[str, tuple[Any, Any, Any, type[Exception], str]] = {
    "no dict": ([], nb.Adam, {}, TypeError, "`state_dict` must be a dict, not list."),
    "no groups": ({}, nb.Adam, {}, ValueError, "`state_dict` must have the key 'param_groups', not only nothing."),
    "RowWiseAdagrad": (
        {"param_groups": [group()]},
        nb.RowWiseAdagrad,
        {},
        TypeError,
        f"`optimizer` must be SGD, Adagrad or Adam, which torch has, too, not {nb.RowWiseAdagrad!r}.",
    ),
    "another kind": (
        {"param_groups": [group()]},
        nb.SGD,
        {},
        ValueError,
        "`param_groups` must have the key 'momentum', not only 'lr', 'betas', 'eps', 'weight_decay' and 2 more.",
    ),
    "Adamax": (
        {"param_groups": [group(rho=1)]},
        nb.Adam,
        {},
        ValueError,
        "`param_groups` must be those of Adam, which has no 'rho'.",
    ),
    "amsgrad": (
        {"param_groups": [group(amsgrad=True)]},
        nb.Adam,
        {},
        ValueError,
        "`param_groups` must have amsgrad=False, not True: npbloom has nothing else.",
    ),
    "AdamW": (
        {"param_groups": [group(decoupled_weight_decay=True)]},
        nb.Adam,
        {},
        ValueError,
        "`param_groups` must have decoupled_weight_decay=False, not True: npbloom has nothing else.",
    ),
    "Adam or AdamW": (
        {"param_groups": [group(weight_decay=0.1)], "state": state()},
        nb.Adam,
        {},
        ValueError,
        "`param_groups` must have the key 'decoupled_weight_decay' beside weight decay, False for Adam's: without it AdamW's "
        "looks the same.",
    ),
    "RAdam": (
        {"param_groups": [{key: value for key, value in group().items() if key != "amsgrad"}], "state": state()},
        nb.Adam,
        {},
        ValueError,
        "`param_groups` must be those of Adam or SparseAdam: they lack 'amsgrad', as RAdam's and Adamax's do.",
    ),
    "endless steps": (
        {"param_groups": [group()], "state": state(step=np.float32(np.inf))},
        nb.Adam,
        {},
        ValueError,
        "`step` of 0 must be a number of steps, not inf.",
    ),
    "more steps than int64 counts": (
        {"param_groups": [group()], "state": state(step=np.float64(2**63))},
        nb.Adam,
        {},
        ValueError,
        "`step` of 0 must be a number of steps, not 9.223372036854776e+18.",
    ),
    "no such parameter": (
        {"param_groups": [group(params=[0, 1])]},
        nb.Adam,
        {"key": 7},
        ValueError,
        "`layers` must name parameters of the state dict, not 7: it has 0, 1.",
    ),
    "no names": (
        {"param_groups": [group()]},
        nb.Adam,
        {"key": "items.weight"},
        ValueError,
        "`layers` must name parameters of the state dict, not 'items.weight': it has nothing.",
    ),
    "no state": (
        {"param_groups": [group()]},
        nb.Adam,
        {},
        ValueError,
        "`state_dict` must have the key 'state', not only 'param_groups'.",
    ),
    "another shape": (
        {"param_groups": [group()], "state": state(exp_avg=np.zeros((3, 2), np.float32))},
        nb.Adam,
        {},
        ValueError,
        "`exp_avg` of 0 must have shape (2, 2), not (3, 2).",
    ),
    "another dtype": (
        {"param_groups": [group()], "state": state(exp_avg=np.zeros((2, 2)))},
        nb.Adam,
        {},
        ValueError,
        "`exp_avg` of 0 must be float32, as the layer is, not float64.",
    ),
    "half a step": (
        {"param_groups": [group()], "state": state(step=np.float32(1.5))},
        nb.Adam,
        {},
        ValueError,
        "`step` of 0 must be a number of steps, not 1.5.",
    ),
    "NaN steps": (
        {"param_groups": [group()], "state": state(step=np.float32("nan"))},
        nb.Adam,
        {},
        ValueError,
        "`step` of 0 must be a number of steps, not nan.",
    ),
    "squares below 0": (
        {"param_groups": [group()], "state": state(exp_avg_sq=np.full((2, 2), -2, np.float32))},
        nb.Adam,
        {},
        ValueError,
        "`exp_avg_sq` of 0 must be at least 0, not -2 at position (0, 0).",
    ),
    "part of a state": (
        {"param_groups": [group()], "state": {0: {"step": np.float32(1)}}},
        nb.Adam,
        {},
        ValueError,
        "`state` of 0 must have 'exp_avg', 'exp_avg_sq', 'step', not only 'step'.",
    ),
    "more than a state": (
        {"param_groups": [group()], "state": state(max_exp_avg_sq=np.zeros((2, 2)))},
        nb.Adam,
        {},
        ValueError,
        "`state` of 0 must have 'exp_avg', 'exp_avg_sq', 'step', not 'max_exp_avg_sq'.",
    ),
}


@pytest.mark.parametrize(("state_dict", "kind", "more", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_said(state_dict: Any, kind: Any, more: Any, error: type[Exception], words: str) -> None:
    layer = nb.ZeroEmbedding(2, 2)
    with pytest.raises(error) as caught:
        optimizer_from_torch(state_dict, kind, {more.get("key", 0): layer})
    assert str(caught.value) == words
