"""
Layers and optimizers in safetensors files, never pickle.

A layer saved as ``items`` gives the tensor ``items.weight``, and ``items.hash_table`` if it has a
table of the caller's own; its state in an optimizer gives ``optimizer.items.sum`` and the like,
under torch's names. Everything else, classes, options, hyperparameters and their order, is JSON
under the key ``npbloom`` of the file's metadata, beside the caller's own keys and two digests.
"""

from npbloom.checkpoint._checkpoint import Checkpoint, load, save, verify

__all__ = ["Checkpoint", "load", "save", "verify"]
