"""
Program that kills or forks saves and counts the outcomes; `tests/checkpoint/test_kills.py` runs it.

``python -m tests.checkpoint._killed_saves FILE lines`` kills one save at each line that it runs.
With ``moments COUNT ROWS SEED`` it kills a process COUNT times, at random moments; the process
saves a table of ROWS rows again and again. With ``forks COUNT`` it forks COUNT children that save
while their parent does.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import npbloom as nb
from npbloom import checkpoint

DIM = 64


def save(path: Path, generation: int, rows: int) -> None:
    """Save a layer and an optimizer all of whose values equal the generation."""
    layer = nb.ScaledEmbedding(rows, DIM, weight=np.full((rows, DIM), generation, np.float32))
    optimizer = nb.Adam(layer)
    for array in optimizer.state(layer).values():
        array[...] = generation
    checkpoint.save(path, {"items": layer}, optimizer, {"generation": str(generation)})


def generation_of(path: Path) -> int:
    """Return the generation of a file. Raise if the file is not whole."""
    found = checkpoint.load(path)
    layer = found.layers["items"]
    assert found.optimizer is not None
    generation = int(found.metadata["generation"])
    for array in (layer.weight, *found.optimizer.state(layer).values()):
        assert (array == generation).all()
    return generation


def fork(work: Callable[[], Any]) -> int:
    """Run a function in a child process, which never returns from here."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return child


def leftovers(path: Path) -> list[Path]:
    """Return the other files in the file's folder."""
    return [entry for entry in path.parent.iterdir() if entry != path]


def judge(path: Path, least: int, most: int, counts: Counter[str]) -> None:
    """
    Check that the file is the old or the new one, whole, and that the next save removes a leftover.
    """
    beside = leftovers(path)
    assert len(beside) <= 1
    if not beside:
        counts["nothing left"] += 1
    else:
        counts["a part left" if beside[0].stat().st_size < path.stat().st_size else "a whole file left"] += 1
    generation = generation_of(path)
    assert least <= generation <= most, f"generation {generation}, not from {least} to {most}"
    counts["old file" if generation == least else "new file"] += 1
    checkpoint.save(path, {})
    assert leftovers(path) == []


def kill_at_lines(path: Path) -> Counter[str]:
    """Kill a save before each line of `npbloom.checkpoint` that it runs."""
    counts: Counter[str] = Counter()
    folder = os.path.dirname(checkpoint.__file__)
    while True:
        save(path, 1, 3)
        left = counts["kills"]

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(folder):
                return None
            if event == "line":
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return trace

        def work(trace: Any = trace) -> None:
            sys.settrace(trace)
            save(path, 2, 3)

        status = os.waitpid(fork(work), 0)[1]
        if status == 0:
            assert generation_of(path) == 2
            return counts
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        counts["kills"] += 1
        judge(path, 1, 2, counts)


def kill_at_moments(path: Path, count: int, rows: int, seed: int) -> Counter[str]:
    """Kill a process that saves, at random moments of three saves."""
    counts: Counter[str] = Counter()
    moment = random.Random(seed)
    started = time.perf_counter()
    save(path, 0, rows)
    duration = time.perf_counter() - started
    while counts["kills"] < count:
        save(path, 0, rows)
        reading, writing = os.pipe()

        def work(writing: int = writing) -> None:
            for generation in range(1, 1000):
                save(path, generation, rows)
                os.write(writing, b".")

        child = fork(work)
        os.close(writing)
        time.sleep(moment.uniform(0, 3 * duration))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        done = len(os.read(reading, 10_000)) if select.select([reading], [], [], 0)[0] else 0
        os.close(reading)
        counts["kills"] += 1
        judge(path, done, done + 1, counts)
    return counts


def fork_during_saves(path: Path, count: int) -> Counter[str]:
    """
    Fork while a thread saves.

    Every child saves to the same file, and trains a mapped copy of it.
    """
    counts: Counter[str] = Counter()
    save(path, 0, 2000)
    done = threading.Event()

    def saving() -> None:
        while not done.is_set():
            save(path, 0, 2000)
            counts["saves of the parent"] += 1

    thread = threading.Thread(target=saving)
    thread.start()
    mapped = checkpoint.load(path, mmap=True).layers["items"]

    def work() -> None:
        save(path, 1, 2000)
        assert generation_of(path) in (0, 1)
        own = checkpoint.load(path, mmap=True).layers["items"]
        for layer in (own, mapped):  # also the parent's map, whose values in the parent stay
            layer.weight[...] = 7

    for _ in range(count):
        assert os.waitpid(fork(work), 0)[1] == 0
        counts["children"] += 1
    done.set()
    thread.join()
    assert (mapped.weight == 0).all()
    assert generation_of(path) in (0, 1)
    assert leftovers(path) == []
    return counts


if __name__ == "__main__":
    target, mode, *numbers = sys.argv[1:]
    modes: dict[str, Callable[..., Counter[str]]] = {
        "lines": kill_at_lines,
        "moments": kill_at_moments,
        "forks": fork_during_saves,
    }
    sys.stdout.write(json.dumps(modes[mode](Path(target), *map(int, numbers))))
