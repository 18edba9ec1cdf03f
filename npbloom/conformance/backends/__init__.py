"""Adapters that ship with the kit; each needs its package only when its name is imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npbloom.conformance.backends.fbgemm_cpu import FbgemmCPU
    from npbloom.conformance.backends.jax_cpu import Jax
    from npbloom.conformance.backends.keras_embedding import Keras
    from npbloom.conformance.backends.npbloom import NpBloom
    from npbloom.conformance.backends.thinc_hash_embed import ThincHashEmbed
    from npbloom.conformance.backends.torch_cpu import TorchCPU, TorchSparseAdam

__all__ = ["FbgemmCPU", "Jax", "Keras", "NpBloom", "ThincHashEmbed", "TorchCPU", "TorchSparseAdam"]

_MODULES = {
    "FbgemmCPU": "fbgemm_cpu",
    "Jax": "jax_cpu",
    "Keras": "keras_embedding",
    "NpBloom": "npbloom",
    "ThincHashEmbed": "thinc_hash_embed",
    "TorchCPU": "torch_cpu",
    "TorchSparseAdam": "torch_cpu",
}


def __getattr__(name: str) -> Any:
    """Return the adapter of that name; raise an ImportError that names its package if missing."""
    if name not in _MODULES:
        raise AttributeError(f"There is no adapter {name!r}; there are {', '.join(__all__)}.")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the adapters."""
    return __all__
