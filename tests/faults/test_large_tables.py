"""
Tables larger than memory: files of table and state, filled in blocks; a step touches its rows only.

The table has 96 MB here. `NPBLOOM_LARGE_TABLE_GB=12` asks for a real one, and
`NPBLOOM_LARGE_TABLE_DIR` for a disk with enough room.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.support._documents import ROOT, run_examples
from tests.support._layers import LAYERS, OPTIMIZERS, gradient, is_bag

GIGABYTES = float(os.environ.get("NPBLOOM_LARGE_TABLE_GB", "0.096"))
BATCH, STEPS = 512, 4
IDS = np.array([[1, 2, 2], [6, 0, 1]])

linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="this system does not say what is in memory")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the table."""
    return Path(os.environ.get("NPBLOOM_LARGE_TABLE_DIR", tmp_path)) / "large"


def mapped_like(array: np.ndarray, path: Path) -> np.ndarray:
    """Return a mapped file of zeros, of the same shape and dtype."""
    return np.lib.format.open_memmap(path, "w+", array.dtype, array.shape)


def train(optimizer: Any, layer: Any, times: int) -> None:
    """Run updates and a dense step."""
    for number in range(times):
        grad = gradient((2, 4) if is_bag(layer) else (2, 3, 4), layer.dtype) * (number + 1)
        optimizer.update(layer, IDS, grad)
    optimizer.step(layer, np.ones_like(layer.weight))


def bits(optimizer: Any, layer: Any) -> dict[str, bytes]:
    """Return the bytes of table and state."""
    return {"weight": layer.weight.tobytes(), **{name: array.tobytes() for name, array in optimizer.state(layer).items()}}


# ---- the same as in memory -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("name", LAYERS)
def test_training_in_files_gives_the_bits_of_training_in_memory(name: str, make: Any, dtype: Any, tmp_path: Path) -> None:
    options = {"ZeroEmbedding": {}, "ScaledEmbedding": {"padding_idx": 3}, "ScaledEmbeddingBag": {"padding_idx": 3}}.get(
        name, {"combine": "concat"}
    )
    layer = LAYERS[name](weight=None, rng=5, dtype=dtype, **options)
    optimizer = make([layer])
    table = mapped_like(layer.weight, tmp_path / "weight.npy")
    twin = LAYERS[name](weight=table, **options)
    twin.reset_parameters(rng=5)
    state = {key: mapped_like(array, tmp_path / f"{key}.npy") for key, array in optimizer.state(layer).items()}
    other = again(make, twin, state)
    other.reset_state(twin)
    assert bits(other, twin) == bits(optimizer, layer)
    assert all(other.state(twin)[key] is array for key, array in state.items())

    train(optimizer, layer, 2)
    train(other, twin, 2)
    assert bits(other, twin) == bits(optimizer, layer)
    for array in (table, *state.values()):
        array.flush()

    # Continue from the files.
    reopened = {key: np.load(tmp_path / f"{key}.npy", mmap_mode="r+") for key in state}
    third = LAYERS[name](weight=np.load(tmp_path / "weight.npy", mmap_mode="r+"), **options)
    last = again(make, third, reopened)
    assert bits(last, third) == bits(optimizer, layer)
    train(optimizer, layer, 1)
    train(last, third, 1)
    assert bits(last, third) == bits(optimizer, layer)


def again(make: Any, layer: Any, state: dict[str, np.ndarray]) -> Any:
    """Return the optimizer that `make` makes, on the caller's state."""
    plain = make([layer])
    settings = {name: getattr(plain, name) for name in plain.hyperparameters}
    return type(plain)([layer], **settings, state={layer: state})


def test_filling_draws_the_values_of_a_new_layer_again() -> None:
    for name, make in LAYERS.items():
        layer = make(weight=None, rng=1)
        first = layer.weight.copy()
        layer.weight[...] = 9
        layer.reset_parameters(rng=np.random.default_rng(1))
        np.testing.assert_array_equal(layer.weight, first)
        layer.reset_parameters()
        assert (layer.weight != first).any() == (name != "ZeroEmbedding")


