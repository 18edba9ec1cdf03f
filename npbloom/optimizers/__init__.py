"""Update rules of tables: `SGD`, `Adagrad`, `RowWiseAdagrad` and `Adam`, one file each."""

from npbloom.optimizers._optimizer import Optimizer
from npbloom.optimizers.adagrad import Adagrad
from npbloom.optimizers.adam import Adam
from npbloom.optimizers.rowwise_adagrad import RowWiseAdagrad
from npbloom.optimizers.sgd import SGD

__all__ = ["Adagrad", "Adam", "Optimizer", "RowWiseAdagrad", "SGD"]
