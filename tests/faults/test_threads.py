"""
The caller's threads: many layers, one layer, settings, exceptions, Control-C.

A system may also have no threads left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import npbloom as nb
from tests.faults._callers import BATCH, DIM, ROWS, THREADS, grad_of, ids_of, trained

EACH = BATCH // 500
SECONDS = 100  # a hang is one after that


pytestmark = pytest.mark.usefixtures("four_threads")


def together(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """
    Return the results of some threads that begin together.

    A thread that does not end is a failure.
    """
    results: list[Any] = [None] * count
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        begin.wait()
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "it hangs"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# ---- right bits ----------------------------------------------------------------------------------


def test_eight_threads_look_up_one_table_and_train_their_own() -> None:
    shared = nb.BloomEmbedding(5 * ROWS, DIM, rng=99)
    bag = nb.BloomEmbeddingBag(5 * ROWS, DIM, mode="max", weight=shared.weight)
    expected = [(shared(ids_of(n)).tobytes(), bag(ids_of(n).reshape(-1, 8)).tobytes(), trained(n)) for n in range(THREADS)]

    def work(number: int) -> list[Any]:
        ids = ids_of(number)
        return [(shared(ids).tobytes(), bag(ids.reshape(-1, 8)).tobytes(), trained(number)) for _ in range(4)]

    for number, found in enumerate(together(work)):
        assert found == [expected[number]] * 4


def test_the_number_of_threads_may_change_under_calls() -> None:
    expected = [trained(number) for number in range(THREADS)]

    def work(number: int) -> list[Any]:
        found = []
        for turn in range(4):
            nb.set_num_threads(1 + (3 * number + turn) % 9)
            with nb.num_threads(1 + (number + turn) % 5):
                found.append(trained(number))
            found.append(trained(number))
        return found

    for number, found in enumerate(together(work)):
        assert found == [expected[number]] * 8
    assert 1 <= nb.get_num_threads() <= 9


# ---- one table, several threads that train it ----------------------------------------------------


@pytest.mark.parametrize("make", [lambda layer: nb.SGD(layer, lr=0.5, momentum=0.5), nb.RowWiseAdagrad, nb.Adagrad])
def test_threads_that_train_rows_of_their_own_do_not_disturb_each_other(make: Callable[[Any], Any]) -> None:
    one, other = (nb.ScaledEmbedding(THREADS * ROWS, DIM, rng=0) for _ in range(2))
    together_, apart = make(one), make(other)

    def train(optimizer: Any, layer: Any, number: int) -> None:
        for step in range(4):
            ids = ids_of(step) % ROWS * THREADS + number  # rows of all threads lie side by side
            optimizer.update(layer, ids, grad_of(number))

    together(lambda number: train(together_, one, number))
    for number in range(THREADS):
        train(apart, other, number)
    assert one.weight.tobytes() == other.weight.tobytes()
    for name, array in together_.state(one).items():
        if name != "step":
            assert array.tobytes() == apart.state(other)[name].tobytes()


def test_steps_on_the_same_rows_may_be_lost_and_nothing_else() -> None:
    layer = nb.ZeroEmbedding(1000, DIM)
    optimizer = nb.SGD(layer, lr=1.0)
    ids = np.arange(500).repeat(EACH)
    together(lambda number: [optimizer.update(layer, ids, np.full((BATCH, DIM), -1, np.float32)) for _ in range(5)])
    steps = layer.weight / EACH  # of so many in each update, 40 updates
    assert (steps == np.round(steps)).all()
    assert (steps[:500] >= 1).all()
    assert (steps[:500] <= 5 * THREADS).all()
    assert (steps[500:] == 0).all()


def test_with_a_lock_of_the_caller_nothing_is_lost() -> None:
    layer = nb.ZeroEmbedding(1000, DIM)
    optimizer = nb.Adam(layer, lr=1.0)
    other = nb.SGD(layer, lr=1.0)
    lock = threading.Lock()

    def work(number: int) -> None:
        for _ in range(5):
            with lock:
                other.update(layer, np.arange(500).repeat(EACH), np.full((BATCH, DIM), -1, np.float32))
            with lock:
                optimizer.update(layer, [999], np.zeros((1, DIM)))

    together(work)
    assert (layer.weight[:500] == EACH * 5 * THREADS).all()
    assert optimizer.state(layer)["step"] == 5 * THREADS


def test_a_lookup_during_training_sees_values_that_were_there() -> None:
    layer = nb.ZeroEmbedding(ROWS, DIM, dtype=np.float64)
    optimizer = nb.SGD(layer, lr=1.0)
    ids, seen = np.arange(ROWS).repeat(2), []
    done = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            try:
                for step in range(60):  # every value becomes 2**52 + a whole number: half of one is another number
                    value = -(2.0**51) if step == 0 else -0.5
                    optimizer.update(layer, ids, np.full((2 * ROWS, DIM), value))
            finally:
                done.set()
        while not done.is_set():
            seen.append(np.unique(layer(ids)))

    together(work, 4)
    allowed = {0.0, *(2.0**52 + step for step in range(60))}
    assert {float(value) for values in seen for value in values} <= allowed
    assert (layer.weight == 2.0**52 + 59).all()
