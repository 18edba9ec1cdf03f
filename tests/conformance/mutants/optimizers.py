"""Faults of optimizers: the rules of SGD, Adagrad, row-wise Adagrad and Adam."""

from __future__ import annotations

import numpy as np

from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.updates import Array, Moved, Options, State

# ---- SGD -----------------------------------------------------------------------------------------


class MomentumIgnored(Mutant):
    """momentum is accepted and ignored."""

    caught_by = ("sgd.momentum",)

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        return options["lr"] * g, super().sgd_move(options, g, state, step)[1]


class MomentumOfGradient(Mutant):
    """The gradient is dampened by 1 - momentum."""

    caught_by = ("sgd.momentum", "sgd.momentum_buffer")

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        return super().sgd_move(options, g * (1 - options["momentum"]), state, step)


class Nesterov(Mutant):
    """The step looks ahead by momentum, as Nesterov's does."""

    caught_by = ("sgd.momentum",)

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        taken, after = super().sgd_move(options, g, state, step)
        return (options["lr"] * (g + options["momentum"] * after["momentum_buffer"]) if after else taken), after


class RateInBuffer(Mutant):
    """The learning rate is multiplied into the buffer."""

    caught_by = ("sgd.momentum_buffer",)

    def sgd_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        taken, after = super().sgd_move(options, g, state, step)
        return taken, {name: array * options["lr"] for name, array in after.items()}


# ---- Adagrad -------------------------------------------------------------------------------------


class EpsInside(Mutant):
    """eps is added under the root."""

    origin, caught_by = "Paddle#4184", ("adagrad.eps", "rowwise_adagrad.eps", "adam.eps")

    def root(self, total: Array, eps: float) -> Array:
        root: Array = np.sqrt(total + eps)
        return root


class EpsIgnored(Mutant):
    """eps is not read."""

    caught_by = ("adagrad.eps", "rowwise_adagrad.eps", "adam.eps")

    def root(self, total: Array, eps: float) -> Array:
        return super().root(total, 1e-10)


class EpsIsFloor(Mutant):
    """The root is at least eps, which is not added."""

    caught_by = ("adagrad.eps", "rowwise_adagrad.eps", "adam.eps")

    def root(self, total: Array, eps: float) -> Array:
        return np.maximum(np.sqrt(total), eps)


class OldSum(Mutant):
    """The step is divided by the root of the sum before this step."""

    caught_by = ("adagrad.step", "rowwise_adagrad.step")

    def adagrad_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        after = super().adagrad_move(options, g, state, step)[1]
        return self.rate(options, step) * g / (np.sqrt(state["sum"]) + max(options["eps"], 1e-10)), after

    def rowwise_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        after = super().rowwise_move(options, g, state, step)[1]
        return options["lr"] * g / (np.sqrt(state["sum"]) + max(options["eps"], 1e-10))[:, None], after


class SumForRoot(Mutant):
    """The step is divided by the sum instead of its root."""

    caught_by = ("adagrad.step", "rowwise_adagrad.step", "adam.step")

    def root(self, total: Array, eps: float) -> Array:
        return total + eps


class RateDecayIgnored(Mutant):
    """lr_decay is accepted and ignored."""

    caught_by = ("adagrad.lr_decay",)

    def rate(self, options: Options, step: int) -> float:
        return float(options["lr"])


class RateDecaysEarly(Mutant):
    """lr_decay counts this step, too."""

    caught_by = ("adagrad.lr_decay",)

    def rate(self, options: Options, step: int) -> float:
        return super().rate(options, step + 1)


class RateDecaysExponentially(Mutant):
    """The learning rate is multiplied by 1 - lr_decay in every step."""

    caught_by = ("adagrad.lr_decay",)

    def rate(self, options: Options, step: int) -> float:
        return float(options["lr"] * (1 - options["lr_decay"] / 2) ** step)


class InitialValueAdded(Mutant):
    """The initial value is added to the sum in every step."""

    origin, caught_by = "deeplearning4j#953", ("adagrad.initial_accumulator_value",)

    def adagrad_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        more = {"sum": state["sum"] + options["initial_accumulator_value"]}
        return super().adagrad_move(options, g, more, step)


