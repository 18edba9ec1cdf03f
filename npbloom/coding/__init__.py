"""
Coding: rows and bits for ids, and plans for tables of hashed ids.

`BloomCoder` is the coder of Serrà and Karatzoglou: it encodes sets of items in few bits, and ranks
items by a distribution over these bits. `plan` computes what to expect of hashed ids before a table
is made. `learned_hash_tables` gives shared rows to ids that are met together, which keeps most of
the score. `frequent_hash_table` gives the most frequent ids rows of their own.
"""

from npbloom.coding._coder import BloomCoder
from npbloom.coding._codes import LearnedCodes
from npbloom.coding._frequent import frequent_hash_table
from npbloom.coding._learned import learn_codes, learned_hash_tables
from npbloom.coding._plan import Plan, plan

__all__ = ["BloomCoder", "LearnedCodes", "Plan", "frequent_hash_table", "learn_codes", "learned_hash_tables", "plan"]
