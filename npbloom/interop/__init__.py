"""
Exchange of tables and optimizer states with torch, Spotlight and Thinc, array by array.

None of these packages is imported. Any object that NumPy can view is an array, also a tensor of
torch.
"""

from npbloom.interop._spotlight import from_spotlight, to_spotlight
from npbloom.interop._thinc import from_thinc, thinc_hash_rows, to_thinc
from npbloom.interop._torch import from_torch, to_torch
from npbloom.interop._torch_optimizers import optimizer_from_torch, optimizer_to_torch

__all__ = [
    "from_spotlight",
    "from_thinc",
    "from_torch",
    "optimizer_from_torch",
    "optimizer_to_torch",
    "thinc_hash_rows",
    "to_spotlight",
    "to_thinc",
    "to_torch",
]
