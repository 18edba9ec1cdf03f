"""
The study of accuracy at compression: the share of the full table's score that each method keeps,
and its cost in time.
"""
