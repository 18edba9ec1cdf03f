"""Files and arguments that `npbloom.checkpoint` refuses: the right exception, one sentence, nothing written or half loaded."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy
from safetensors import safe_open

import npbloom as nb
from npbloom import checkpoint
from tests._files import LAYERS, edit, write_example


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to write."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path: Path) -> Path:
    """A file with two layers and an optimizer."""
    return write_example(path)


# ---- bad arguments --------------------------------------------------------------------------------------------------------


def bad_saves() -> list[Any]:
    """Arguments of `save` that are refused, the exception and its words."""
    layer, other = LAYERS["scaled"](), LAYERS["zero"]()
    overlapping = np.arange(64.0).reshape(16, 4)
    halves = {
        "a": nb.ScaledEmbedding(10, 4, weight=overlapping[:10]),
        "b": nb.ScaledEmbedding(10, 4, weight=overlapping[6:]),
    }
    missing = f"`layers` must hold every layer of `optimizer`; its layer 1, {other!r}, is missing."
    taken = "`metadata` must not have the key 'npbloom': the structure of the layers is there."
    return [
        ([layer], None, None, TypeError, "`layers` must be a dict of names to layers, not list."),
        ({"a": layer.weight}, None, None, TypeError, "`layers` must hold layers, not ndarray under 'a'."),
        ({1: layer}, None, None, TypeError, "`layers` must have names of type str, not int."),
        ({"": layer}, None, None, ValueError, "`layers` must not have an empty name."),
        ({"\ud800": layer}, None, None, ValueError, r"`layers` must hold text that UTF-8 can encode, not '\ud800'."),
        ({"a": layer, "b": layer}, None, None, ValueError, "`layers` must be different layers; 'b' is 'a' again."),
        (halves, None, None, ValueError, "`layers` must not hold tables that overlap without being the same, as 'a' and 'b'."),
        ({"a": layer}, nb.SGD([layer, other], 0.1), None, ValueError, missing),
        ({"a": layer}, "adam", None, TypeError, "`optimizer` must be an optimizer of npbloom, not str."),
        ({"a": layer}, None, ["x"], TypeError, "`metadata` must be a dict of str to str, not list."),
        ({"a": layer}, None, {"x": 1}, TypeError, "`metadata` must hold text, not int under 'x'."),
        ({"a": layer}, None, {2: "x"}, TypeError, "`metadata` must have names of type str, not int."),
        ({"a": layer}, None, {"x": "\udfff"}, ValueError, r"`metadata` must hold text that UTF-8 can encode, not '\udfff'."),
        ({"a": layer}, None, {"npbloom": "x"}, ValueError, taken),
    ]


@pytest.mark.parametrize(("layers", "optimizer", "metadata", "error", "words"), bad_saves())
def test_bad_arguments_write_nothing(
    layers: Any, optimizer: Any, metadata: Any, error: type[Exception], words: str, saved: Path
) -> None:
    before = saved.read_bytes()
    with pytest.raises(error) as caught:
        checkpoint.save(saved, layers, optimizer, metadata)
    assert str(caught.value) == words
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_metadata_that_no_reader_would_read_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"^`metadata` must leave a header of at most 100000000 bytes, not 1000\d+\.$"):
        checkpoint.save(path, {}, metadata={"x": "x" * 100_000_000})
    assert not path.exists()


# ---- damaged and foreign files --------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    """The reason why a file is refused, mapped or not."""
    reasons = set()
    for mmap in (False, True):
        with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom: ") as caught:
            checkpoint.load(path, mmap=mmap)
        text = str(caught.value)
        assert text.startswith(f"{path} is not a whole checkpoint of npbloom: ")
        assert text.endswith(".")
        assert "\n" not in text
        reasons.add(text.split("npbloom: ", 1)[1])
    (reason,) = reasons
    return reason


def test_a_file_cut_anywhere_is_refused(saved: Path) -> None:
    raw = saved.read_bytes()
    for size in (*range(0, len(raw), 5), len(raw) - 1):
        saved.write_bytes(raw[:size])
        refused(saved)
    saved.write_bytes(raw + b"\0")
    refused(saved)


def test_a_changed_header_is_refused_or_harmless(saved: Path) -> None:
    raw = saved.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    outcomes = {"refused": 0, "harmless": 0}
    for at in range(end):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 7
        saved.write_bytes(changed)
        try:
            checkpoint.load(saved)
            outcomes["harmless"] += 1  # a name, an option or a space that is as good as the one before
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > end / 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}", "its metadata have no key 'npbloom'"),
        (b"\xff" * 64, "no safetensors file"),
        (b"user,item\n1,2\n3,4\n", "no safetensors file"),
        (pickle.dumps({"a": np.zeros(3)}), "no safetensors file"),
    ],
)
def test_other_files_are_refused(raw: bytes, reason: str, path: Path) -> None:
    path.write_bytes(raw)
    assert reason in refused(path)


def test_a_safetensors_file_of_another_program_is_refused(path: Path) -> None:
    safetensors_numpy.save_file({"weight": np.zeros((2, 2), dtype=np.float16)}, path, {"format": "pt"})
    assert refused(path) == "its metadata have no key 'npbloom'."


def change_options(**options: Any) -> Callable[[dict[str, Any]], None]:
    """Change options of the layer "users"."""
    return lambda structure: structure["layers"]["users"]["options"].update(options)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.update(format=2), "its format is 2, and this version reads format 1."),
        (lambda s: s.pop("format"), "there is no 'format'."),
        (lambda s: s.pop("layers"), "there is no 'layers'."),
        (lambda s: s["layers"].pop("users"), "there is no 'users'."),
        (lambda s: s["layers"].update(more=s["layers"]["users"] | {"weight": "more.weight"}), "there is no 'more.weight'."),
        (lambda s: s["layers"]["users"].update({"class": "Optimizer"}), "there is no 'Optimizer'."),
        (lambda s: s["layers"]["users"].update(num_embeddings=8), "`weight` must have shape (8, 4), not (7, 4)."),
        (lambda s: s["layers"]["users"].update(num_embeddings="7"), "`num_embeddings` must be an integer, not '7'."),
        (lambda s: s["layers"]["users"].pop("options"), "there is no 'options'."),
        (change_options(max_norm=-1), "`max_norm` must be at least 0, not -1."),
        (change_options(sparse=1), "`sparse` must be True or False, not 1."),
        (change_options(hash_table=[[1]]), "unexpected keyword argument 'hash_table'."),
        (lambda s: s["layers"]["items"].pop("hash_table"), "nothing names the tensor 'items.hash_table'."),
        (lambda s: s["layers"]["items"].update(hash_table="items.weight"), "there is no 'items.weight'."),
        (lambda s: s["layers"].update(users=[]), "list indices must be integers or slices, not str."),
        (lambda s: s.update(layers=[]), "'list' object has no attribute 'items'."),
        (lambda s: s["optimizer"].update({"class": "SGD"}), "unexpected keyword argument 'betas'."),
        (lambda s: s["optimizer"].update(layers=["users"]), "nothing names the tensor 'optimizer.items.exp_avg'."),
        (lambda s: s["optimizer"].update(layers=["items", "items"]), "the one at position 1 occurs before."),
        (lambda s: s["optimizer"]["hyperparameters"].update(lr="fast"), "`lr` must be a real number, not 'fast'."),
        (lambda s: s.pop("optimizer"), "nothing names the tensor 'optimizer.items.exp_avg'."),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(change: Callable[[Any], Any], reason: str, saved: Path) -> None:
    edit(saved, change)
    assert refused(saved).endswith(reason)


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("users.weight", None, "there is no 'users.weight'."),
        ("users.weight", np.zeros((7, 3), np.float32), "`weight` must have shape (7, 4), not (7, 3)."),
        ("users.weight", np.zeros((7, 4), np.float16), "the tensor 'users.weight' is of type F16."),
        ("users.weight", np.zeros((7, 4), np.int32), "`weight` must be float32 or float64 in native byte order, not <i4."),
        ("items.hash_table", np.full((7, 2), 9, np.int32), "`hash_table` must name rows in [0, 5), not 9 at position (1, 0)."),
        ("optimizer.users.step", np.zeros(1, np.int64), "the tensor 'optimizer.users.step' does not fit the layer 'users'."),
        ("optimizer.users.exp_avg", np.zeros((7, 4)), "the tensor 'optimizer.users.exp_avg' does not fit the layer 'users'."),
        ("stowaway", np.zeros(1, np.float32), "nothing names the tensor 'stowaway'."),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name: str, tensor: Any, reason: str, saved: Path) -> None:
    tensors = safetensors_numpy.load_file(saved)
    with safe_open(saved, framework="numpy") as file:
        metadata = file.metadata()
    tensors.pop(name, None)
    safetensors_numpy.save_file(tensors if tensor is None else {**tensors, name: tensor}, saved, metadata)
    assert refused(saved) == reason


def test_deeply_nested_structure_is_refused(path: Path) -> None:
    safetensors_numpy.save_file({}, path, {"npbloom": "[" * 100_000})
    refused(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        checkpoint.load(tmp_path)
    number: Any = 1
    with pytest.raises(TypeError, match="`mmap` must be True or False, not 1"):
        checkpoint.load(tmp_path, mmap=number)
