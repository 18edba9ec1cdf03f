"""
Files and arguments that `npbloom.checkpoint` refuses: the right exception, one sentence, nothing
written or half loaded.
"""

from __future__ import annotations

import os
import pickle
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

import npbloom as nb
from npbloom import checkpoint
from tests.checkpoint._refused import refused
from tests.support._files import LAYERS, contents, edit, sealed

# ---- bad arguments ------------------------------------------------------------------------------


def bad_saves() -> list[Any]:
    """Return refused arguments of `save`, with the exception and its message."""
    layer, other = LAYERS["scaled"](), LAYERS["zero"]()
    overlapping = np.arange(64.0).reshape(16, 4)
    halves = {
        "a": nb.ScaledEmbedding(10, 4, weight=overlapping[:10]),
        "b": nb.ScaledEmbedding(10, 4, weight=overlapping[6:]),
    }
    missing = f"`layers` must hold every layer of `optimizer`; its layer 1, {other!r}, is missing."
    taken = "`metadata` must not have the key {!r}: the checkpoint's own entry is there."
    broken = nb.Adagrad(layer)
    broken.state(layer)["sum"] = np.zeros((7, 3), np.float32)
    unfit = "`optimizer` must have the state of its kind for the layer 'a', of the shape of its table."
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
        ({"a": layer}, None, {"npbloom": "x"}, ValueError, taken.format("npbloom")),
        ({"a": layer}, None, {"npbloom.data_sha256": "x"}, ValueError, taken.format("npbloom.data_sha256")),
        ({"a": layer}, broken, None, ValueError, unfit),
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


# ---- damaged and foreign files ------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused(saved: Path) -> None:
    raw = saved.read_bytes()
    for size in range(len(raw)):
        saved.write_bytes(raw[:size])
        with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom"):
            checkpoint.load(saved)
    for size in range(0, len(raw), 25):
        saved.write_bytes(raw[:size])
        refused(saved)
    for more in (b"\0", b" ", raw):
        saved.write_bytes(raw + more)
        assert "bytes, and" in refused(saved)


def test_every_flipped_bit_is_refused(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    data = 8 + int.from_bytes(raw[:8], "little")
    reasons = Counter()
    with open(saved, "r+b", buffering=0) as file:
        for bit in range(8 * len(raw)):
            at, flipped = bit // 8, raw[bit // 8] ^ 1 << bit % 8
            file.seek(at)
            file.write(bytes([flipped]))
            with pytest.raises(ValueError, match="is not a whole checkpoint of npbloom") as caught:
                checkpoint.load(saved)
            reasons["bytes of its tensors" in str(caught.value)] += 1
            file.seek(at)
            file.write(raw[at : at + 1])
    assert reasons == {False: 8 * data, True: 8 * (len(raw) - data)}
    checkpoint.load(saved)


def test_a_mapped_file_is_verified_when_asked(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    checkpoint.verify(saved)
    found = checkpoint.load(saved, mmap=True)
    raw[-1] ^= 128
    saved.write_bytes(raw)  # the very file that is mapped
    assert checkpoint.load(saved, mmap=True).metadata == found.metadata
    sentence = f"{saved} is not a whole checkpoint of npbloom: the bytes of its tensors are not those that were written"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}: their SHA-256 differs\\.$"):
        checkpoint.verify(saved)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}: their SHA-256 differs\\.$"):
        checkpoint.load(saved)
    raw[-1] ^= 128
    raw[raw.index(b'"note"') + 2] ^= 1
    saved.write_bytes(raw)
    for look in (checkpoint.verify, checkpoint.load, lambda path: checkpoint.load(path, mmap=True)):
        with pytest.raises(ValueError, match="its names, dtypes, shapes or metadata are not those that were written"):
            look(saved)


def test_tensors_that_change_places_are_the_same_file_and_values_that_do_are_not(saved: Path) -> None:
    tensors, metadata = contents(saved)
    first, second = "optimizer.users.exp_avg", "optimizer.users.exp_avg_sq"
    safetensors_numpy.save_file(dict(reversed(tensors.items())), saved, metadata)
    checkpoint.load(saved)
    safetensors_numpy.save_file({**tensors, first: tensors[second], second: tensors[first]}, saved, metadata)
    checkpoint.load(saved, mmap=True)
    for look in (checkpoint.verify, checkpoint.load):
        with pytest.raises(ValueError, match="the bytes of its tensors"):
            look(saved)


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


def test_files_of_other_formats_are_named(saved: Path) -> None:
    tensors, metadata = contents(saved)
    for found, reason in (
        ("3", "its format is 3, newer than 2, the one that this version reads."),
        ("1", "its format is 1, older than 2, the one that this version reads."),
        ('"2"', "its format is '2', not 2, the one that this version reads."),
    ):
        words = {**metadata, "npbloom": metadata["npbloom"].replace('"format": 2', f'"format": {found}')}
        safetensors_numpy.save_file(tensors, saved, words)  # a later format may have other digests
        assert refused(saved) == reason


def change_options(**options: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of options of the layer "users"."""
    return lambda structure: structure["layers"]["users"]["options"].update(options)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("format"), "there is no 'format'."),
        (lambda s: s.pop("layers"), "there is no 'layers'."),
        (lambda s: s["layers"].pop("users"), "there is no 'users'."),
        (lambda s: s["layers"].update(more=s["layers"]["users"] | {"weight": "more.weight"}), "there is no 'more.weight'."),
        (lambda s: s["layers"]["users"].update({"class": "Optimizer"}), "there is no 'Optimizer'."),
        (lambda s: s["layers"]["users"].update({"class": []}), "'class' is named by a list, not by text."),
        (lambda s: s["layers"]["users"].update(weight={}), "'weight' is named by a dict, not by text."),
        (lambda s: s["layers"]["items"].update(hash_table=[]), "'hash_table' is named by a list, not by text."),
        (lambda s: s["optimizer"].update({"class": {}}), "'class' is named by a dict, not by text."),
        (lambda s: s["optimizer"].update(layers=["users", []]), "a layer of the optimizer is named by a list, not by text."),
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
        ("optimizer.users.step", np.array(-1), "`state['step']` must be at least 0, not -1."),
        ("optimizer.users.step", np.array(2**63 - 1), f"`state['step']` must be less than 2**63 - 1, not {2**63 - 1}."),
        ("stowaway", np.zeros(1, np.float32), "nothing names the tensor 'stowaway'."),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name: str, tensor: Any, reason: str, saved: Path) -> None:
    tensors, metadata = contents(saved)
    tensors.pop(name, None)
    tensors |= {} if tensor is None else {name: tensor}
    safetensors_numpy.save_file(tensors, saved, sealed(tensors, metadata))
    assert refused(saved) == reason


def test_deeply_nested_structure_is_refused(path: Path) -> None:
    safetensors_numpy.save_file({}, path, {"npbloom": "[" * 100_000})
    assert refused(path) == "maximum recursion depth exceeded while decoding a JSON array from a unicode string."


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        checkpoint.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/zero")):
        assert refused(special) == "it is no regular file."  # without waiting for it
        with pytest.raises(ValueError, match=f"must name a regular file, not a device or a pipe: {special}"):
            checkpoint.save(special, {})
    number: Any = 1
    with pytest.raises(TypeError, match="`mmap` must be True or False, not 1"):
        checkpoint.load(tmp_path, mmap=number)
