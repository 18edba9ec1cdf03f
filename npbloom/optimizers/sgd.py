"""Stochastic gradient descent: `SGD`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

from npbloom import _check
from npbloom.layers import Layer
from npbloom.ops._steps import Rule, sgd_rule
from npbloom.optimizers._optimizer import Optimizer, Setting
from npbloom.optimizers._state import ArraySpec, Given, Specs, State
from npbloom.types import FloatArray


@final
class SGD(Optimizer):
    """
    Stochastic gradient descent with momentum and weight decay.

    Parameters
    ----------
    layers : Layer or sequence of Layer
        What is trained; state that is not given is allocated now.
    lr : float
        Learning rate, at least 0; may be assigned between steps.
    momentum, weight_decay : float, default 0
        At least 0. A term with coefficient 0 is not computed.
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
    L28: ``g += weight_decay * w; buf = momentum * buf + g; w -= lr * buf``. With a RowGrad both are
    lazy (L27).

    Examples
    --------
    >>> from npbloom.layers import ZeroEmbedding
    >>> SGD(ZeroEmbedding(3, 2), lr=0.1)
    SGD(1 layer, lr=0.1, momentum=0.0, weight_decay=0.0)
    """

    momentum = Setting(_check.at_least_zero)
    weight_decay = Setting(_check.at_least_zero)
    hyperparameters = ("lr", "momentum", "weight_decay")

    def __init__(
        self,
        layers: Layer | Iterable[Layer],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        state: Given | None = None,
    ) -> None:
        super().__init__(layers, lr)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self._allocate(state)

    @classmethod
    def _state_spec(cls, table: ArraySpec, num_slices: int, hyperparameters: Mapping[str, Any]) -> Specs:
        return {"momentum_buffer": table} if hyperparameters.get("momentum", 0.0) != 0 else {}

    def _rule(self, layer: Layer, state: State, table: FloatArray) -> Rule:
        table, reserved = self._target(layer, table)
        buffer = layer.gradient_view(state["momentum_buffer"]) if state else None
        return sgd_rule(table, self.lr, self.momentum, self.weight_decay, buffer, reserved)
