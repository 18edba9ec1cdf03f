"""
Tests of the other bundled adapters.

Each adapter runs if its package is installed. Otherwise it says which package to install.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from npbloom.conformance import backends

PACKAGES = {  # the first import of each adapter, and the advice in its error
    "FbgemmCPU": ("fbgemm_gpu", "pip install torch fbgemm-gpu-cpu"),
    "Jax": ("jax", "pip install jax"),
    "Keras": ("keras", "pip install keras jax"),
    "ThincHashEmbed": ("thinc", "pip install thinc"),
    "TorchCPU": ("torch", "pip install torch"),
    "TorchSparseAdam": ("torch", "pip install torch"),
}
MODULES = sorted({module for module, _ in PACKAGES.values()})
PROGRAM = """
import json, sys
from npbloom.conformance import backends, check
backend = eval(sys.argv[1], {name: getattr(backends, name) for name in backends.__all__ if name in sys.argv[1]})
report = check(backend, only=sys.argv[2], expected_failures=backend.known_faults, shrink=False)
print(json.dumps({"ok": report.ok, "results": {result.name: [result.status, result.message] for result in report.results}}))
"""


def run(call: str, only: str = "*", **environment: str) -> dict[str, Any]:
    """
    Return the report of a run in its own process, so that packages can set up threads and memory.
    """
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, call, only],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def passed(report: dict[str, Any]) -> set[str]:
    """Return the names of the checks that passed."""
    return {name for name, (status, _) in report["results"].items() if status == "passed"}


def peer(module: str) -> Any:
    """Return the marks of a test that needs a package: `peers`, and a skip without the package."""
    missing = importlib.util.find_spec(module) is None
    return [pytest.mark.peers, pytest.mark.skipif(missing, reason=f"{module} is not installed (extra `peers`)")]


@pytest.mark.parametrize(
    ("call", "environment", "exercised"),
    [
        pytest.param(
            "FbgemmCPU()",
            {},
            {"embedding.backward", "bag.sum", "bag.mean_backward", "bag.per_sample_weights", "bag.include_last_offset"}
            | {"sgd.step", "adagrad.sum", "rowwise_adagrad.step", "rowwise_adagrad.weight_decay", "adagrad.several_steps"},
            marks=peer("fbgemm_gpu"),
            id="fbgemm",
        ),
        pytest.param(
            "Jax()",
            {},
            {"embedding.backward", "embedding.raw_bits", "bag.mean", "bag.max_backward", "bag.max_tie", "bag.weighted_sum"},
            marks=peer("jax"),
            id="jax",
        ),
        pytest.param("Keras()", {"KERAS_BACKEND": "jax"}, {"embedding.backward"}, marks=peer("keras"), id="keras-jax"),
        pytest.param("Keras()", {"KERAS_BACKEND": "torch"}, {"embedding.backward"}, marks=peer("keras"), id="keras-torch"),
        pytest.param(
            "ThincHashEmbed()", {}, {"embedding.backward", "bag.sum", "bag.sum_backward"}, marks=peer("thinc"), id="thinc"
        ),
    ],
)
def test_a_peer_passes_what_it_offers(call: str, environment: dict[str, str], exercised: set[str]) -> None:
    report = run(call, **environment)
    assert report["ok"], {name: result for name, result in report["results"].items() if result[0] not in ("passed", "declined")}
    assert exercised <= passed(report)


@pytest.mark.parametrize(
    ("call", "only", "failing", "word"),
    [
        pytest.param(
            "FbgemmCPU(weight_decay_everywhere=True)",
            "sgd.weight_decay,adagrad.weight_decay",
            {"sgd.weight_decay", "adagrad.weight_decay"},
            "expected",
            marks=peer("fbgemm_gpu"),
            id="fbgemm-ignores-weight-decay",
        ),
        pytest.param(
            "ThincHashEmbed(empty_batches=True)",
            "embedding.shapes",
            {"embedding.shapes"},
            "NameError",
            marks=peer("thinc"),
            id="thinc-empty-batch",
        ),
        pytest.param(
            "ThincHashEmbed(profile={'float64': {'forward': 'float64', 'backward': 'float64'}})",
            "embedding.shapes",
            {"embedding.shapes"},
            "`grad_weight` must be float64 or wider, not float32",
            marks=peer("thinc"),
            id="thinc-narrow-gradient",
        ),
        pytest.param(
            "Jax(profile={'bfloat16': {'forward': 'float32', 'backward': 'float32'}})",
            "embedding.precision",
            {"embedding.precision"},
            "expected",
            marks=peer("jax"),
            id="jax-narrow-accumulator",
        ),
    ],
)
def test_a_peers_fault_is_found(call: str, only: str, failing: set[str], word: str) -> None:
    report = run(call, only)
    failed = {name: message for name, (status, message) in report["results"].items() if status == "failed"}
    assert set(failed) == failing
    assert all(word in message for message in failed.values())


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_missing_package_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, command = PACKAGES[name]
    for loaded in [each for each in sys.modules if each.startswith("npbloom.conformance.backends.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as refused:
        getattr(backends, name)
    sentence = str(refused.value)
    assert name.replace("TorchSparseAdam", "TorchCPU") in sentence
    assert command in sentence
    assert "\n" not in sentence


def test_keras_on_another_framework_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "npbloom.conformance.backends.keras_embedding", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(ImportError, match="KERAS_BACKEND=jax"):
        _ = backends.Keras


def test_no_package_is_imported_before_its_adapter_is_named() -> None:
    program = (
        f"import npbloom.conformance.backends as found, sys; print([m for m in {MODULES} if m in sys.modules], found.__all__)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == f"[] {backends.__all__}"


def test_the_adapters_are_listed_and_no_other_is_known() -> None:
    assert dir(backends) == backends.__all__ == sorted([*PACKAGES, "NpBloom"])
    assert backends.NpBloom.name == "npbloom"
    with pytest.raises(AttributeError, match="no adapter 'TensorFlow'"):
        _ = backends.TensorFlow
