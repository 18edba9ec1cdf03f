"""The paper's coder: sparse binary vectors over many items become shorter ones over few bits, and items are ranked by those.

`plan` says what to expect of hashed ids before anything is made.
"""

from npbloom.coding._coder import BloomCoder
from npbloom.coding._plan import Plan, plan

__all__ = ["BloomCoder", "Plan", "plan"]
