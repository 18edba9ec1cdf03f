"""Checkpoints of sharded tables: other numbers of ranks, kills, damage, resharding."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import npbloom as nb
from npbloom.cli import main
from npbloom.distributed import reshard
from tests.support._examples import repeats
from tests.support._ranks import output_of, run_ranks

STEPS = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a folder, and the digest, of training on two ranks that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished") / "model"
    return folder, output_of(run_ranks(2, "training", folder, "Adam", STEPS))


def contents(folder):
    """Return the tables and states of a checkpoint as bytes."""
    found = nb.checkpoint.load(folder)
    arrays = [layer.weight for layer in found.layers.values()]
    arrays += [array for layer in found.optimizer.layers for array in found.optimizer.state(layer).values()]
    return [array.tobytes() for array in arrays], found.metadata


def test_training_goes_on_with_another_number_of_ranks(finished, tmp_path):
    output_of(run_ranks(3, "training", tmp_path / "model", "Adam", 1))
    output_of(run_ranks(1, "training", tmp_path / "model", "Adam", 2))
    assert output_of(run_ranks(5, "training", tmp_path / "model", "Adam", STEPS)) == finished[1]
    assert contents(tmp_path / "model") == contents(finished[0])


def test_state_of_slices_goes_on_with_another_number_of_ranks(tmp_path):
    whole = output_of(run_ranks(1, "training", tmp_path / "whole", "RowWiseAdagrad", 2))
    output_of(run_ranks(5, "training", tmp_path / "model", "RowWiseAdagrad", 1))
    assert output_of(run_ranks(2, "training", tmp_path / "model", "RowWiseAdagrad", 2)) == whole


CALLS = 49  # calls of MPI that each rank makes in three steps and as many saves


def kills():
    """Return each rank with each call to die before; by day a few of them."""
    found = []
    for rank in range(2):
        for call in range(1, CALLS + 1):
            by_day = (rank, call) in ((0, 12), (1, 18), (0, 33), (1, CALLS))
            found.append(pytest.param(rank, call, marks=() if by_day else pytest.mark.nightly))
    return found


@pytest.mark.parametrize(("rank", "call"), kills())
def test_a_killed_rank_ends_the_job_and_leaves_a_whole_checkpoint(finished, tmp_path, rank, call):
    folder = tmp_path / "model"
    done = run_ranks(2, "training", folder, "Adam", STEPS, rank, call, seconds=60)
    assert done.returncode != 0
    if (folder / "manifest.json").exists():
        nb.checkpoint.verify(folder)
    assert output_of(run_ranks(2, "training", folder, "Adam", STEPS)) == finished[1]
    assert len(list(folder.iterdir())) == 3  # nothing is left of the killed save


@pytest.mark.parametrize("ranks", [1, 4, 9])
def test_reshard_keeps_all_bits(finished, tmp_path, ranks, capsys):
    new = tmp_path / "new"
    assert main(["reshard", str(finished[0]), str(new), "--ranks", str(ranks)]) == 0
    assert "written again in" in capsys.readouterr().out
    assert len(list(new.iterdir())) == ranks + 1
    nb.checkpoint.verify(new)
    assert contents(new) == contents(finished[0])
    assert main(["reshard", str(finished[0]), str(new), "--ranks", "2"]) == 1
    assert "file exists" in capsys.readouterr().err


def test_a_resharded_folder_is_trained_on(finished, tmp_path):
    output_of(run_ranks(2, "training", tmp_path / "model", "Adam", 2))
    reshard(tmp_path / "model", tmp_path / "new", 3)
    assert output_of(run_ranks(3, "training", tmp_path / "new", "Adam", STEPS)) == finished[1]


def test_damage_is_refused(finished, tmp_path):
    parts = sorted(path.name for path in finished[0].glob("part-*"))
    for number in range(repeats(60)):
        folder = shutil.copytree(finished[0], tmp_path / "damaged", dirs_exist_ok=True)
        source = np.random.default_rng(number)
        path = folder / [*parts, "manifest.json"][number % 3]
        data = bytearray(path.read_bytes())
        at = int(source.integers(len(data)))
        data[at] ^= 1 << int(source.integers(8))
        path.write_bytes(data if number % 4 else data[:at])
        for read in (nb.checkpoint.load, nb.checkpoint.verify):
            with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom"):
                read(folder)


def test_parts_of_two_checkpoints_do_not_mix(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "mixed")
    one, two = sorted(folder.glob("part-*"))
    shutil.copy(one, two)
    with pytest.raises(ValueError, match="its header's SHA-256 differs"):
        nb.checkpoint.load(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["parts"].pop()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="its manifest is not the one that was written"):
        nb.checkpoint.load(folder)


def test_a_folder_is_not_mapped(finished):
    with pytest.raises(ValueError, match="`mmap` must be False for a folder"):
        nb.checkpoint.load(finished[0], mmap=True)


def test_a_plain_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(IsADirectoryError):
        nb.checkpoint.load(tmp_path)
