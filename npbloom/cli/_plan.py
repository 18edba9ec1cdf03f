"""Command `npbloom plan`: expectations for a Bloom table before it is made."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import npbloom
from npbloom.cli._errors import refusing
from npbloom.coding import Plan, plan
from npbloom.ops._bloom import COMBINE
from npbloom.optimizers import BY_NAME

SHOWN = (1, 2, 3, 4, 6, 8)  # numbers of hashes side by side
WIDTH = 79
DTYPES = {4: "float32", 8: "float64"}


def add_plan(
    commands: argparse._SubParsersAction[Any],
    epilog: str,
    count: Callable[[str], int],
    number: Callable[[str], float],
    hashes: Callable[[str], int],
) -> None:
    """
    Add `npbloom plan`.

    The caller passes the readers of whole numbers, of numbers, and of numbers of hashes.
    """
    about = "say what to expect of a Bloom table before it is made: memory, and ids that get in each other's way"
    parser = commands.add_parser("plan", help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=epilog)
    parser.add_argument("ids", metavar="IDS", type=count, help="how many ids there are, padding included")
    parser.add_argument("dim", metavar="DIM", type=count, help="length of a vector")
    size = parser.add_mutually_exclusive_group()
    memory = "what table and optimizer may take together, such as '500 MB' or 2GiB (default: as the ratio says)"
    size.add_argument("--memory", metavar="BYTES", help=memory)
    size.add_argument("--ratio", metavar="R", type=number, help="rows of the table for each id (default: 0.2)")
    parser.add_argument("--hashes", metavar="K", type=hashes, help="rows an id reads, 1 to 24 (default: what is suggested)")
    combine = "how they make a vector (default: %(default)s)"
    parser.add_argument("--combine", choices=COMBINE, default="sum", help=combine)
    state = "whose state takes memory (default: %(default)s)"
    parser.add_argument("--optimizer", choices=(*BY_NAME, "none"), default="adam", help=state)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of the table (default: %(default)s)")
    parser.add_argument("--no-padding", action="store_true", help="no id is padding (default: one is, and row 0 is reserved)")
    own = "hash no other id to the row of padding (default: as in Spotlight, some are)"
    parser.add_argument("--own-padding-row", action="store_true", help=own)
    parser.add_argument("--precompute-hashes", action="store_true", help=argparse.SUPPRESS)  # retired
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else (default: tables)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a plan, and compare it with other numbers of hashes."""
    if arguments.precompute_hashes:
        print("npbloom plan: --precompute-hashes has no effect any more and will be removed.", file=sys.stderr)
    options = {
        "ratio": arguments.ratio,
        "memory": arguments.memory,
        "combine": arguments.combine,
        "optimizer": None if arguments.optimizer == "none" else arguments.optimizer,
        "dtype": arguments.dtype,
        "padding_idx": None if arguments.no_padding else 0,
        "share_padding_row": not arguments.own_padding_row,
    }
    with refusing():
        chosen = plan(arguments.ids, arguments.dim, num_hashes=arguments.hashes, **options)
    fits = [k for k in sorted({*SHOWN, chosen.num_hash_functions}) if arguments.combine != "concat" or arguments.dim % k == 0]
    others = []
    for k in fits:
        try:
            others.append(plan(arguments.ids, arguments.dim, num_hashes=k, **options))
        except ValueError:  # row-wise state of so many slices leaves no memory for a table
            continue
    if arguments.json:
        print(
            json.dumps(
                {"command": "plan", "version": npbloom.__version__, **_object(chosen), "hashes": list(map(_object, others))}
            )
        )
        return 0
    print(_head(chosen, arguments))
    print(_costs(chosen, arguments))
    print(_hashes(chosen, others))
    print(_advice(chosen, arguments))
    return 0


def _object(one: Plan) -> dict[str, Any]:
    """Return a plan as an object, for JSON."""
    return {**asdict(one), "total_bytes": one.total_bytes}


# ---- words ---------------------------------------------------------------------------------------


