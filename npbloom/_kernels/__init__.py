"""Numba kernels: serial, nogil, over ``[lo, hi)``; no checks, no allocation, no defaults.

`ops` calls them.
"""
