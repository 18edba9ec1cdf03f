"""Adam: `Adam`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

from npbloom import _check
from npbloom.layers import Layer
from npbloom.ops._steps import Rule, adam_rule, check_betas
from npbloom.optimizers._optimizer import Optimizer, Setting
from npbloom.optimizers._state import COUNTER, ArraySpec, Given, Specs, State
from npbloom.types import FloatArray


@final
class Adam(Optimizer):
    """
    Adam with bias correction; lazy with a RowGrad.

    Parameters
    ----------
    layers : Layer or sequence of Layer
        What is trained; state that is not given is allocated now.
    lr : float, default 1e-3
        Learning rate, at least 0; may be assigned between steps.
    betas : pair of float, default (0.9, 0.999)
        Decays of the moments, each in [0, 1).
    eps : float, default 1e-8
        At least 0; outside the root, after bias correction.
    weight_decay : float, default 0
        At least 0; added to the gradient.
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
    L31. ``step`` counts the calls on a layer, an empty batch included. torch.optim.SparseAdam adds
    eps before bias correction; torch.optim.Adam moves every row in every step.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from npbloom.layers import ZeroEmbedding
    >>> layer = ZeroEmbedding(2, 1)
    >>> Adam(layer, lr=0.25).update(layer, [1], [[4.0]])         # the first step has length lr
    >>> layer.weight.ravel()
    array([ 0.  , -0.25], dtype=float32)
    """

    betas = Setting(lambda value, name: check_betas(value))
    eps = Setting(_check.at_least_zero)
    weight_decay = Setting(_check.at_least_zero)
    hyperparameters = ("lr", "betas", "eps", "weight_decay")

    def __init__(
        self,
        layers: Layer | Iterable[Layer],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        state: Given | None = None,
    ) -> None:
        super().__init__(layers, lr)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self._allocate(state)

    @classmethod
    def _state_spec(cls, table: ArraySpec, num_slices: int, hyperparameters: Mapping[str, Any]) -> Specs:
        return {"exp_avg": table, "exp_avg_sq": table, "step": COUNTER}

    def _rule(self, layer: Layer, state: State, table: FloatArray) -> Rule:
        table, reserved = self._target(layer, table)
        moments = (layer.gradient_view(state["exp_avg"]), layer.gradient_view(state["exp_avg_sq"]))
        number = int(state["step"]) + 1
        return adam_rule(table, *moments, self.lr, number, self.betas, self.eps, self.weight_decay, reserved)
