"""``python -m npbloom``."""

import sys

from npbloom.cli import main

if __name__ == "__main__":
    sys.exit(main())
