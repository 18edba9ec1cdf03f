"""Keras' `Embedding` layer on JAX or PyTorch, as the environment variable KERAS_BACKEND says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, ClassVar

from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import Case, Outputs

NEEDS = "The adapter Keras needs Keras on JAX or PyTorch: pip install keras jax, and KERAS_BACKEND=jax in the environment"
try:
    if os.environ.setdefault("KERAS_BACKEND", "jax") not in ("jax", "torch"):
        raise ImportError(f"not {os.environ['KERAS_BACKEND']!r}")
    import keras
except ImportError as error:
    raise ImportError(NEEDS) from error

BACKEND = keras.backend.backend()
# Keras was imported earlier, or its configuration file names another backend.
if BACKEND not in ("jax", "torch"):
    raise ImportError(NEEDS)


class Keras(Backend):
    """
    The layer `keras.layers.Embedding`, differentiated by its backend.

    Parameters
    ----------
    profile : dict of str to dict, optional
        Dtypes and accumulators, by default float32, which is Keras' own default.
    """

    name = f"keras-{BACKEND}"
    version = keras.__version__
    policy: ClassVar[dict[str, str]] = {"out_of_bounds": "undefined"}
    in_process = BACKEND == "jax"  # JAX has threads that do not survive a fork

    def __init__(self, *, profile: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._given = profile
        self.__dict__.update(profile={dtype: dict(sums) for dtype, sums in (profile or self.profile).items()})

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        return f"Keras({f'profile={self._given!r}' if self._given else ''})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            ``embedding`` without any option.

        Returns
        -------
        dict of str to array
            ``out`` and ``grad_weight``.

        Raises
        ------
        Unsupported
            Everything else.
        """
        if case.op != "embedding":
            raise Unsupported(f"Keras has no {case.op!r}, and its optimizers move every row of a table")
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        if case.padding_idx is not None or case.max_norm is not None or case.scale_grad_by_freq:
            raise Unsupported("Keras' Embedding has no padding_idx, no max_norm and no scale_grad_by_freq")
        return _on_jax(case) if BACKEND == "jax" else _on_torch(case)


@cache
def _layer(rows: int, width: int, dtype: str) -> Any:
    """Return a layer of that shape."""
    layer = keras.layers.Embedding(rows, width, dtype=dtype)
    layer.build()
    return layer


def _on_torch(case: Case) -> Outputs:
    """Run forward and backward of the layer's own variable."""
    from npbloom.conformance.backends._torch import array, integers, tensor, threads

    with threads(1):
        layer = _layer(*case.weight.shape, case.dtype)
        layer.embeddings.assign(tensor(case.weight, case.dtype))
        weight = layer.embeddings.value
        weight.grad = None
        out = layer(integers(case.ids))
        out.backward(tensor(case.grad_out, case.dtype))
        return {"out": array(out), "grad_weight": array(weight.grad)}


def _on_jax(case: Case) -> Outputs:
    """Run the layer as a function of its table; padded, since XLA compiles for every shape."""
    import jax

    from npbloom.conformance.backends._jax import array, bucket, given, padded

    (height, width), size = case.weight.shape, case.ids.size
    with jax.enable_x64(case.dtype == "float64"):
        weight = given(padded(case.weight, bucket(height), bucket(width)), case.dtype)
        grad_out = given(padded(case.grad_out.reshape(-1, width), bucket(size), bucket(width)), case.dtype)
        function = _function(*weight.shape, case.dtype)
        out, grad = function(weight, padded(case.ids.ravel(), bucket(size)), grad_out)
        return {"out": array(out)[:size, :width].reshape(case.grad_out.shape), "grad_weight": array(grad)[:height, :width]}


@lru_cache(maxsize=256)
def _function(rows: int, width: int, dtype: str) -> Callable[..., Any]:
    """Return a compiled forward and backward of a layer of that shape."""
    import jax

    layer = _layer(rows, width, dtype)

    def forward_backward(weight: Any, ids: Any, grad_out: Any) -> tuple[Any, Any]:
        out, backward = jax.vjp(lambda table: layer.stateless_call([table], [], ids)[0], weight)
        return out, backward(grad_out)[0]

    compiled: Callable[..., Any] = jax.jit(forward_backward)
    return compiled
