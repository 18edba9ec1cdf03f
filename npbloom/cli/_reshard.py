"""`npbloom reshard`: a checkpoint of sharded tables in the parts of another number of ranks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from npbloom.cli._errors import refusing
from npbloom.distributed import reshard


def add_reshard(commands: argparse._SubParsersAction[Any], epilog: str, count: Callable[[str], int]) -> None:
    """Add `npbloom reshard`; the caller passes the reader of whole numbers."""
    about = "write a checkpoint of sharded tables again, in the parts of another number of ranks"
    parser = commands.add_parser("reshard", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=epilog)
    parser.add_argument("old", metavar="OLD", help="folder that npbloom.checkpoint.save wrote")
    parser.add_argument("new", metavar="NEW", help="folder to write; it must not exist")
    parser.add_argument("--ranks", metavar="P", type=count, required=True, help="number of parts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder, and say so."""
    with refusing(arguments.old, 1):
        reshard(arguments.old, arguments.new, arguments.ranks)
    parts = f"{arguments.ranks} part{'s' * (arguments.ranks != 1)}"
    print(f"{arguments.old} is written again in {parts}, in {arguments.new}.")
    return 0