class SumOfSquares(Mutant):
    """A row's sum grows by the sum of squares, not by their mean."""

    caught_by = ("rowwise_adagrad.sum", "rowwise_adagrad.step")

    def mean_square(self, g: Array) -> Array:
        total: Array = (g * g).sum(axis=1)
        return total


class SquareOfMean(Mutant):
    """A row's sum grows by the square of the mean."""

    caught_by = ("rowwise_adagrad.sum",)

    def mean_square(self, g: Array) -> Array:
        square: Array = g.mean(axis=1) ** 2
        return square


class MeanOverRows(Mutant):
    """Squares are averaged over rows instead of columns if the two numbers are equal."""

    caught_by = ("rowwise_adagrad.sum",)

    def mean_square(self, g: Array) -> Array:
        return super().mean_square(g.T if g.shape[0] == g.shape[1] else g)


class MeanOfPaddedWidth(Mutant):
    """The mean divides by a width that is rounded up to four."""

    caught_by = ("rowwise_adagrad.sum",)

    def mean_square(self, g: Array) -> Array:
        result: Array = super().mean_square(g) * g.shape[1] / (-(-g.shape[1] // 4) * 4)
        return result


class LargestSquare(Mutant):
    """A row's sum grows by its largest square."""

    caught_by = ("rowwise_adagrad.sum",)

    def mean_square(self, g: Array) -> Array:
        largest: Array = (g * g).max(axis=1)
        return largest


# ---- Adam ----------------------------------------------------------------------------------------


class CorrectionsOneStepLate(Mutant):
    """Bias corrections are those of the next step."""

    caught_by = ("adam.bias_correction",)

    def corrections(self, options: Options, step: int) -> tuple[float, float]:
        return super().corrections(options, step + 1)


class NoCorrections(Mutant):
    """Moments are not corrected for bias."""

    origin, caught_by = "caffe#4224", ("adam.bias_correction",)

    def corrections(self, options: Options, step: int) -> tuple[float, float]:
        return 1.0, 1.0


class FirstCorrectionOnly(Mutant):
    """The second moment is not corrected for bias."""

    caught_by = ("adam.bias_correction",)

    def corrections(self, options: Options, step: int) -> tuple[float, float]:
        return super().corrections(options, step)[0], 1.0


class AlwaysFirstStep(Mutant):
    """Every step is corrected as if it were the first."""

    caught_by = ("adam.step", "adam.bias_correction")

    def corrections(self, options: Options, step: int) -> tuple[float, float]:
        return super().corrections(options, 0)


class EpsBeforeCorrection(Mutant):
    """eps is added to the root of the uncorrected moment."""

    origin, caught_by = "tensorflow#35102", ("adam.eps",)

    def adam_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        two = self.corrections(options, step)[1]
        return super().adam_move({**options, "eps": options["eps"] / np.sqrt(two)}, g, state, step)


class OneBeta(Mutant):
    """Both moments decay by the first beta."""

    caught_by = ("adam.moments", "adam.step")

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        return super().moments({**options, "betas": options["betas"][:1] * 2}, g, state)


class BetasSwapped(Mutant):
    """The betas are swapped."""

    caught_by = ("adam.moments",)

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        return super().moments({**options, "betas": options["betas"][::-1]}, g, state)


class SquareOfFirstMoment(Mutant):
    """The second moment is made of the first instead of the gradient."""

    caught_by = ("adam.moments",)

    def moments(self, options: Options, g: Array, state: State) -> tuple[Array, Array]:
        first = super().moments(options, g, state)[0]
        return first, super().moments(options, first, state)[1]


class OldMoments(Mutant):
    """The step uses the moments before their update."""

    caught_by = ("adam.step",)

    def adam_move(self, options: Options, g: Array, state: State, step: int) -> Moved:
        after = super().adam_move(options, g, state, step)[1]
        one, two = self.corrections(options, step)
        return options["lr"] * (state["exp_avg"] / one) / self.root(state["exp_avg_sq"] / two, max(options["eps"], 1e-12)), after
