"""The same model with full tables and with Bloom tables: trained, measured, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from npbloom.cli._errors import Refused, refusing
from npbloom.layers import BloomEmbedding, ScaledEmbedding
from npbloom.recommend import (
    ExplicitFactorizationModel,
    ImplicitFactorizationModel,
    Interactions,
    hit_rate_score,
    leave_last_out,
    mrr_score,
    random_train_test_split,
    rmse_score,
)

IMPLICIT_LOSSES = ("bpr", "log_bpr", "pointwise", "hinge", "adaptive_hinge")
EXPLICIT_LOSSES = ("regression", "poisson", "logistic")
OPTIMIZERS = ("adam", "adagrad", "rowwise_adagrad", "sgd")
TOP = 100  # a hit is a held-out item among so many

Model = ImplicitFactorizationModel | ExplicitFactorizationModel


@dataclass(frozen=True)
class Settings:
    """All that the compared models have in common."""

    loss: str = "bpr"
    optimizer: str = "adam"
    dim: int = 32
    epochs: int = 10
    batch_size: int = 1024
    learning_rate: float = 0.01
    l2: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Tables:
    """How a model keeps its vectors: in full tables (`compression` None), or some of them in Bloom tables."""

    compression: float | None = None
    hashes: int = 4
    compressed: tuple[str, ...] = ("items",)

    @property
    def title(self) -> str:
        """What reports call them."""
        if self.compression is None:
            return "full"
        return f"Bloom {self.compression:g}, {self.hashes} hash{'' if self.hashes == 1 else 'es'}"


@dataclass
class Measured:
    """A line of the comparison: a trained model in numbers."""

    title: str
    scores: dict[str, float]
    tables: Tables | None = None  # None for a baseline, which has none
    parameters: int = 0
    nbytes: int = 0
    losses: list[float] = field(default_factory=list)  # of each epoch
    seconds: list[float] = field(default_factory=list)  # of each epoch

    @property
    def seconds_per_epoch(self) -> float:
        """The median over the epochs."""
        return statistics.median(self.seconds) if self.seconds else 0.0


class Popularity:
    """The same scores for everybody: how often an item occurs. What a model must beat to have learned a taste."""

    title = "popularity"

    def __init__(self, train: Interactions) -> None:
        """Count."""
        self._counts = np.bincount(train.item_ids, minlength=train.num_items).astype(np.float32)

    def predict(self, user_id: int) -> Any:
        """The score of each item."""
        return self._counts


class MeanRating:
    """The same rating for every pair. What a model must beat to have learned anything."""

    title = "mean rating"

    def __init__(self, train: Interactions) -> None:
        """Average."""
        assert train.ratings is not None
        self._mean = train.ratings.mean()

    def predict(self, user_ids: Any, item_ids: Any) -> Any:
        """The rating of each pair."""
        return np.full(len(user_ids), self._mean)


def split(data: Interactions, settings: Settings) -> tuple[Interactions, Interactions]:
    """A part to train on and a part to test on: ratings are held out at random, of interactions every user's last."""
    if settings.loss not in EXPLICIT_LOSSES:
        return leave_last_out(data)
    if settings.loss == "logistic":  # what it predicts is whether a rating is above 0
        data = data.select(np.arange(len(data)))
        assert data.ratings is not None
        data.ratings = (data.ratings > 0).astype(np.float64)
    return random_train_test_split(data, 0.2, np.random.default_rng(settings.seed))


def build(data: Interactions, tables: Tables, settings: Settings) -> Model:
    """A model on its tables, not trained yet; raises ValueError for tables that cannot be."""
    rng = np.random.default_rng(settings.seed)
    layers: dict[str, Any] = {}
    for kind, size in (("users", data.num_users), ("items", data.num_items)):
        if tables.compression is None or kind not in tables.compressed:
            layers[kind] = ScaledEmbedding(size, settings.dim, padding_idx=data.padding_idx, rng=rng)
        else:
            layers[kind] = BloomEmbedding(
                size, settings.dim, tables.compression, tables.hashes, padding_idx=data.padding_idx, rng=rng
            )
    kind_of_model = ExplicitFactorizationModel if settings.loss in EXPLICIT_LOSSES else ImplicitFactorizationModel
    return kind_of_model(
        loss=settings.loss,
        n_iter=settings.epochs,
        batch_size=settings.batch_size,
        l2=settings.l2,
        learning_rate=settings.learning_rate,
        optimizer=settings.optimizer,
        user_embeddings=layers["users"],
        item_embeddings=layers["items"],
        rng=rng,
    )


def warm_up(train: Interactions, settings: Settings, variants: Sequence[Tables]) -> None:
    """One batch each of the smallest models there are: compiling belongs to no epoch."""
    first = np.unique(train.user_ids, return_index=True)[1][:2]  # a model wants two users
    part = train.select(np.append(first, np.linspace(0, len(train) - 1, min(len(train), settings.batch_size)).astype(np.int64)))
    for tables in variants:
        model = build(train, tables, settings)
        model.n_iter = 1
        model.fit(part)


def measure(model: Any, train: Interactions, test: Interactions, settings: Settings) -> dict[str, float]:
    """How well a model rates, or finds, what was held out: means over ratings, or over users."""
    if settings.loss in EXPLICIT_LOSSES:
        return {"rmse": rmse_score(model, test)}
    return {
        "mrr": float(mrr_score(model, test, train).mean()),
        "hit_rate": float(hit_rate_score(model, test, train, k=TOP).mean()),
    }


def compare(data: Interactions, variants: Sequence[Tables], settings: Settings) -> list[tuple[Measured, Model | None]]:
    """Train and measure one model after the other, then a baseline that needs no training. Bars on a terminal only."""
    train, test = split(data, settings)
    if len(np.unique(train.user_ids)) < 2:
        raise Refused(f"{len(data)} interactions are too few: after some are held out, one user is left to learn from")
    models = [build(train, tables, settings) for tables in variants]
    baseline = (MeanRating if settings.loss in EXPLICIT_LOSSES else Popularity)(train)
    rows: list[tuple[Measured, Model | None]] = []
    layout = "{desc} [{n_fmt}/{total_fmt}, {elapsed}]"
    words = "compiling what Numba has not cached yet"
    with tqdm(total=len(models) + 1, desc=words, leave=False, disable=None, bar_format=layout) as bar:
        warm_up(train, settings, variants[:2])
        bar.update()
        for tables, model in zip(variants, models, strict=True):
            bar.set_description_str(f"training {tables.title}")
            model.fit(train, verbose=True)
            bar.set_description_str(f"measuring {tables.title}")
            with refusing(tables.title, status=1):  # scores that are not finite
                scores = measure(model, train, test, settings)
            rows.append((_measured(tables, model, scores), model))
            bar.update()
        bar.set_description_str(f"measuring {baseline.title}")
        rows.append((Measured(baseline.title, measure(baseline, train, test, settings)), None))
    return rows


def _measured(tables: Tables, model: Model, scores: dict[str, float]) -> Measured:
    """A trained model's line."""
    layers = list(model.layers.values())
    return Measured(
        tables.title,
        scores,
        tables,
        sum(layer.num_parameters for layer in layers),
        sum(layer.nbytes for layer in layers),
        [epoch["loss"] for epoch in model.history],
        [epoch["seconds"] for epoch in model.history],
    )
