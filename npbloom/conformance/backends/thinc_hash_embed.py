"""Thinc's `HashEmbed`: forward and backward of its layer, on given rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

try:
    import thinc
    from thinc.api import HashEmbed, NumpyOps
except ImportError as error:
    raise ImportError("The adapter ThincHashEmbed needs Thinc: pip install thinc") from error

from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import Case, Outputs


class ThincHashEmbed(Backend):
    """
    The layer `thinc.api.HashEmbed` with its hash replaced by given rows.

    Thinc's hash is MurmurHash3_x86_128 of eight bytes, so ``hash`` and ``bloom`` are different
    operations and are declined. The checks run the layer's sum of rows and its gradient, as bags of
    one size, and as an embedding of one row. An id reads as many rows as its bag has entries.

    Parameters
    ----------
    empty_batches : bool, default False
        Also run batches without ids, whose backward pass raises a NameError. The check then fails.
    profile : dict of str to dict, optional
        Dtypes and accumulators, by default float32; gradients are float32 for every table.
    """

    name = "thinc-hash-embed"
    version = thinc.__version__
    policy: ClassVar[dict[str, str]] = {"out_of_bounds": "undefined"}
    omits: ClassVar[dict[str, str]] = {"embedding.raw_bits": "HashEmbed adds rows up, also a single one: -0.0 becomes 0.0"}

    def __init__(self, *, empty_batches: bool = False, profile: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.empty_batches = empty_batches
        self._given = profile
        self.__dict__.update(profile={dtype: dict(sums) for dtype, sums in (profile or self.profile).items()})

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        given = ["empty_batches=True"] if self.empty_batches else []
        given += [f"profile={self._given!r}"] if self._given else []
        return f"ThincHashEmbed({', '.join(given)})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            ``embedding``, or a ``bag`` of sums with equally many entries; without any option.

        Returns
        -------
        dict of str to array
            ``out`` and ``grad_weight``.

        Raises
        ------
        Unsupported
            Everything else.
        """
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        rows = _probes(case)
        if not len(rows) and not self.empty_batches:
            raise Unsupported("backward of an empty batch raises a NameError, which `empty_batches=True` shows")
        layer: Any = HashEmbed(case.weight.shape[1], len(case.weight), seed=0)
        operations: Any = NumpyOps()
        # In place of Thinc's hash, which differs from the kit's.
        operations.hash = lambda ids, seed: rows
        layer.ops = operations
        layer.set_param("E", case.weight)
        out, backprop = layer(np.arange(len(rows), dtype=np.uint64), is_train=True)
        outputs = {"out": np.array(out).reshape(case.grad_out.shape)}
        backprop(case.grad_out.reshape(out.shape))
        return {**outputs, "grad_weight": np.array(layer.get_grad("E"))}


def _probes(case: Case) -> Any:
    """Return the rows of each output, equally many for all."""
    if case.op not in ("embedding", "bag"):
        raise Unsupported(f"no {case.op!r}: Thinc hashes otherwise, and its optimizers are dense")
    if (
        case.max_norm is not None
        or case.scale_grad_by_freq
        or case.padding_idx is not None
        or case.per_sample_weights is not None
    ):
        raise Unsupported("no padding_idx, no max_norm, no scale_grad_by_freq and no per_sample_weights")
    if case.mode not in (None, "sum"):
        raise Unsupported("sums only")
    ids = case.ids.astype(np.uint32)
    if case.op == "embedding":
        return ids.reshape(-1, 1)
    if case.offsets is None:
        sizes = np.full(len(ids), ids.shape[1])
    else:
        sizes = np.diff(case.offsets if case.include_last_offset else np.append(case.offsets, ids.size))
    if len(set(sizes.tolist())) > 1 or 0 in sizes:
        raise Unsupported("every id has equally many probes, and at least one")
    return ids.reshape(len(sizes), sizes[0] if sizes.size else 1)
