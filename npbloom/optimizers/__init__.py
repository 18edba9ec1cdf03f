"""
Update rules of tables, one file each: hyperparameters, and the state of each layer.

`BY_NAME` lists them: every part of npbloom that offers optimizers reads it.
"""

from typing import Final

from npbloom.optimizers._optimizer import Optimizer
from npbloom.optimizers._state import ArraySpec
from npbloom.optimizers.adagrad import Adagrad
from npbloom.optimizers.adam import Adam
from npbloom.optimizers.rowwise_adagrad import RowWiseAdagrad
from npbloom.optimizers.sgd import SGD

__all__ = ["Adagrad", "Adam", "ArraySpec", "BY_NAME", "Optimizer", "RowWiseAdagrad", "SGD"]

BY_NAME: Final[dict[str, type[Optimizer]]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rowwise_adagrad": RowWiseAdagrad,
    "adam": Adam,
}
"""The optimizers under the names that recommenders, `plan` and the command line take."""
