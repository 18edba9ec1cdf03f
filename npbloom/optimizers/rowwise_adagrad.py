"""Adagrad with one accumulator for each row: `RowWiseAdagrad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

import numpy as np

from npbloom import _check
from npbloom.layers import Layer
from npbloom.ops._steps import Rule, adagrad_rule
from npbloom.optimizers._optimizer import Optimizer, Setting
from npbloom.optimizers._state import ArraySpec, Given, Specs, State
from npbloom.types import FloatArray


@final
class RowWiseAdagrad(Optimizer):
    """
    Adagrad with one accumulator for each row, FBGEMM's exact variant: 1/d of Adagrad's state.

    Parameters
    ----------
    layers : Layer or sequence of Layer
        What is trained; state that is not given is allocated now.
    lr : float, default 1e-2
        Learning rate, at least 0; may be assigned between steps.
    weight_decay : float, default 0
        At least 0.
    eps : float, default 1e-8
        At least 0; outside the root.
    state : dict of Layer to dict of str to array, optional
        Arrays to adopt as state without a copy, memmaps too: for each layer that is named, all that
        `state` returns for it. They are taken as they are; values of mapped files are not read.
        Other layers start from new state.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is out of its range, a layer is read-only, or a state does not fit its
        layer or has squares below 0.

    Notes
    -----
    L30: ``g += weight_decay * w; sum_r += mean(g * g); w -= lr * g / (sqrt(sum_r) + eps)``. ``sum``
    has one value for each row, or for each slice where probes are concatenated. FBGEMM's CPU kernel
    accepts weight decay and ignores it.

    Examples
    --------
    >>> from npbloom.layers import ZeroEmbedding
    >>> layer = ZeroEmbedding(2, 2)
    >>> optimizer = RowWiseAdagrad(layer)
    >>> optimizer.update(layer, [1], [[1.0, 7.0]])               # mean(1, 49)
    >>> optimizer.state(layer)["sum"]
    array([ 0., 25.], dtype=float32)
    """

    weight_decay = Setting(_check.at_least_zero)
    eps = Setting(_check.at_least_zero)
    hyperparameters = ("lr", "weight_decay", "eps")

    def __init__(
        self,
        layers: Layer | Iterable[Layer],
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        *,
        state: Given | None = None,
    ) -> None:
        super().__init__(layers, lr)
        self.weight_decay = weight_decay
        self.eps = eps
        self._allocate(state)

    @classmethod
    def _state_spec(cls, table: ArraySpec, num_slices: int, hyperparameters: Mapping[str, Any]) -> Specs:
        return {"sum": ArraySpec((table.shape[0] * num_slices,), table.dtype)}

    def _rule(self, layer: Layer, state: State, table: FloatArray) -> Rule:
        table, reserved = self._target(layer, table)
        return adagrad_rule(table, state["sum"].view(np.ndarray), self.lr, self.eps, self.weight_decay, reserved)