def test_a_table_that_cannot_be_filled_is_left_alone() -> None:
    table = np.ones((7, 4), np.float32)
    layer = nb.ScaledEmbedding(7, 4, weight=table)
    with pytest.raises(ValueError, match="`rng`"):
        layer.reset_parameters(rng=-1)
    table.flags.writeable = False
    with pytest.raises(ValueError, match="`weight` must be writable to be filled"):
        layer.reset_parameters(rng=0)
    assert (table == 1).all()


# ---- state that does not fit ---------------------------------------------------------------------

GOOD: dict[str, Any] = {"sum": np.zeros((7, 4), np.float32), "step": np.zeros((), np.int64)}
closed = np.zeros((7, 4), np.float32)
closed.flags.writeable = False


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sum": None}, TypeError, "`state\\['sum'\\]` must be a NumPy array, not NoneType"),
        ({"sum": np.ma.zeros((7, 4), np.float32)}, TypeError, "not MaskedArray"),
        ({"sum": np.zeros((7, 4))}, ValueError, "must be float32, as the table is, not float64"),
        ({"sum": np.zeros((7, 4), ">f4")}, ValueError, "not >f4"),
        ({"sum": np.zeros((4, 7), np.float32)}, ValueError, "shape \\(7, 4\\), not \\(4, 7\\)"),
        ({"sum": np.zeros((7, 8), np.float32)[:, ::2]}, ValueError, "C-contiguous"),
        ({"sum": closed}, ValueError, "writable"),
        ({"step": np.zeros((), np.int32)}, ValueError, "`state\\['step'\\]` must be int64, not int32"),
        ({"step": np.zeros(1, np.int64)}, ValueError, "shape \\(\\), not \\(1,\\)"),
        ({"step": np.array(-1)}, ValueError, "at least 0, not -1"),
        ({"step": 3}, TypeError, "not int"),
        ({"exp_avg": closed}, ValueError, "must hold step, sum, not exp_avg, step, sum"),
    ],
)
def test_state_that_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    layer = nb.ScaledEmbedding(7, 4, rng=0)
    with pytest.raises(error, match=words):
        nb.Adagrad(layer, state={layer: {**GOOD, **change}})


def test_state_of_somebody_else_is_refused() -> None:
    layer, other = nb.ScaledEmbedding(7, 4, rng=0), nb.ScaledEmbedding(7, 4, rng=1)
    with pytest.raises(ValueError, match="of layers in `layers`"):
        nb.Adagrad(layer, state={other: GOOD})
    with pytest.raises(ValueError, match="must hold step, sum, not sum"):
        nb.Adagrad(layer, state={layer: {"sum": GOOD["sum"]}})
    for state in (GOOD["sum"], [layer]):
        with pytest.raises(TypeError, match="`state` must be a dict of layers"):
            nb.Adagrad(layer, state=state)
    with pytest.raises(TypeError, match="a dict of arrays for each layer"):
        nb.Adagrad(layer, state={layer: GOOD["sum"]})
    for taken in (layer.weight, other.weight):
        with pytest.raises(ValueError, match="it overlaps `weight`"):
            nb.Adagrad([layer, other], state={layer: {**GOOD, "sum": taken}})
    with pytest.raises(ValueError, match="it overlaps `state\\['sum'\\]`"):
        nb.RowWiseAdagrad([layer, other], state={one: {"sum": GOOD["sum"].reshape(-1)[:7]} for one in (layer, other)})
    assert not GOOD["sum"].any()


def test_layers_that_are_not_named_start_from_new_state() -> None:
    layer, other = nb.ScaledEmbedding(7, 4, rng=0), nb.ScaledEmbedding(7, 4, rng=1)
    given = {"sum": np.full((7, 4), 2, np.float32), "step": np.array(5)}
    optimizer = nb.Adagrad([layer, other], initial_accumulator_value=0.5, state={layer: given})
    assert (optimizer.state(layer)["sum"] == 2).all()  # unchanged
    assert optimizer.state(layer)["step"] == 5
    assert (optimizer.state(other)["sum"] == 0.5).all()


# ---- what is in memory ---------------------------------------------------------------------------


def advice(path: Path) -> set[str]:
    """Return the advice that the kernel has on the mappings of a file."""
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text("utf-8"), flags=re.MULTILINE)
    mine = [part for part in parts if part.partition("\n")[0].endswith(str(path))]
    assert mine, "no mapping"
    return set.intersection(*({*part.partition("VmFlags:")[2].split()} for part in mine))


