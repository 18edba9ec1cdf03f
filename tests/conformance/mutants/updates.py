"""Optimizer steps of the right backend, cut into pieces: float64, rounded once when stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import stored

Array = np.ndarray[Any, Any]
State = dict[str, Array]
Options = dict[str, Any]
Moved = tuple[Array, State]  # the amount to subtract from the rows, and their state


class Updates:
    """SGD, Adagrad, row-wise Adagrad and Adam on the rows of a batch."""

    def sgd(self, case: Case) -> Outputs:
        """Run ``buf = momentum * buf + g; w -= lr * buf``."""
        return self.updated(case, self.sgd_move)

    def adagrad(self, case: Case) -> Outputs:
        """Run ``sum += g * g; w -= rate * g / (sqrt(sum) + eps)``."""
        return self.updated(case, self.adagrad_move)

    def rowwise_adagrad(self, case: Case) -> Outputs:
        """Run ``sum += mean(g * g); w -= lr * g / (sqrt(sum) + eps)``."""
        return self.updated(case, self.rowwise_move)

    def adam(self, case: Case) -> Outputs:
        """Run Adam: ``w -= lr * first / (sqrt(second) + eps)``, with corrected moments."""
        return self.updated(case, self.adam_move)

    # ---- steps common to all ---------------------------------------------------------------------

    def updated(self, case: Case, move: Any) -> Outputs:
        """Return table and state after one step."""
        options, real = dict(case.options or {}), self.arithmetic(case)
        rows, grad = self.coalesced(case)
        weight = case.weight.copy()
        state = {name: np.array(array) for name, array in (case.state or {}).items()}
        step = int(state.get("step", np.zeros(())))
        before = {name: array[rows].astype(real) for name, array in state.items() if name != "step"}
        w = weight[rows].astype(real)
        taken, after = move(options, self.decayed(options, w, grad.astype(real)), before, step)
        weight[rows] = stored(self.moved(w, taken), case.dtype)
        for name, array in after.items():
            state[name][rows] = stored(array, case.dtype)
        if "step" in state:
            state["step"] = np.array(self.counted(case, step))
        return {"weight": weight, "state": state}

    def arithmetic(self, case: Case) -> Any:
        """Return the type of a step's arithmetic."""
        return np.float64

    def moved(self, w: Array, taken: Array) -> Array:
        """Return the rows after the step."""
        return w - taken

    def coalesced(self, case: Case) -> tuple[Array, Array]:
        """Return distinct rows and the sum of each row's gradients."""
        rows, place = np.unique(case.rows, return_inverse=True)
        total = np.zeros((len(rows), case.weight.shape[1]))
        np.add.at(total, place, case.values)
        return rows, total

    def decayed(self, options: Options, w: Array, g: Array) -> Array:
        """Return the gradient with weight decay."""
        return g + options["weight_decay"] * w if options["weight_decay"] else g

    def counted(self, case: Case, step: int) -> int:
        """Return the number of steps after this one."""
        return step + 1

    # ---- formulas --------------------------------------------------------------------------------

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        """Return SGD's move, with or without momentum."""
        if not options["momentum"]:
            return options["lr"] * g, {}
        buffer = options["momentum"] * state["momentum_buffer"] + g
        return options["lr"] * buffer, {"momentum_buffer": buffer}

    def adagrad_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        """Return Adagrad's move, with one sum for each element."""
        total = state["sum"] + g * g
        return self.rate(options, step) * g / self.root(total, options["eps"]), {"sum": total}

    def rate(self, options: Options, step: int) -> float:
        """Return the learning rate after `step` steps."""
        return float(options["lr"] / (1 + step * options["lr_decay"]))

    def root(self, total: Array, eps: float) -> Array:
        """Return the divisor of the gradient."""
        root: Array = np.sqrt(total) + eps
        return root

    def rowwise_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        """Return row-wise Adagrad's move, with one sum for each row."""
        total = state["sum"] + self.mean_square(g)
        return options["lr"] * g / self.root(total, options["eps"])[:, None], {"sum": total}

    def mean_square(self, g: Array) -> Array:
        """Return the mean square of each row."""
        mean: Array = (g * g).mean(axis=1)
        return mean

    def adam_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        """Return Adam's move: both moments corrected, eps added to the root."""
        first, second = self.moments(options, g, state)
        one, two = self.corrections(options, step)
        return options["lr"] * (first / one) / self.root(second / two, options["eps"]), {"exp_avg": first, "exp_avg_sq": second}

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        """Return the moving averages of the gradient and of its square."""
        beta1, beta2 = options["betas"]
        return beta1 * state["exp_avg"] + (1 - beta1) * g, beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g

    def corrections(self, options: Options, step: int) -> tuple[float, float]:
        """Return the divisors of the two moments in step ``step + 1``."""
        beta1, beta2 = options["betas"]
        return 1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)
