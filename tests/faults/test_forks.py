"""Processes: forks before, after and during use, multiprocessing, data loaders, exits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults._scripts import run_script

PROBLEM = """
    import numpy as np
    import npbloom as nb

    ids = np.random.default_rng(0).integers(0, 50_000, 20_000)
    grad = np.ones((20_000, 16), np.float32)

    def answer():
        layer = nb.BloomEmbedding(50_000, 16, rng=0)
        optimizer = nb.Adagrad(layer, lr=0.1)
        for _ in range(3):
            optimizer.update(layer, ids, layer(ids) - grad)
        return layer.weight.tobytes()
"""

FORKS = """
    import os, sys

    def forked(children):
        pids = []
        for number in range(children):
            pid = os.fork()
            if pid == 0:
                status = 3
                try:
                    status = 0 if answer() == expected else 1
                finally:
                    os._exit(status)
            pids.append(pid)
        print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""


def test_eight_children_forked_before_the_first_use(tmp_path: Path) -> None:
    script = """
    import hashlib
    trained = answer
    answer = lambda: hashlib.sha256(trained()).digest()
    reader, writer = os.pipe()
    if os.fork() == 0:  # the right answer is another process's: this one has not computed anything yet
        os.write(writer, answer())
        os._exit(0)
    expected = os.read(reader, 32)
    assert nb._parallel._workers == 0
    forked(8)
    assert answer() == expected
    """
    assert run_script(PROBLEM + FORKS + script, tmp_path) == f"{[0] * 8}\n"


def test_eight_children_forked_after_the_first_use(tmp_path: Path) -> None:
    script = """
    expected = answer()
    forked(8)
    assert answer() == expected
    """
    assert run_script(PROBLEM + FORKS + script, tmp_path) == f"{[0] * 8}\n"


def test_eight_children_forked_while_threads_compute(tmp_path: Path) -> None:
    script = """
    import threading
    expected = answer()
    done, answers = threading.Event(), []
    def work():
        while not done.is_set():
            answers.append(answer() == expected)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    forked(8)
    done.set()
    for thread in threads:
        thread.join()
    assert answers and all(answers)
    """
    assert run_script(PROBLEM + FORKS + script, tmp_path) == f"{[0] * 8}\n"


def test_a_child_forked_while_a_kernel_compiles(tmp_path: Path) -> None:
    script = """
    import os, threading
    from numba.core import event
    from npbloom._kernels.jit import kernel

    @kernel
    def twice(number):
        return 2 * number

    class Listener(event.Listener):
        def on_start(self, event):
            started.set()
        def on_end(self, event):
            pass

    started, answers = threading.Event(), []
    with event.install_listener("numba:compile", Listener()):
        thread = threading.Thread(target=lambda: answers.append(twice(3)))
        thread.start()
        started.wait()
        pid = os.fork()
        if pid == 0:
            os._exit(twice(4))
        thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), answers)
    """
    assert run_script(script, tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) == "8 [6]\n"


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.nightly)])
def test_processes_of_multiprocessing(method: str, tmp_path: Path) -> None:
    script = f"""
    def trained(layer_and_optimizer):
        layer, optimizer = layer_and_optimizer
        optimizer.update(layer, ids, grad)
        return layer.weight.tobytes(), answer()

    if __name__ == "__main__":
        import multiprocessing
        layer = nb.BloomEmbedding(50_000, 16, rng=1)
        optimizer = nb.Adam(layer)
        expected = answer()
        with multiprocessing.get_context("{method}").Pool(2) as pool:
            found = pool.map(trained, [(layer, optimizer)] * 2, chunksize=1)
        optimizer.update(layer, ids, grad)  # the processes trained copies
        print(found == [(layer.weight.tobytes(), expected)] * 2)
    """
    assert run_script(PROBLEM + script, tmp_path) == "True\n"


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.nightly)])
def test_workers_of_a_torch_data_loader(method: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = f"""
    import torch

    class Vectors(torch.utils.data.Dataset):
        def __init__(self):
            self.layer = nb.BloomEmbedding(50_000, 16, rng=0)
        def __len__(self):
            return 6
        def __getitem__(self, number):
            return torch.from_numpy(self.layer(np.roll(ids, number)))

    if __name__ == "__main__":
        data = Vectors()
        expected = [data[number] for number in range(6)]  # the pool of this process is there when the workers start
        loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="{method}")
        found = list(loader)
        print(len(found), all(torch.equal(a, b) for a, b in zip(found, expected)))
    """
    assert run_script(PROBLEM + script, tmp_path) == "6 True\n"


# ---- the end of an interpreter -------------------------------------------------------------------


@pytest.mark.parametrize("daemon", [True, False])
def test_the_interpreter_ends_while_threads_compute(daemon: bool, tmp_path: Path) -> None:
    script = f"""
    import os, threading, time
    expected = answer()
    first = threading.Barrier(4)
    def work():
        first.wait()
        for _ in range({10**9 if daemon else 20}):
            assert answer() == expected
        os.write(1, b"right\\n")
    for _ in range(3):
        threading.Thread(target=work, daemon={daemon}).start()
    first.wait()
    time.sleep(0.05)
    """
    assert run_script(PROBLEM + script, tmp_path) == ("" if daemon else "right\n" * 3)


def test_calls_of_exit_handlers_are_answered(tmp_path: Path) -> None:
    script = """
    import atexit
    expected = answer()
    atexit.register(lambda: print(answer() == expected))
    """
    assert run_script(PROBLEM + script, tmp_path) == "True\n"


def test_the_first_call_may_be_an_exit_handler_s(tmp_path: Path) -> None:
    script = """
    import atexit
    atexit.register(lambda: print(len(answer())))
    """
    assert run_script(PROBLEM + script, tmp_path) == f"{10_000 * 16 * 4}\n"


def test_an_interpreter_ends_with_work_in_its_queue(tmp_path: Path) -> None:
    script = """
    import threading, time
    from npbloom import _parallel
    answer()
    def slow():
        time.sleep(0.2)
    for _ in range(3):
        threading.Thread(target=lambda: _parallel.run_tasks([slow] * 4, 4), daemon=True).start()
    time.sleep(0.05)
    """
    assert run_script(PROBLEM + script, tmp_path) == ""
