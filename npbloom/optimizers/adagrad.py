"""Adagrad, torch's variant: `Adagrad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, final

from npbloom import _check
from npbloom.layers import Layer
from npbloom.ops._steps import Rule, adagrad_rule
from npbloom.optimizers._optimizer import Optimizer, Setting
from npbloom.optimizers._state import COUNTER, ArraySpec, Given, Specs, State
from npbloom.types import FloatArray


@final
class Adagrad(Optimizer):
    """
    Adagrad, torch's variant.

    Parameters
    ----------
    layers : Layer or sequence of Layer
        What is trained; state that is not given is allocated now.
    lr : float, default 1e-2
        Learning rate, at least 0; may be assigned between steps.
    lr_decay, weight_decay, initial_accumulator_value : float, default 0
        At least 0.
    eps : float, default 1e-10
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
    L29: ``g += weight_decay * w; sum += g * g; w -= lr / (1 + (step - 1) * lr_decay) * g /
    (sqrt(sum) + eps)``. Gradients of a row are added before they are squared (L26).

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and
       stochastic optimization", JMLR 12, 2011.

    Examples
    --------
    >>> from npbloom.layers import ZeroEmbedding
    >>> layer = ZeroEmbedding(2, 1)
    >>> optimizer = Adagrad(layer, lr=0.5)
    >>> optimizer.update(layer, [1, 1], [[1.0], [2.0]])          # (1 + 2)**2, not 1 + 4
    >>> optimizer.state(layer)["sum"].ravel()
    array([0., 9.], dtype=float32)
    """

    lr_decay = Setting(_check.at_least_zero)
    weight_decay = Setting(_check.at_least_zero)
    initial_accumulator_value = Setting(_check.at_least_zero)
    eps = Setting(_check.at_least_zero)
    _starts: ClassVar = {"sum": "initial_accumulator_value"}
    hyperparameters = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        layers: Layer | Iterable[Layer],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        state: Given | None = None,
    ) -> None:
        super().__init__(layers, lr)
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.eps = eps
        self._allocate(state)

    @classmethod
    def _state_spec(cls, table: ArraySpec, num_slices: int, hyperparameters: Mapping[str, Any]) -> Specs:
        return {"sum": table, "step": COUNTER}

    def _rule(self, layer: Layer, state: State, table: FloatArray) -> Rule:
        table, reserved = self._target(layer, table)
        rate = self.lr / (1 + int(state["step"]) * self.lr_decay)  # this call is number step + 1
        return adagrad_rule(table, layer.gradient_view(state["sum"]), rate, self.eps, self.weight_decay, reserved)
