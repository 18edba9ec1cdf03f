"""Settings of a comparison: of the training, and of the compressed tables."""

from __future__ import annotations

from dataclasses import dataclass

from npbloom.optimizers import BY_NAME
from npbloom.recommend import ExplicitFactorizationModel, ImplicitFactorizationModel

IMPLICIT_LOSSES = ("bpr", "log_bpr", "pointwise", "hinge", "adaptive_hinge")
EXPLICIT_LOSSES = ("regression", "poisson", "logistic")
OPTIMIZERS = tuple(BY_NAME)
DEFAULT_L2 = 1e-5  # both are used if nothing can be held out to choose by
DEFAULT_EPOCHS = 10
DEFAULT_HASHES = 4

Model = ImplicitFactorizationModel | ExplicitFactorizationModel


@dataclass(frozen=True)
class Settings:
    """
    Settings of training, the same for all compared models.

    With None `epochs` or `l2` is chosen for each method.
    """

    loss: str = "bpr"
    optimizer: str = "adam"
    dim: int = 32
    epochs: int | None = None
    batch_size: int = 1024
    learning_rate: float = 0.01
    l2: float | None = None
    seed: int = 0
    split: str | None = None  # "last" or "random"; None: last to rank, random to predict ratings

    @property
    def last(self) -> bool:
        """True if each user's last interaction is held out, False if a random one is."""
        return self.split == "last" or (self.split is None and not self.explicit)

    @property
    def explicit(self) -> bool:
        """True if ratings are predicted, False if items are ranked."""
        return self.loss in EXPLICIT_LOSSES


@dataclass(frozen=True)
class Tables:
    """Size of the compressed tables: rows for each id, hashes (None: each method's own), sides."""

    compression: float = 0.2
    hashes: int | None = None
    compressed: tuple[str, ...] = ("items",)


@dataclass(frozen=True)
class Variant:
    """A method, and the size of its tables."""

    method: str
    tables: Tables


@dataclass(frozen=True)
class Choice:
    """Weight decay and epochs of one method."""

    l2: float
    epochs: int
