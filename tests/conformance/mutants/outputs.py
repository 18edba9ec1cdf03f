"""Faults of outputs: their shapes, dtypes and kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from npbloom.conformance.cases.floats import to_bfloat16
from tests.conformance.mutants.mutant import Mutant

FORWARD = ("embedding.forward", "bag.sum", "bloom.forward")
BACKWARD = ("embedding.backward", "bag.sum_backward", "bloom.backward")


class Flattened(Mutant):
    """The output of ids in two dimensions is flat."""

    caught_by = ("embedding.shapes", "bloom.forward")

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"].reshape(-1, case.weight.shape[1])}


class Transposed(Mutant):
    """The output is transposed."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"].T}


class FortranOrder(Mutant):
    """The output's memory is that of its transpose, read in C's order."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": np.ascontiguousarray(outputs["out"].T).reshape(outputs["out"].shape)}


class ExtraDimension(Mutant):
    """A scalar id gives a table of one row."""

    caught_by = ("embedding.shapes",)

    def embedding(self, case: Case) -> Outputs:
        outputs = super().embedding(case)
        return {**outputs, "out": np.atleast_2d(outputs["out"])}


class NarrowOutput(Mutant):
    """Outputs are float16, whatever the table is."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"].astype(np.float16)}


class WholeNumbers(Mutant):
    """Outputs are integers."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": np.nan_to_num(outputs["out"], posinf=0, neginf=0).astype(np.int64)}


class Lists(Mutant):
    """Outputs are lists."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"].tolist()}


class Objects(Mutant):
    """Outputs are arrays of Python objects."""

    caught_by = FORWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"].astype(object)}


class RowsWithoutValues(Mutant):
    """The gradient's rows come without values."""

    caught_by = BACKWARD

    def run(self, case: Case) -> Outputs:
        outputs: dict[str, Any] = super().run(case)
        return {"out": outputs["out"], "rows": outputs["rows"]}


class RowsOutside(Mutant):
    """The gradient names a row that the table does not have."""

    caught_by = BACKWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "rows": outputs["rows"] + 1}


class GradientsDiffer(Mutant):
    """The dense gradient is right, but the values beside it have the wrong sign."""

    caught_by = BACKWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        dense = np.zeros_like(case.weight)
        dense[outputs["rows"]] = outputs["values"]
        return {**outputs, "grad_weight": dense, "values": -outputs["values"]}


class GradientTransposed(Mutant):
    """The dense gradient is transposed."""

    caught_by = BACKWARD

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        dense = np.zeros_like(case.weight)
        dense[outputs["rows"]] = outputs["values"]
        return {"out": outputs["out"], "grad_weight": dense.T}


class GradientOfUnits(Mutant):
    """The gradient is that of the output's sum: grad_out is not read."""

    caught_by = BACKWARD

    def run(self, case: Case) -> Outputs:
        return {**super().run(case.replace(grad_out=np.ones_like(case.grad_out))), "out": super().run(case)["out"]}


class GradientNegated(Mutant):
    """The gradient has the wrong sign."""

    caught_by = (*BACKWARD, "embedding.adjoint", "bag.adjoint", "bloom.adjoint")

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "values": -outputs["values"]}


class BrainOutput(Mutant):
    """Outputs are rounded to bfloat16."""

    caught_by = ("embedding.raw_bits", "bag.sum", "bloom.forward")

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": to_bfloat16(outputs["out"].astype(np.float32)).astype(outputs["out"].dtype)}


class AffineOutput(Mutant):
    """A bias is added to every output."""

    caught_by = (*FORWARD, "embedding.linearity", "bag.linearity", "bloom.linearity")

    def run(self, case: Case) -> Outputs:
        outputs = super().run(case)
        return {**outputs, "out": outputs["out"] + outputs["out"].dtype.type(1)}
