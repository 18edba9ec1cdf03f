"""
Measurements of npbloom beside its peers.

One command, `python -m benchmarks`, measures and writes JSON, tables and plots.
"""
