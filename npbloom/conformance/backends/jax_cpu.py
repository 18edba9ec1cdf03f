"""JAX: `jnp.take`, `jax.ops.segment_sum` and `segment_max`, and their gradients by `jax.vjp`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ImportError("The adapter Jax needs JAX: pip install jax") from error

from npbloom.conformance.backends._jax import array, bucket, given, padded
from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import Case, Outputs


class Jax(Backend):
    """
    Lookups as JAX users write them, differentiated by JAX.

    They use `jnp.take`, and for bags `segment_sum` or `segment_max`.

    Parameters
    ----------
    profile : dict of str to dict, optional
        Dtypes and accumulators, by default float32, which is JAX's own default;
        `jax_cpu.ACCUMULATORS` has the others.

    Notes
    -----
    XLA compiles for every shape, so tables, ids and bags are padded to powers of four, as users do.
    Padding ids read row 0 into a bag that is dropped. The adapter sets empty bags to zero, since
    `segment_max` gives -inf.
    """

    name = "jax"
    version = jax.__version__
    policy: ClassVar[dict[str, str]] = {"out_of_bounds": "undefined", "max_tie": "any", "mean_weights": "any"}
    in_process = True  # JAX has threads that do not survive a fork

    def __init__(self, *, profile: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._given = profile
        self.__dict__.update(profile={dtype: dict(sums) for dtype, sums in (profile or self.profile).items()})

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        return f"Jax({f'profile={self._given!r}' if self._given else ''})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            ``embedding`` or ``bag`` without padding, max_norm and frequencies.

        Returns
        -------
        dict of str to array
            Gradients as ``grad_weight``.

        Raises
        ------
        Unsupported
            Everything else.
        """
        if case.op not in ("embedding", "bag"):
            raise Unsupported(f"JAX has no {case.op!r}: its optimizers are packages of their own")
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        if case.padding_idx is not None or case.max_norm is not None or case.scale_grad_by_freq:
            raise Unsupported("JAX has no padding_idx, no max_norm and no scale_grad_by_freq")
        with jax.enable_x64(case.dtype == "float64"):
            return _embedding(case) if case.op == "embedding" else _bag(case)


ACCUMULATORS: dict[str, dict[str, str]] = {
    dtype: {"forward": dtype, "backward": dtype} for dtype in ("float16", "bfloat16", "float32", "float64")
}


def _embedding(case: Case) -> Outputs:
    """Run a lookup of rows."""
    height, width = case.weight.shape
    ids, columns = bucket(case.ids.size), bucket(width)
    weight = given(padded(case.weight, bucket(height), columns), case.dtype)
    grad_out = given(padded(case.grad_out.reshape(-1, width), ids, columns), case.dtype)
    out, grad = _take(weight, padded(case.ids.ravel(), ids), grad_out)
    return {"out": array(out)[: case.ids.size, :width].reshape(case.grad_out.shape), "grad_weight": array(grad)[:height, :width]}


def _rows(weight: Any, ids: Any, grad_out: Any) -> tuple[Any, Any]:
    """Return the outputs of forward and backward."""
    out, backward = jax.vjp(lambda weight: jnp.take(weight, ids, axis=0), weight)
    return out, backward(grad_out)[0]


_take = jax.jit(_rows)


def _bag(case: Case) -> Outputs:
    """Run a lookup of bags."""
    (height, width), bags = case.weight.shape, len(case.grad_out)
    ids, columns, segments = bucket(case.ids.size), bucket(width), bucket(bags)
    sizes = np.full(bags, case.ids.shape[-1]) if case.offsets is None else _sizes(case)
    segment_ids = np.full(ids, segments)  # a bag out of range, which JAX drops
    segment_ids[: case.ids.size] = np.repeat(np.arange(bags), sizes)
    weight = given(padded(case.weight, bucket(height), columns), case.dtype)
    grad_out = given(padded(case.grad_out, segments, columns), case.dtype)
    weighted = case.per_sample_weights is not None
    factors = given(padded(case.per_sample_weights.ravel() if weighted else np.zeros(0, np.float32), ids), case.dtype)
    indices, counts = padded(case.ids.ravel(), ids), padded(sizes, segments)
    out, grad, grad_factors = _segments(weight, indices, segment_ids, counts, factors, grad_out, case.mode, weighted)
    outputs = {"out": array(out)[:bags, :width], "grad_weight": array(grad)[:height, :width]}
    if weighted:
        outputs["grad_per_sample_weights"] = array(grad_factors)[: case.ids.size].reshape(case.ids.shape)
    return outputs


def _sizes(case: Case) -> Any:
    """Return the number of entries of each bag."""
    return np.diff(case.offsets if case.include_last_offset else np.append(case.offsets, case.ids.size))


def _summed(
    weight: Any, ids: Any, segment_ids: Any, sizes: Any, factors: Any, grad_out: Any, mode: str, weighted: bool
) -> tuple[Any, Any, Any]:
    """Return the outputs of forward and backward."""
    bags = len(grad_out)

    def forward(weight: Any, factors: Any) -> Any:
        rows = jnp.take(weight, ids, axis=0)
        if weighted:
            rows = rows * factors[:, None]
        if mode == "max":
            return jnp.where(sizes[:, None] > 0, jax.ops.segment_max(rows, segment_ids, num_segments=bags), 0.0)
        out = jax.ops.segment_sum(rows, segment_ids, num_segments=bags)
        return out / jnp.maximum(sizes, 1)[:, None].astype(out.dtype) if mode == "mean" else out

    out, backward = jax.vjp(forward, weight, factors)
    return out, *backward(grad_out)


_segments = jax.jit(_summed, static_argnames=("mode", "weighted"))
