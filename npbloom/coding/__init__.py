"""The paper's coder: sparse binary vectors over many items become shorter ones over few bits, and items are ranked by those.

`plan` says what to expect of hashed ids before anything is made. `learned_hash_tables` lets those ids share rows that are met by
the same, which keeps most of the score; `frequent_hash_table` gives rows of their own to the ids that occur most.
"""

from npbloom.coding._coder import BloomCoder
from npbloom.coding._codes import LearnedCodes
from npbloom.coding._frequent import frequent_hash_table
from npbloom.coding._learned import learn_codes, learned_hash_tables
from npbloom.coding._plan import Plan, plan

__all__ = ["BloomCoder", "LearnedCodes", "Plan", "frequent_hash_table", "learn_codes", "learned_hash_tables", "plan"]
