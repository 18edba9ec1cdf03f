"""Backends that do nothing useful: none of them may ever be `ok`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from typing import Any, ClassVar

import numpy as np

from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import Case, Outputs
from tests.conformance.mutants.right import Right

DOUBLE: dict[str, str] = {"forward": "float64", "backward": "float64"}


class Null(Backend):
    """The base class of backends without results."""

    in_process = True
    profile: ClassVar[dict[str, dict[str, str]]] = {"float32": DOUBLE, "float64": DOUBLE}


class Zeros(Right):
    """A backend whose every number is zero."""

    name = "zeros"

    def run(self, case: Case) -> Outputs:
        return {key: _filled(value, 0) for key, value in super().run(case).items()}


class NotANumber(Right):
    """A backend whose every float is NaN."""

    name = "nan"

    def run(self, case: Case) -> Outputs:
        return {key: _filled(value, np.nan) for key, value in super().run(case).items()}


def _filled(value: Any, number: float) -> Any:
    """Return arrays of one number with the shapes and dtypes of `value`."""
    if isinstance(value, dict):
        return {name: _filled(array, number) for name, array in value.items()}
    return np.full_like(value, number if value.dtype.kind == "f" else 0)


class Negated(Right):
    """A backend whose every float has the wrong sign."""

    name = "negated"

    def run(self, case: Case) -> Outputs:
        return {
            key: -value if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for key, value in super().run(case).items()
        }


class Untouched(Right):
    """A backend whose forward returns zeros and whose optimizers return their inputs."""

    name = "untouched"

    def run(self, case: Case) -> Outputs:
        if case.options is not None:
            return {"weight": case.weight.copy(), "state": {name: np.array(array) for name, array in (case.state or {}).items()}}
        return Zeros().run(case)


class Empty(Null):
    """A backend that returns an empty dict."""

    name = "empty"

    def run(self, case: Case) -> Outputs:
        return {}


class Nothing(Null):
    """A backend that returns None."""

    name = "nothing"

    def run(self, case: Case) -> Any:
        return None


class OneArray(Null):
    """A backend that returns an array instead of a dict."""

    name = "one-array"

    def run(self, case: Case) -> Any:
        return np.zeros(3)


class OtherKeys(Null):
    """A backend that returns only keys that no check asks for."""

    name = "other-keys"

    def run(self, case: Case) -> Outputs:
        return {"output": np.zeros(3), "gradient": np.zeros(3)}


class WrongShapes(Right):
    """A backend whose every array has one dimension too many."""

    name = "wrong-shapes"

    def run(self, case: Case) -> Outputs:
        return {key: value[None] if isinstance(value, np.ndarray) else value for key, value in super().run(case).items()}


class Raises(Null):
    """A backend that raises for every case, valid or not."""

    name = "raises"

    def run(self, case: Case) -> Outputs:
        raise RuntimeError("no kernel image is available")


class Declines(Null):
    """A backend that declines every case."""

    name = "declines"

    def run(self, case: Case) -> Outputs:
        raise Unsupported("not yet")


class DeclinesButRefuses(Right):
    """A backend that declines valid cases and raises for invalid ones."""

    name = "declines-but-refuses"

    def run(self, case: Case) -> Outputs:
        super().run(case)
        raise Unsupported("not yet")


class Exits(Null):
    """A backend that exits the process."""

    name = "exits"

    def run(self, case: Case) -> Outputs:
        sys.exit(0)


class Undefined(Null):
    """A backend without `run`."""

    name = "undefined"


class Crashes(Null):
    """A backend that dies of a segmentation fault."""

    name, in_process = "crashes", False

    def run(self, case: Case) -> Outputs:
        faulthandler.disable()  # no traceback in the middle of a report
        os.kill(os.getpid(), signal.SIGSEGV)
        return {}


class Leaves(Null):
    """A backend that ends the process with `os._exit`, with status 0."""

    name, in_process = "leaves", False

    def run(self, case: Case) -> Outputs:
        os._exit(0)


class Hangs(Null):
    """A backend that never answers."""

    name, in_process = "hangs", False

    def run(self, case: Case) -> Outputs:
        while True:
            time.sleep(60)


class ForwardOnly(Right):
    """A backend with right outputs and no gradients: a missing gradient must not pass."""

    name = "forward-only"

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {key: value for key, value in outputs.items() if key == "out" or (key == "rows" and case.op == "hash")}


NULL_BACKENDS: tuple[Backend, ...] = (
    Zeros(),
    NotANumber(),
    Negated(),
    Untouched(),
    Empty(),
    Nothing(),
    OneArray(),
    OtherKeys(),
    WrongShapes(),
    Raises(),
    Declines(),
    DeclinesButRefuses(),
    Exits(),
    Undefined(),
    Crashes(),
    Leaves(),
    Hangs(),
    ForwardOnly(),
)