@linux
def test_the_kernel_is_told_that_rows_are_read_here_and_there(tmp_path: Path) -> None:
    table = np.lib.format.open_memmap(tmp_path / "weight.npy", "w+", np.float32, (4096, 16))
    total = np.lib.format.open_memmap(tmp_path / "sum.npy", "w+", np.float32, (4096,))
    assert "rr" not in advice(tmp_path / "weight.npy")
    layer = nb.ScaledEmbedding(4096, 16, weight=table[:])  # a view does not hide the file
    assert "rr" in advice(tmp_path / "weight.npy")
    assert "rr" not in advice(tmp_path / "sum.npy")
    optimizer = nb.RowWiseAdagrad(layer, state={layer: {"sum": total}})
    assert "rr" in advice(tmp_path / "sum.npy")
    nb.checkpoint.save(tmp_path / "saved", {"items": layer}, optimizer)
    found = nb.checkpoint.load(tmp_path / "saved", mmap=True)
    parts = [found.layers["items"].weight, found.optimizer.state(found.layers["items"])["sum"]]  # type: ignore[union-attr]
    assert "rr" in advice(tmp_path / "saved"), parts
    closed = np.load(tmp_path / "weight.npy", mmap_mode="r")
    np.testing.assert_array_equal(nb.ScaledEmbedding(4096, 16, weight=closed)([5]), layer([5]))


def memory(pid: int) -> Iterator[tuple[int, int]]:
    """Yield anonymous and all resident bytes of a process, until it has ended."""
    while True:
        try:
            text = Path(f"/proc/{pid}/status").read_text("ascii")
        except (FileNotFoundError, ProcessLookupError):
            return
        found = dict(re.findall(r"^(RssAnon|VmRSS):\s+(\d+) kB", text, flags=re.MULTILINE))
        if not found:  # a zombie
            return
        yield int(found["RssAnon"]) * 1024, int(found["VmRSS"]) * 1024
        time.sleep(0.002)


def run_example(folder: Path, gigabytes: float, steps: int) -> tuple[str, int, int]:
    """Run the example; return what it prints, and its greatest memory."""
    words = [str(folder), "--gigabytes", str(gigabytes), "--steps", str(steps), "--batch", str(BATCH)]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "larger_than_memory.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NPBLOOM_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks = np.max(list(memory(process.pid)), axis=0)
    printed = process.communicate()[0]
    assert process.returncode == 0
    return printed, int(peaks[0]), int(peaks[1])


@linux
def test_a_large_table_is_filled_and_trained_in_little_memory(folder: Path) -> None:
    size = int(GIGABYTES * 1e9)
    bare = [run_example(folder / name, 1e-4, steps)[1:] for name, steps in (("empty", 0), ("tiny", 1))]
    filled, *making = run_example(folder / "table", GIGABYTES, 0)
    for path in (folder / "table").iterdir():  # drop the page cache: a step reads from disk
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    printed, *training = run_example(folder / "table", GIGABYTES, STEPS)
    sys.stdout.write(f"{filled}{printed}filling: {making}, training: {training}, without a table: {bare}\n")
    assert f"step {STEPS}: " in printed
    for found, (few, base) in zip((making, training), bare, strict=True):
        assert found[0] < min(few + size // 4 + 2**23, 10**9)
        assert found[1] < min(base + size // 2 + 2**23, 2_500_000_000)
    touched = sum(path.stat().st_blocks * 512 for path in (folder / "table").glob("sum.npy"))
    assert touched <= 2 * STEPS * BATCH * 4096 + 2**16  # two pages for a row that lies on two
    for path in folder.rglob("*.npy"):
        path.unlink()


def test_the_examples_of_the_document_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_examples("docs/large-tables.md", 2)
    layer = nb.ScaledEmbedding(*names["shape"], rng=0)
    optimizer = nb.Adagrad(layer, lr=0.05)
    for _ in range(2):
        optimizer.update(layer, names["ids"], layer(names["ids"]) - 1)
    assert bits(names["optimizer"], names["items"]) == bits(optimizer, layer)
