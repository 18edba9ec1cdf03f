"""
Entry point of `python -m benchmarks`.

It cleans the environment before anything imports NumPy.
"""

from __future__ import annotations

import sys

from benchmarks import environment

if __name__ == "__main__":
    environment.clean(sys.argv[1:])

    from benchmarks.command import main

    sys.exit(main(sys.argv[1:]))
