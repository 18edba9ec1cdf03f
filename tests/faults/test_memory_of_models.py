"""Models with changed descriptions: refused, or loaded within the memory of their files."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import npbloom as nb
from npbloom import checkpoint
from npbloom.recommend import ImplicitFactorizationModel, ImplicitNetworkModel, Interactions, load_model
from npbloom.recommend._saved import KEY
from tests.faults._mutations import forge, tried, watched
from tests.faults._promises import CASES, FIRST, LOG, Judge


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Load the compiled kernels once a process: they take 20 MB, whatever the file."""
    nb.BloomEmbedding(9, 4, num_rows=5, rng=0).hash_rows([1])


def bomb(size: int) -> str:
    """Return pairs of users and items, compressed, that are `size` bytes of zeros."""
    return base64.b64encode(zlib.compress(bytes(size), 9)).decode("ascii")


MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "pairs": lambda: {"seen": bomb(2**27)},
    "as many pairs as may be": lambda: {"seen": bomb(2**24)},
    "pairs beside spaces": lambda: {"seen": bomb(2**26).ljust(2**20)},
    "one long label": lambda: {"user_labels": ["x" * 500_000, *map(str, range(50_000))], "num_users": 50_001},
    "labels": lambda: {"item_labels": list(map(str, range(100_000))), "num_items": 100_000},
    "labels that are none": lambda: {"item_labels": [0.5] + ["x" * 2000] * 2},
    "history": lambda: {"history": [{"loss": 1, "seconds": 1}] * 20_000},
    "a huge size": lambda: {"num_users": 2**62, "num_items": 2**62},
    "hidden layers": lambda: {"settings": {"hidden": [1] * 200_000}},
}


@pytest.fixture(scope="module", params=["network", "factorization"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    """Return the content of a model's file."""
    met = Interactions([0, 0, 1, 1], [0, 1, 1, 2])
    make = ImplicitNetworkModel(4, n_iter=1, rng=0) if request.param == "network" else ImplicitFactorizationModel(n_iter=1, rng=0)
    path = tmp_path_factory.mktemp("model") / "model"
    make.fit(met).save(path)
    return checkpoint.load(path)


@pytest.mark.parametrize("kind", MODELS)
def test_forged_models(kind: str, model: checkpoint.Checkpoint, path: Path) -> None:
    description = json.loads(model.metadata[KEY]) | MODELS[kind]()
    checkpoint.save(path, model.layers, model.optimizer, {KEY: json.dumps(description)})
    judge = Judge("load_model")
    judge(kind, path.stat().st_size, lambda: load_model(path))
    LOG.info("%s: %.2f of what is promised", kind, judge.worst)


def test_models_whose_descriptions_were_changed(model: checkpoint.Checkpoint, path: Path) -> None:
    """A changed description gives a model, or one message."""
    judge = Judge("load_model")
    with watched():
        for case in range(FIRST, FIRST + CASES):
            chance = random.Random(case)
            description = json.loads(model.metadata[KEY])
            for _ in range(chance.choice((1, 1, 2, 4))):
                forge(description, chance)
            checkpoint.save(path, model.layers, model.optimizer, {KEY: json.dumps(description)})
            judge(case, path.stat().st_size, lambda: load_model(path))
    assert 0.5 * CASES < judge.refused < CASES


@pytest.mark.parametrize(
    "description",
    [
        "[" * 100_000,
        '{"format":1,"x":' + "[" * 100_000,
        {"generator": {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 2**70, "uinteger": 0}},
    ],
    ids=["brackets", "deep", "generator"],
)
def test_descriptions_that_hurt_are_refused(description: Any, model: checkpoint.Checkpoint, path: Path) -> None:
    text = description if isinstance(description, str) else json.dumps(json.loads(model.metadata[KEY]) | description)
    checkpoint.save(path, model.layers, None, {KEY: text})
    assert "is damaged: its description of the model" in tried(lambda: load_model(path))[1]


def test_a_network_of_layers_that_share_a_table_makes_no_state_for_each(path: Path) -> None:
    """The file has a matrix of 1 MB under 300 names; Adam's state would take 600 MB."""
    width, depth = 512, 300
    model = ImplicitNetworkModel((width, width), n_iter=1, rng=0).fit(Interactions([0, 0, 1, 1], [0, 1, 1, 2]))
    model.save(path, with_optimizer=False)
    found = checkpoint.load(path)
    layers = {"input": found.layers["input"], "input_biases": found.layers["input_biases"]}
    for number in range(1, depth):
        layers[f"hidden_{number}"] = nb.ScaledEmbedding(width, width, weight=found.layers["hidden_1"].weight)
        layers[f"hidden_{number}_biases"] = nb.ZeroEmbedding(1, width)
    layers |= {name: found.layers[name] for name in ("output", "output_biases")}
    description = json.loads(found.metadata[KEY])
    description["settings"]["hidden"] = [width] * depth
    checkpoint.save(path, layers, None, {KEY: json.dumps(description)})
    sentence = Judge("load_model")("shared", path.stat().st_size, lambda: load_model(path))
    assert "its layers are not those of such a network" in sentence
