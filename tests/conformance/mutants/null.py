"""Backends that do nothing, or worse: none of them may ever be `ok`."""

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
    """A backend of no use."""

    in_process = True
    profile: ClassVar[dict[str, dict[str, str]]] = {"float32": DOUBLE, "float64": DOUBLE}


class Zeros(Right):
    """Everything is zero."""

    name = "zeros"

    def run(self, case: Case) -> Outputs:
        return {key: _filled(value, 0) for key, value in super().run(case).items()}


class NotANumber(Right):
    """Everything that can be is NaN."""

    name = "nan"

    def run(self, case: Case) -> Outputs:
        return {key: _filled(value, np.nan) for key, value in super().run(case).items()}


def _filled(value: Any, number: float) -> Any:
    """Arrays of one number in the place of others."""
    if isinstance(value, dict):
        return {name: _filled(array, number) for name, array in value.items()}
    return np.full_like(value, number if value.dtype.kind == "f" else 0)


class Negated(Right):
    """Everything has the wrong sign."""

    name = "negated"

    def run(self, case: Case) -> Outputs:
        return {
            key: -value if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for key, value in super().run(case).items()
        }


class Untouched(Right):
    """Forward returns zeros; optimizers give back what they got."""

    name = "untouched"

    def run(self, case: Case) -> Outputs:
        if case.options is not None:
            return {"weight": case.weight.copy(), "state": {name: np.array(array) for name, array in (case.state or {}).items()}}
        return Zeros().run(case)


class Empty(Null):
    """An empty answer to everything."""

    name = "empty"

    def run(self, case: Case) -> Outputs:
        return {}


class Nothing(Null):
    """None for an answer."""

    name = "nothing"

    def run(self, case: Case) -> Any:
        return None


class OneArray(Null):
    """An array for an answer."""

    name = "one-array"

    def run(self, case: Case) -> Any:
        return np.zeros(3)


class OtherKeys(Null):
    """Answers by names that nobody asked for."""

    name = "other-keys"

    def run(self, case: Case) -> Outputs:
        return {"output": np.zeros(3), "gradient": np.zeros(3)}


class WrongShapes(Right):
    """Everything has one dimension too many."""

    name = "wrong-shapes"

    def run(self, case: Case) -> Outputs:
        return {key: value[None] if isinstance(value, np.ndarray) else value for key, value in super().run(case).items()}


class Raises(Null):
    """An exception for everything, valid or not."""

    name = "raises"

    def run(self, case: Case) -> Outputs:
        raise RuntimeError("no kernel image is available")


class Declines(Null):
    """Offers nothing."""

    name = "declines"

    def run(self, case: Case) -> Outputs:
        raise Unsupported("not yet")


class DeclinesButRefuses(Right):
    """Offers nothing, and raises for what is invalid."""

    name = "declines-but-refuses"

    def run(self, case: Case) -> Outputs:
        super().run(case)
        raise Unsupported("not yet")


class Exits(Null):
    """Ends the process."""

    name = "exits"

    def run(self, case: Case) -> Outputs:
        sys.exit(0)


class Undefined(Null):
    """Does not define `run`."""

    name = "undefined"


class Crashes(Null):
    """Dies of a segmentation fault."""

    name, in_process = "crashes", False

    def run(self, case: Case) -> Outputs:
        faulthandler.disable()  # no traceback in the middle of a report: this one dies on purpose
        os.kill(os.getpid(), signal.SIGSEGV)
        return {}


class Leaves(Null):
    """Ends the process behind Python's back, with status 0."""

    name, in_process = "leaves", False

    def run(self, case: Case) -> Outputs:
        os._exit(0)


class Hangs(Null):
    """Never answers."""

    name, in_process = "hangs", False

    def run(self, case: Case) -> Outputs:
        while True:
            time.sleep(60)


class ForwardOnly(Right):
    """Right outputs, and never a gradient: what is missing is not passed."""

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
