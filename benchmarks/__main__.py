"""`python -m benchmarks`: the environment is cleaned before NumPy is imported, which everything below does."""

from __future__ import annotations

import sys

from benchmarks import environment

if __name__ == "__main__":
    environment.clean(sys.argv[1:])

    from benchmarks.command import main

    sys.exit(main(sys.argv[1:]))
