"""
The study of smaller tables: the share of the score that each method keeps, beside fewer columns and
other alternatives.
"""
