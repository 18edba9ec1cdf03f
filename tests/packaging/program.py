"""User program for type checkers: it uses the public API, and asserts the types of results."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt

import npbloom as nb
from npbloom import recommend
from npbloom.checkpoint import Checkpoint, load, save
from npbloom.coding import BloomCoder
from npbloom.conformance import Backend, Case, Unsupported, check


def layers(ids: npt.NDArray[np.int64]) -> None:
    """Use layers, gradients, optimizers, and a file of them."""
    users = nb.BloomEmbedding(1_000, 8, rng=0)
    films = nb.ScaledEmbeddingBag(100, 8, mode="sum", rng=np.random.default_rng(0))
    out = users(ids)
    grad = users.backward(ids, out, sparse=True)
    optimizer = nb.Adagrad([users, films], lr=0.05)
    optimizer.step(users, grad)
    optimizer.update(users, ids, 2 * out)
    optimizer.update(films, ids, films(ids, offsets=[0]), offsets=[0])
    assert_type(optimizer.lr, float)
    if isinstance(grad, nb.RowGrad):
        assert_type(grad.clip_norm(1.0) + grad, nb.RowGrad)
        assert_type(grad.num_rows, int)
    with tempfile.TemporaryDirectory() as folder, nb.num_threads(1):
        path = Path(folder) / "model.safetensors"
        save(path, {"users": users}, optimizer=nb.SGD(users, lr=0.1))
        checkpoint = load(path)
        assert_type(checkpoint, Checkpoint)
        checkpoint.layers["users"].forward([1, 2])


def arrays(ids: npt.NDArray[np.int64]) -> None:
    """Use functions of arrays, and hashes."""
    weight = np.zeros((10, 4), dtype=np.float32)
    out = nb.ops.embedding_forward(weight, ids)
    assert_type(nb.ops.embedding_backward(ids, out, 10), nb.RowGrad)
    assert_type(nb.reference.embedding_backward(ids, out, 10), nb.RowGrad)
    spec = nb.HashSpec(num_embeddings=1_000, num_rows=100)
    nb.ops.bloom_forward(np.zeros((100, 4)), nb.ops.hash_rows(ids, spec).ravel(), spec)
    nb.hashing.murmurhash3_32(["a", "b"], seed=1)


def recommender() -> None:
    """Fit a small model, score it, and recommend."""
    rng = np.random.default_rng(0)
    data = recommend.Interactions(rng.integers(1, 20, 200), rng.integers(1, 30, 200))
    train, test = recommend.random_train_test_split(data, rng=0)
    model = recommend.ImplicitFactorizationModel(embedding_dim=4, n_iter=1, rng=0).fit(train)
    assert np.isfinite(recommend.mrr_score(model, test, train=train)).all()
    assert len(model.recommend(3, n=5)) == 5


def coder() -> None:
    """Encode sets of items in few bits."""
    bits, offsets = BloomCoder(50, 20, rng=0).encode([1, 2, 3], [0, 2])
    assert len(bits) >= len(offsets) == 2


class Mine(Backend):
    """A backend with one operation."""

    name = "mine"

    def run(self, case: Case) -> dict[str, npt.NDArray[np.generic]]:
        """Answer one case."""
        if case.op != "hash" or case.ids is None or case.num_rows is None or case.seeds is None:
            raise Unsupported("only hash")
        keys = case.ids.astype(np.int32)
        probes = [nb.hashing.murmurhash3_32(keys, int(seed)).view(np.int32) % case.num_rows for seed in case.seeds]
        return {"rows": np.stack(probes, axis=-1).astype(np.int64)}


def oracle() -> None:
    """Run one check of the oracle."""
    report = check(Mine(), only="hash.seeds")
    assert_type(report.ok, bool)
    assert report.ok, str(report)


if __name__ == "__main__":
    layers(np.arange(10))
    arrays(np.arange(10))
    recommender()
    coder()
    oracle()
    print("ok")
