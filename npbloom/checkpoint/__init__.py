"""
Layers and optimizers in safetensors files, never pickle.

A layer that is saved as ``items`` gives the tensor ``items.weight``. If it has a table of hashes
that the caller gave, it also gives ``items.hash_table``. Its state in an optimizer gives
``optimizer.items.sum`` and the like, under torch's names. Classes, options, hyperparameters and
their order are JSON under the key ``npbloom`` of the file's metadata, beside the caller's own keys
and two digests.
"""

from npbloom.checkpoint._checkpoint import Checkpoint, load, save, verify

__all__ = ["Checkpoint", "load", "save", "verify"]
