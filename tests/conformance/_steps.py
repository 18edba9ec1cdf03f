"""Optimizer steps in plain NumPy, cut into pieces that a variant or a fault replaces. Shares nothing with npbloom."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npbloom.conformance import Backend, Case, Session, Unsupported
from npbloom.conformance.cases.floats import stored

Array = np.ndarray[Any, Any]
State = dict[str, Array]
OPERATIONS = ("sgd", "adagrad", "rowwise_adagrad", "adam")
ONLY = ",".join(f"{op}.*" for op in OPERATIONS)


def claims(accumulator: str, *dtypes: str) -> dict[str, dict[str, str]]:
    """A profile with one accumulator for all."""
    return {dtype: {"forward": accumulator, "backward": accumulator} for dtype in dtypes}


class Plain(Backend):
    """Right: the laws as written, in the table's dtype, on touched rows."""

    name = "plain"
    in_process = True
    profile: ClassVar[dict[str, dict[str, str]]] = claims("float64", "float32", "float64")
    real: Any = None  # of arithmetic; None: the table's

    def run(self, case: Case) -> dict[str, Any]:
        """One step."""
        if case.op not in OPERATIONS:
            raise Unsupported(case.op)
        weight, state = case.weight.copy(), {name: np.array(array) for name, array in case.state.items()}
        real = self.real or weight.dtype.type
        rows, grad = self.coalesced(case)
        w, g = weight[rows].astype(real), grad.astype(real)
        before = {name: array[rows].astype(real) for name, array in state.items() if name != "step"}
        g = self.decayed(case.options, w, g)
        step = int(state.get("step", 0))
        w, after = getattr(self, case.op)(case.options, w, g, before, step)
        weight[rows] = stored(w, case.dtype)
        for name, array in after.items():
            state[name] = self.kept(case, state[name])
            state[name][rows] = stored(array, case.dtype) if state[name].dtype == weight.dtype else array
        if "step" in state:
            state["step"] = np.array(self.counted(case, step))
        return {"weight": weight, "state": state}

    def kept(self, case: Case, array: Array) -> Array:
        """A state array in the dtype it is kept in."""
        return array

    def counted(self, case: Case, step: int) -> int:
        """Steps after this one."""
        return step + 1

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """Distinct rows and the sum of each one's gradients, in float64."""
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]))
        np.add.at(total, place, case.values)
        return rows, stored(total, case.dtype)

    def decayed(self, options: dict[str, Any], w: Array, g: Array) -> Array:
        """The gradient with weight decay."""
        return g + w.dtype.type(options["weight_decay"]) * w if options["weight_decay"] else g

    def sgd(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """L28."""
        real = w.dtype.type
        if options["momentum"]:
            g = real(options["momentum"]) * state["momentum_buffer"] + g
            state = {"momentum_buffer": g}
        return w - real(options["lr"]) * g, state

    def rate(self, options: dict[str, Any], step: int) -> float:
        """The rate after its decay."""
        return options["lr"] / (1 + step * options["lr_decay"])

    def adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """L29."""
        real = w.dtype.type
        total = state["sum"] + g * g
        return w - real(self.rate(options, step)) * g / (np.sqrt(total) + real(options["eps"])), {"sum": total}

    def mean(self, g: Array) -> Array:
        """The mean of squares of each row."""
        return np.square(g, dtype=np.float64).mean(axis=1).astype(g.dtype)

    def rowwise_adagrad(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """L30."""
        real = w.dtype.type
        total = state["sum"] + self.mean(g)
        return w - real(options["lr"]) * g / (np.sqrt(total) + real(options["eps"]))[:, None], {"sum": total}

    def moments(self, options: dict[str, Any], g: Array, state: State) -> tuple[Array, Array]:
        """Both moments of Adam."""
        real, (beta1, beta2) = g.dtype.type, options["betas"]
        first = real(beta1) * state["exp_avg"] + real(1 - beta1) * g
        return first, real(beta2) * state["exp_avg_sq"] + real(1 - beta2) * (g * g)

    def corrections(self, options: dict[str, Any], step: int) -> tuple[float, float]:
        """Divisors of both moments."""
        beta1, beta2 = options["betas"]
        return 1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)

    def adam(self, options: dict[str, Any], w: Array, g: Array, state: State, step: int) -> tuple[Array, State]:
        """L31."""
        real = w.dtype.type
        first, second = self.moments(options, g, state)
        one, two = self.corrections(options, step)
        move = real(options["lr"]) * (first / real(one)) / (np.sqrt(second / real(two)) + real(options["eps"]))
        return w - move, {"exp_avg": first, "exp_avg_sq": second}


class Keeping(Session):
    """A session whose memory a fault may damage: called with the outputs of each step, it says where the next one starts."""

    def __init__(self, backend: Backend, case: Case, damage: Any) -> None:
        super().__init__(backend, case)
        self._first, self._damage = case, damage

    def step(self, case: Case) -> dict[str, Any]:
        """A right step from damaged memory."""
        outputs = super().step(case)
        self._weight, self._state = self._damage(self._first, outputs)
        return outputs
