"""The paper's coder: sparse binary vectors over many items become shorter ones over few bits, and items are ranked by those.

`plan` says what to expect of hashed ids before anything is made; `frequent_hash_table` gives rows of their own to the ids that
occur most, which keeps more of the score.
"""

from npbloom.coding._coder import BloomCoder
from npbloom.coding._frequent import frequent_hash_table
from npbloom.coding._plan import Plan, plan

__all__ = ["BloomCoder", "Plan", "frequent_hash_table", "plan"]
