"""Grammar of `npbloom verify` and `npbloom vectors`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from npbloom.cli import _oracle

EPILOG = "Exit status: 0 everything holds; 1 something does not; 2 wrong use, with one line on stderr; 130 interrupted."
SETS = "some of hash, lookup, bag, bloom, optim, errors, combine, separated by commas (default: all)"


def add_verify(commands: argparse._SubParsersAction[Any], seed: Callable[[str], int]) -> None:
    """Add `npbloom verify`."""
    about = "find out whether somebody's embedding kernels compute what they should, and if not, where"
    parser = commands.add_parser("verify", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG)
    parser.add_argument(
        "backend",
        nargs="?",
        metavar="MODULE:BACKEND",
        help="a subclass of npbloom.conformance.Backend, or an object of one; modules of the current directory are found, too",
    )
    profiles = "how many cases: seconds, minutes, an hour (default: %(default)s)"
    parser.add_argument("--profile", choices=("fast", "full", "nightly"), default="fast", help=profiles)
    only = "checks to run, as in 'bag.*', several separated by commas (default: all)"
    parser.add_argument("--only", metavar="PATTERN", help=only)
    xfails = "expected failures: a line each, the check's name and the reason, or a JSON object of them (default: none)"
    parser.add_argument("--xfails", metavar="FILE", help=xfails)
    parser.add_argument("--json", metavar="OUT", help="write the report here as JSON, - for the output (default: a table only)")
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="the same seed gives the same cases (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="name the checks and what they assert (default: run them)")
    parser.set_defaults(run=_oracle.verify)


def add_vectors(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `npbloom vectors`."""
    about = "golden vectors: cases with their right answers, for kernels in any language"
    parser = commands.add_parser("vectors", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    about = "write the vectors, a JSON file for each set"
    export = actions.add_parser("export", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG)
    export.add_argument("directory", metavar="DIR", help="where to; made if it is not there")
    export.add_argument("--sets", metavar="SETS", help=SETS)
    bulk = "put the arrays in a safetensors file beside each JSON file (default: inline)"
    export.add_argument("--safetensors", action="store_true", help=bulk)
    export.set_defaults(run=_oracle.vectors_export)

    about = "make the vectors again, and name every byte that is not the same"
    check = actions.add_parser("check", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG)
    where = "files to compare with (default: only the digests that npbloom knows)"
    check.add_argument("directory", nargs="?", metavar="DIR", help=where)
    check.add_argument("--sets", metavar="SETS", help=SETS.replace("all", "those in DIR, or all"))
    check.set_defaults(run=_oracle.vectors_check)

    about = "compare what a program answered with the vectors"
    judge = actions.add_parser("judge", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=EPILOG)
    judge.add_argument("directory", metavar="DIR", help="what `npbloom vectors export` wrote")
    judge.add_argument("results", metavar="RESULTS", help="a JSON object a line, {tcId, outputs} each; - for the input")
    judge.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: a table)")
    judge.set_defaults(run=_oracle.vectors_judge)
