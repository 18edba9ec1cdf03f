"""The command line's grammar: commands, options, their defaults, and sentences for values that will not do."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

import npbloom
from npbloom.cli import _commands, _oracle_arguments, _plan
from npbloom.cli._compare import EXPLICIT_LOSSES, IMPLICIT_LOSSES, OPTIMIZERS, Settings, Tables

DESCRIPTION = "Bloom embeddings for recommender models. Without a command: `npbloom demo`, a first run on generated data."
EPILOG = "Exit status: 0 done; 1 it did not work out; 2 wrong use, with one line on stderr; 130 interrupted."


class Parser(argparse.ArgumentParser):
    """One line for an error, instead of the usage and a line."""

    def error(self, message: str) -> NoReturn:
        """Exit status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _integer(least: int) -> Callable[[str], int]:
    """A reader of whole numbers."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return number

    return read


def _number(text: str) -> float:
    """A finite number of at least 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {text!r}")
    return number


def _positive(text: str) -> float:
    """A finite number above 0."""
    number = _number(text)
    if number == 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number


def _hashes(text: str) -> int:
    """1 to 24."""
    number = _integer(1)(text)
    if number > 24:
        raise argparse.ArgumentTypeError(f"must be at most 24, not {number}")
    return number


def _sentence(words: str) -> str:
    """Words of a list as a sentence of their own."""
    return f"{words[0].upper()}{words[1:]}."


def _report_options(parser: argparse.ArgumentParser) -> None:
    """What both comparisons take."""
    parser.add_argument(
        "--seed", type=_integer(0), default=0, metavar="S", help="seed of everything random (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: a table)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the comparison; needs the extra `plots` (default: no picture)")


def _add_demo(commands: argparse._SubParsersAction[Parser]) -> None:
    """`npbloom demo`."""
    about = "train one model with full tables and with Bloom tables of several sizes, on generated interactions"
    parser = commands.add_parser("demo", help=about, description=_sentence(about), epilog=EPILOG)
    _report_options(parser)
    parser.set_defaults(run=_commands.demo)


def _add_fit(commands: argparse._SubParsersAction[Parser]) -> None:
    """`npbloom fit`."""
    about = "train a model on a file of ratings, with full tables and with Bloom tables, and compare them"
    parser = commands.add_parser("fit", help=about, description=_sentence(about), epilog=EPILOG)
    parser.add_argument(
        "ratings",
        metavar="RATINGS",
        help="a text file, a line an interaction: user, item and, if known, rating and time, with or without a header; or "
        "movielens:100k or movielens:1m, which are fetched unless the folder that NPBLOOM_DATA_DIR names has them",
    )
    _table_options(parser)
    _training_options(parser, Settings())
    parser.add_argument("--out", metavar="MODEL", help="save the Bloom model here, for `npbloom recommend` (default: not saved)")
    _report_options(parser)
    parser.set_defaults(run=_commands.fit)


def _table_options(parser: argparse.ArgumentParser) -> None:
    """What the Bloom tables are like."""
    ratio = "rows of a Bloom table for each id (default: %(default)s)"
    parser.add_argument("--compression", type=_positive, default=0.2, metavar="R", help=ratio)
    hashes = "rows an id reads, 1 to 24 (default: %(default)s)"
    parser.add_argument("--hashes", type=_hashes, default=Tables().hashes, metavar="K", help=hashes)
    tables = "which tables become Bloom tables (default: %(default)s)"
    parser.add_argument("--tables", choices=("items", "users", "both"), default="items", help=tables)


def _training_options(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    """What all compared models have in common."""

    def add(option: str, metavar: str, about: str, **how: Any) -> None:
        default = getattr(defaults, option.replace("-", "_"))
        parser.add_argument(f"--{option}", metavar=metavar, default=default, help=f"{about} (default: %(default)s)", **how)

    losses = f"to rank: {', '.join(IMPLICIT_LOSSES)}; to predict ratings: {', '.join(EXPLICIT_LOSSES)}"
    add("dim", "D", "length of a vector", type=_integer(1))
    add("loss", "L", losses, choices=(*IMPLICIT_LOSSES, *EXPLICIT_LOSSES))
    add("optimizer", "O", ", ".join(OPTIMIZERS), choices=OPTIMIZERS)
    add("learning-rate", "LR", "of the optimizer", type=_positive)
    add("batch-size", "B", "interactions a step", type=_integer(1))
    add("l2", "W", "weight decay", type=_number)
    add("epochs", "E", "times through the training data", type=_integer(1))


def _add_recommend(commands: argparse._SubParsersAction[Parser]) -> None:
    """`npbloom recommend`."""
    about = "name the items a saved model ranks highest for a user, without those it was trained on"
    parser = commands.add_parser("recommend", help=about, description=_sentence(about), epilog=EPILOG)
    parser.add_argument("model", metavar="MODEL", help="a file that `npbloom fit --out` wrote")
    parser.add_argument("user", metavar="USER", help="the user, as in the ratings file")
    parser.add_argument("-n", "--number", type=_integer(1), default=10, metavar="N", help="how many items (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: a table)")
    parser.set_defaults(run=_commands.recommend)


def parser() -> Parser:
    """The whole grammar."""
    top = Parser(prog="npbloom", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"npbloom {npbloom.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_fit(commands)
    _add_recommend(commands)
    _plan.add_plan(commands, EPILOG, _integer(1), _positive, _hashes)
    _oracle_arguments.add_verify(commands, _integer(0))
    _oracle_arguments.add_vectors(commands)
    return top
