"""Grammar of the command line: commands, options, defaults, and messages for wrong values."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import npbloom
from npbloom.cli import _commands, _oracle_arguments, _plan, _reshard
from npbloom.cli._methods import DEFAULT_METHODS, LEARNED_HASHES, METHODS
from npbloom.cli._settings import DEFAULT_HASHES, EXPLICIT_LOSSES, IMPLICIT_LOSSES, OPTIMIZERS, Settings, Tables

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

DESCRIPTION = "Bloom embeddings for recommender models. Without a command: `npbloom demo`, a first run on generated data."
EPILOG = "Exit status: 0 done; 1 it did not work out; 2 wrong use, with one line on stderr; 130 interrupted."
LARGEST = 1e9
MOST_IDS = 2**63


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write a message; unlike argparse, raise if nothing can be written."""
        (sys.stderr if file is None else file).write(message)


def _integer(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Return a reader of whole numbers."""

    def read(text: str) -> int:
        try:
            number = int(text.replace("_", "?"))  # only Python reads 1_000
        except ValueError:  # also for more than 4,300 digits
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {_short(text)}")
        if number > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, not {_short(text)}")
        return number

    return read


_hashes = _integer(1, 24)


def _number(text: str, most: float = LARGEST, words: str = "") -> float:
    """Return a number of at least 0 and at most `most`; `words` explain the limit."""
    try:
        number = float(text.replace("_", "?"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {_short(text)}")
    if number > most:
        raise argparse.ArgumentTypeError(f"must be at most {most:g}{words}, not {_short(text)}")
    return number


def _positive(text: str, most: float = LARGEST, words: str = "") -> float:
    """Return a finite number above 0."""
    number = _number(text, most, words)
    if number == 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {_short(text)}")
    return number


def _short(text: str) -> str:
    """Return a word in quotes, cut if it is long."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _ratio(text: str) -> float:
    """Return a number above 0 and at most 1."""
    return _positive(text, 1, ", a row for each id")


def _methods(text: str) -> list[str]:
    """Return names of methods, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METHODS:
            raise argparse.ArgumentTypeError(f"must be some of {','.join(METHODS)}, with commas between them, not {_short(name)}")
    return names


def _sentence(words: str) -> str:
    """Return words of a list as a sentence."""
    return f"{words[0].upper()}{words[1:]}."


def _report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both comparisons."""
    parser.add_argument(
        "--seed", type=_integer(0, 2**63 - 1), default=0, metavar="S", help="seed of everything random (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: a table)")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the comparison; needs the extra `plots` (default: no picture)")


def _add_demo(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add `npbloom demo`."""
    about = "train one model with full tables and with smaller ones of several kinds, on generated interactions"
    parser = commands.add_parser("demo", help=about, description=_sentence(about), epilog=EPILOG)
    _report_options(parser)
    parser.set_defaults(run=_commands.demo)


def _add_fit(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add `npbloom fit`."""
    about = "train a model on a file of ratings, with full tables and with smaller ones of several kinds, and compare them"
    parser = commands.add_parser("fit", help=about, description=_sentence(about), epilog=EPILOG)
    parser.add_argument(
        "ratings",
        metavar="RATINGS",
        help="a text file, a line an interaction: user, item and, if known, rating and time, with or without a header; or "
        "movielens:100k or movielens:1m, which are fetched unless the folder that NPBLOOM_DATA_DIR names has them",
    )
    _table_options(parser)
    _training_options(parser, Settings())
    _model_options(parser)
    _report_options(parser)
    parser.set_defaults(run=_commands.fit)


def _table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the smaller tables."""
    methods = (
        "ways to store vectors, with commas between them: full (a row for each id), narrow (the same with fewer columns, as "
        "many as the smaller tables have parameters for), learned (ids that are met by the same share rows), bloom (sums of "
        "hashed rows), concat (slices of hashed rows), frequent (rows of their own for the ids that occur most); "
        "popularity, or the mean rating, always comes last (default: %(default)s)"
    )
    default = ",".join(DEFAULT_METHODS)
    parser.add_argument("--methods", type=_methods, default=default, metavar="M,M", help=methods)
    ratio = "rows of a smaller table for each id, at most 1 (default: %(default)s)"
    parser.add_argument("--compression", type=_ratio, default=Tables().compression, metavar="R", help=ratio)
    hashes = (
        f"rows an id reads, 1 to 24; learned, concat and frequent need a --dim that it divides (default: {DEFAULT_HASHES}, "
        f"and {LEARNED_HASHES} for learned if it divides --dim: it keeps more, for codes of twice the size)"
    )
    parser.add_argument("--hashes", type=_hashes, default=None, metavar="K", help=hashes)
    tables = "which tables become smaller (default: %(default)s)"
    parser.add_argument("--tables", choices=("items", "users", "both"), default="items", help=tables)


def _training_options(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    """Add the options of training, which all compared models share."""

    def add(option: str, metavar: str, about: str, **how: Any) -> None:
        default = getattr(defaults, option.replace("-", "_"))
        words = "chosen for each method on a part of the training data" if default is None else "%(default)s"
        parser.add_argument(f"--{option}", metavar=metavar, default=default, help=f"{about} (default: {words})", **how)

    losses = (
        f"to rank: {', '.join(IMPLICIT_LOSSES)}; to predict ratings: {', '.join(EXPLICIT_LOSSES)}; logistic is for ratings of "
        "two values, and predicts the probability of the greater one"
    )
    add("dim", "D", "length of a vector", type=_integer(1, 2**16))
    add("loss", "L", losses, choices=(*IMPLICIT_LOSSES, *EXPLICIT_LOSSES))
    add("optimizer", "O", ", ".join(OPTIMIZERS), choices=OPTIMIZERS)
    add("learning-rate", "LR", "of the optimizer", type=_positive)
    add("batch-size", "B", "interactions a step", type=_integer(1))
    add("l2", "W", "weight decay", type=_number)
    add("epochs", "E", "times through the training data", type=_integer(1))
    split = (
        "the interactions that are held out: last, each user's last one (without times, the last line), or random: one of each "
        "user, and of ratings to be predicted a fifth (default: last to rank, random to predict ratings)"
    )
    parser.add_argument("--split", choices=("last", "random"), default=None, help=split)


def _model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the saved model."""
    out = "save a model here, trained anew on all data, for `npbloom recommend` (default: not saved)"
    parser.add_argument("--out", metavar="MODEL", help=out)
    keep = "with --out: the method whose model is saved (default: the best of those smaller than full tables)"
    parser.add_argument("--keep", metavar="METHOD", choices=tuple(METHODS), help=keep)


def _add_recommend(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add `npbloom recommend`."""
    about = "name the items a saved model ranks highest for a user, without those it was trained on"
    parser = commands.add_parser("recommend", help=about, description=_sentence(about), epilog=EPILOG)
    parser.add_argument("model", metavar="MODEL", help="a file that `npbloom fit --out` wrote")
    parser.add_argument("user", metavar="USER", help="the user, as in the ratings file")
    parser.add_argument("-n", "--number", type=_integer(1), default=10, metavar="N", help="how many items (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: a table)")
    parser.set_defaults(run=_commands.recommend)


def parser() -> Parser:
    """Return the parser of all commands."""
    top = Parser(prog="npbloom", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"npbloom {npbloom.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_fit(commands)
    _add_recommend(commands)
    _plan.add_plan(commands, EPILOG, _integer(1, MOST_IDS), _positive, _hashes)
    _reshard.add_reshard(commands, EPILOG, _integer(1))
    _oracle_arguments.add_verify(commands, _integer(0))
    _oracle_arguments.add_vectors(commands)
    return top
