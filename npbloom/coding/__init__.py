"""The paper's coder: sparse binary vectors over many items become shorter ones over few bits, and items are ranked by those."""

from npbloom.coding._coder import BloomCoder

__all__ = ["BloomCoder"]