def _head(chosen: Plan, arguments: argparse.Namespace) -> str:
    """Return a line on what is planned."""
    padding = "no padding" if arguments.no_padding else "one of them padding"
    state = "no optimizer" if arguments.optimizer == "none" else arguments.optimizer
    combine = {"sum": "the sum", "mean": "the mean", "concat": "slices"}[chosen.combine]
    rows = "1 row" if chosen.num_hash_functions == 1 else f"{chosen.num_hash_functions} rows"
    vectors = f"vectors of {chosen.embedding_dim} {arguments.dtype} from {combine} of {rows}"
    return textwrap.fill(f"{chosen.num_ids:,} ids ({padding}), {vectors}, {state}.", WIDTH) + "\n"


def _costs(chosen: Plan, arguments: argparse.Namespace) -> str:
    """Return the bytes, line by line."""
    lines = [
        ("table", f"{chosen.num_rows:,} rows, {_ratio(chosen.compression_ratio)} for each id", chosen.table_bytes),
        ("optimizer", arguments.optimizer, chosen.state_bytes),
        (
            "together",
            f"{_percent(chosen.total_bytes / chosen.full_bytes)} of a full table's {_bytes(chosen.full_bytes)}",
            chosen.total_bytes,
        ),
    ]
    cells = [(name, what, _bytes(size)) for name, what, size in lines]
    return _aligned(("", "", "memory"), cells, left=2) + "\n"


def _hashes(chosen: Plan, others: Sequence[Plan]) -> str:
    """Return the effect of the number of hashes, line by line."""
    header = ("hashes", "rows", "ids a row", "same vector", "a probe twice", "lose a probe")
    cells = []
    for one in others:
        mark = " *" if one.num_hash_functions == chosen.suggested_hashes else ""
        shares = (one.share_all, one.repeat_probe, one.touch_padding)
        cells.append((f"{one.num_hash_functions}{mark}", f"{one.num_rows:,}", f"{one.ids_per_row:,.1f}", *map(_percent, shares)))
    meanings = (
        "same vector: share of ids all of whose probes another id has, too.",
        "a probe twice: share of ids two of whose probes meet in one row.",
        "lose a probe: share of ids one of whose probes is the row of padding.",
    )
    return "\n".join([_aligned(header, cells, left=1), "", *meanings]) + "\n"


def _advice(chosen: Plan, arguments: argparse.Namespace) -> str:
    """Return a recommendation."""
    if chosen.suggested_ratio >= 1 and arguments.memory is not None:
        layer = f"ScaledEmbedding({chosen.num_ids}, {chosen.embedding_dim})"
        return f"A row for each id fits: {layer}."
    k = chosen.suggested_hashes
    rows = round(chosen.suggested_ratio * chosen.num_ids)
    words = f"Suggested (*): {k} hash{'' if k == 1 else 'es'} at a ratio of {_ratio(chosen.suggested_ratio)}:"
    options = "" if arguments.combine == "sum" else f', combine="{arguments.combine}"'
    if arguments.no_padding:
        options += ", padding_idx=None"
    if arguments.own_padding_row:
        options += ", share_padding_row=False"
    sizes = f"{chosen.num_ids}, {chosen.embedding_dim}, "
    sizes += f"{chosen.suggested_ratio:g}, {k}" if arguments.memory is None else f"num_rows={rows}, num_hash_functions={k}"
    doubts = "That ids can be told apart says little about how well a model ranks: `npbloom fit` measures that on your data."
    return "\n".join([words, f"  BloomEmbedding({sizes}{options})", textwrap.fill(doubts, WIDTH)])


def _aligned(header: Sequence[str], cells: Sequence[Sequence[str]], left: int) -> str:
    """Return aligned columns under a header and a rule. The first `left` columns are flush left."""
    lines = [header, *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:]])


def _ratio(ratio: float) -> str:
    """Return a ratio in three digits."""
    return f"{ratio:.3g}"


def _percent(share: float) -> str:
    """Return a share in percent; 0% and 100% only if they are exact."""
    if share == 0 or share == 1:
        return f"{share:.0%}"
    if share < 0.001:
        return f"{100 * share:.1g}%" if share >= 1e-12 else "< 1e-10%"
    return f"{share:.1%}" if share < 0.9995 else "> 99.9%"


def _bytes(size: int) -> str:
    """Return bytes as text, with decimal units."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1)):
        if size >= 999.5 * 1000 ** (power - 1):
            return f"{size / 1000**power:,.4g} {unit}"
    return f"{size} B"
