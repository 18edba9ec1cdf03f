"""npbloom's layers and optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from benchmarks.contenders.table import EPS, LEARNING_RATE, Batch, FloatArray, Table
from npbloom.optimizers import BY_NAME

SETTINGS = {"lr": LEARNING_RATE, "eps": EPS}


class Ours(Table):
    """A layer of npbloom with its optimizer. It is given ids and hashes them itself."""

    name: ClassVar[str] = "npbloom"

    def __init__(self, layer: Any, optimizer: str, batches: Sequence[Batch]) -> None:
        super().__init__(batches)
        self.layer = layer
        kind: Any = BY_NAME[optimizer]
        self.optimizer = kind(layer, **{name: value for name, value in SETTINGS.items() if name in kind.hyperparameters})
        self._bags = [self._bag_arguments(batch) for batch in batches]

    @staticmethod
    def _bag_arguments(batch: Batch) -> dict[str, Any]:
        if batch.offsets is None:
            return {}
        return {"offsets": batch.offsets, "per_sample_weights": batch.per_sample_weights}

    @property
    def weight(self) -> FloatArray:
        """The layer's own array."""
        weight: FloatArray = self.layer.weight
        return weight

    def accumulators(self) -> list[FloatArray]:
        """Return the state under torch's names."""
        state = self.optimizer.state(self.layer)
        return [state[name] for name in ("sum", "exp_avg_sq") if name in state]

    def forward(self) -> Any:
        """Call the layer."""
        number = self.turn()
        return self.layer.forward(self.batches[number].ids, **self._bags[number])

    def output(self) -> FloatArray:
        """Return the same array."""
        out: FloatArray = self.forward()
        return out

    def step(self) -> None:
        """Run forward, then the fused update."""
        number = self.turn()
        batch, bags = self.batches[number], self._bags[number]
        self.layer.forward(batch.ids, **bags)
        self.optimizer.update(self.layer, batch.ids, batch.grad_out, **bags)
