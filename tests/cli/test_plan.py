"""
`npbloom plan`: it prints what `npbloom.coding.plan` returns, for every option, within a terminal's
width.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import npbloom as nb
from npbloom.coding import plan

OPTIONS = {
    "--ratio 0.05": {"ratio": 0.05},
    "--memory 100MB": {"memory": 10**8},
    "--hashes 5": {"num_hashes": 5},
    "--combine concat": {"combine": "concat"},
    "--optimizer none": {"optimizer": None},
    "--optimizer rowwise_adagrad": {"optimizer": "rowwise_adagrad"},
    "--dtype float64": {"dtype": np.float64},
    "--no-padding": {"padding_idx": None},
    "--own-padding-row": {"share_padding_row": False},
}


@pytest.mark.parametrize("words", ["", *OPTIONS])
def test_the_object_is_the_plan_and_no_option_is_ignored(run, words):
    done = run("plan", "1000000", "64", "--json", *words.split())
    assert (done.status, done.err) == (0, "")
    found, expected = json.loads(done.out), plan(10**6, 64, **OPTIONS.get(words, {}))
    assert (found["command"], found["version"]) == ("plan", nb.__version__)
    for name in (*plan(10, 4).__dict__, "total_bytes"):
        assert found[name] == getattr(expected, name), name
    for line in found["hashes"]:
        options = {**OPTIONS.get(words, {}), "num_hashes": line["num_hash_functions"]}
        assert line["share_all"] == plan(10**6, 64, **options).share_all
    shown = [line["num_hash_functions"] for line in found["hashes"]]
    assert expected.num_hash_functions in shown
    if words:
        assert found != json.loads(run("plan", "1000000", "64", "--json").out)


@pytest.mark.parametrize("words", ["", *OPTIONS])
def test_what_a_person_reads_fits_a_terminal(run, words):
    out = run("plan", "1000000", "64", *words.split()).out
    expected = plan(10**6, 64, **OPTIONS.get(words, {}))
    lines = out.splitlines()
    assert max(map(len, lines)) < 80
    assert f"{expected.num_rows:,} rows" in out
    (suggested,) = [line for line in lines if re.match(r"\d+ \*", line)]
    assert suggested.startswith(f"{expected.suggested_hashes} *")


@pytest.mark.parametrize("words", ["", *OPTIONS])
def test_the_suggested_layer_can_be_made(run, words):
    out = run("plan", "10000", "64", *words.replace("100MB", "1MB").split()).out
    call = re.search(r"^  (BloomEmbedding\(.*\))$", out, flags=re.M)[1]
    layer = eval(call, {"BloomEmbedding": nb.BloomEmbedding})
    expected = plan(10**4, 64, **{**OPTIONS.get(words, {}), **({"memory": 10**6} if "memory" in words else {})})
    assert layer.num_hash_functions == expected.suggested_hashes
    rows = expected.num_rows if words != "--hashes 5" else plan(10**4, 64).num_rows
    assert layer.compressed_num_embeddings == rows
    assert layer.combine == expected.combine
    assert (layer.padding_idx is None) == (words == "--no-padding")
    assert layer.share_padding_row == (words != "--own-padding-row")


def test_a_table_that_need_not_be_compressed(run):
    assert "A row for each id fits: ScaledEmbedding(1000, 8)." in run("plan", "1000", "8", "--memory", "1 GB").out


def test_many_hashes_whose_state_leaves_no_room(run):
    words = ("--memory", "48", "--combine", "concat", "--optimizer", "rowwise_adagrad", "--json")
    found = json.loads(run("plan", "1000", "4", *words).out)
    assert [line["num_hash_functions"] for line in found["hashes"]] == [1, 2]


def test_precomputed_hashes_are_retired(run):
    done, plain = run("plan", "1000000", "64", "--precompute-hashes"), run("plan", "1000000", "64")
    assert (done.status, done.out) == (0, plain.out)
    assert done.err == "npbloom plan: --precompute-hashes has no effect any more and will be removed.\n"
    assert "--precompute-hashes" not in run("plan", "--help").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["10", "4", "--ratio", "0.01"], "`ratio` 0.01 of 10 ids leaves 0 rows"),
        (["10", "4", "--memory", "lots"], "`memory` must be bytes, or words such as '500 MB' or '2GiB', not 'lots'."),
        (["1000000", "64", "--memory", "1kB"], "`memory` must be at least 1536 bytes for 2 rows"),
        (["10", "4", "--memory", "1MB", "--ratio", "0.5"], "argument --ratio: not allowed with argument --memory"),
        (["10", "4", "--ratio", "inf"], "argument --ratio: must be a number of at least 0, not 'inf'"),
        (["10", "4", "--hashes", "25"], "argument --hashes: must be at most 24, not '25'"),
        (["100", "4", "--hashes", "3", "--combine", "concat"], "`num_hashes` must divide the dimension, 4, for 'concat', not 3."),
        (["0", "4"], "argument IDS: must be a whole number of at least 1, not '0'"),
        (["10"], "the following arguments are required: DIM"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(run, words, sentence):
    done = run("plan", *words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("npbloom")
    assert sentence in done.err
