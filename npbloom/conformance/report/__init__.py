"""Results of a run: a table, JSON, and for each failure a program that shows it."""
