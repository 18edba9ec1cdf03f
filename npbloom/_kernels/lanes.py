"""
Eight neighbouring columns as one value, which LLVM compiles to machine vectors.

For a plain loop over columns LLVM must prove that no output overlaps an input, which it tests again
for every row, and it computes the rest of a width one by one. `load` and `store` move eight columns
at once. In between they are a number like any other: ``+ - * /`` with each other and with scalars
of their dtype, and `root`. Each lane is computed as a scalar would be, in the same order and width,
so bits do not change (L6).

Un-jitted, a value of lanes is a NumPy array of eight.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np

from npbloom.types import FloatArray, IntArray, RowArray

WIDTH = 8
Columns: TypeAlias = Any  # `WIDTH` neighbouring columns as one value, or one column

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):

    def load(table: FloatArray, row: int, column: int) -> Columns:
        """Return columns ``[column, column + WIDTH)`` of a row."""
        assert 0 <= column <= table.shape[1] - WIDTH
        return table[row, column : column + WIDTH].copy()

    def load_wide(table: FloatArray, row: int, column: int) -> Columns:
        """Return the same in float64, in which sums are taken (L5)."""
        return load(table, row, column).astype(np.float64)

    def store(table: FloatArray, row: int, column: int, lanes: Columns) -> None:
        """Write columns ``[column, column + WIDTH)`` of a row, rounded to its dtype."""
        assert 0 <= column <= table.shape[1] - WIDTH
        table[row, column : column + WIDTH] = lanes

    def zero_wide() -> Columns:
        """Return zeros in float64."""
        return np.zeros(WIDTH)

    def load_ids(ids: IntArray, at: int) -> Columns:
        """Return the low 32 bits of `WIDTH` ids (int64) from position `at` on."""
        assert 0 <= at <= ids.shape[0] - WIDTH
        return ids[at : at + WIDTH].astype(np.uint32)

    def signed_wide(lanes: Columns) -> Columns:
        """Return 32 bits, read as signed numbers, in float64."""
        return lanes.view(np.int32).astype(np.float64)

    def store_column(rows: RowArray, row: int, column: int, lanes: Columns) -> None:
        """Write whole numbers, held as float64, into rows ``[row, row + WIDTH)`` of a column."""
        assert 0 <= row <= rows.shape[0] - WIDTH
        rows[row : row + WIDTH, column] = lanes

    root: Any = np.sqrt
    floor: Any = np.floor

else:
    import operator

    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.core.datamodel import models
    from numba.core.imputils import lower_builtin
    from numba.core.typing.templates import AbstractTemplate, infer_global, signature
    from numba.extending import intrinsic, register_model

    class Lanes(types.Type):
        """Type of `WIDTH` numbers of one dtype in a machine vector."""

        def __init__(self, dtype: Any) -> None:
            self.dtype = dtype
            super().__init__(name=f"Lanes({dtype})")

    def _number(dtype: Any) -> Any:
        """Return LLVM's type of a float32, a float64 or 32 bits."""
        return {
            types.float32: ir.FloatType(),
            types.float64: ir.DoubleType(),
            types.uint32: ir.IntType(32),
        }[dtype]

    def _vector(dtype: Any) -> Any:
        """Return LLVM's type of lanes."""
        return ir.VectorType(_number(dtype), WIDTH)

    @register_model(Lanes)
    class LanesModel(models.PrimitiveModel):
        """Data model of lanes: a vector."""

        def __init__(self, manager: Any, fe_type: Any) -> None:
            super().__init__(manager, fe_type, _vector(fe_type.dtype))

    class _Arithmetic(AbstractTemplate):
        """Typing of lanes with lanes, or with a scalar of the same dtype on either side."""

        def generic(self, args: Any, kws: Any) -> Any:
            left, right = args
            for lanes, other in ((left, right), (right, left)):
                if isinstance(lanes, Lanes) and (other in (lanes, lanes.dtype) or _constant(lanes.dtype, other)):
                    return signature(lanes, left, right)
            return None

    def _constant(dtype: Any, other: Any) -> bool:
        """
        Return True for a 64-bit word that hashes compute with.

        Lanes of 32 bits take its low half.
        """
        return bool(dtype == types.uint32 and other == types.uint64)

    def _spread(builder: Any, value: Any, number: Any) -> Any:
        """Return a scalar in every lane; lanes as they are."""
        if isinstance(value.type, ir.VectorType):
            return value
        if value.type != number:
            value = builder.trunc(value, number)
        vector, index = ir.VectorType(value.type, WIDTH), ir.IntType(32)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, index(0))
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(index, WIDTH), None))

    def _define(operation: Any, instruction: str) -> None:
        """Give an operator of Python its instruction."""
        infer_global(operation)(type(f"_{instruction}", (_Arithmetic,), {"key": operation}))

        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            dtype = signature.return_type.dtype
            name = instruction if isinstance(dtype, types.Float) else _WHOLE.get(instruction, instruction)
            return getattr(builder, name)(*(_spread(builder, argument, _number(dtype)) for argument in arguments))

        for left, right in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
            lower_builtin(operation, left, right)(lower)

    _WHOLE = {"fadd": "add", "fmul": "mul"}
    for _operation, _instruction in {
        operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv", operator.xor: "xor",
        operator.or_: "or_", operator.and_: "and_", operator.lshift: "shl", operator.rshift: "lshr",
    }.items():  # fmt: skip
        _define(_operation, _instruction)

    def _cast(builder: Any, value: Any, dtype: Any) -> Any:
        """Return a vector in another dtype."""
        target = _vector(dtype)
        if value.type == target:
            return value
        return builder.fpext(value, target) if dtype == types.float64 else builder.fptrunc(value, target)

    def _place(context: Any, builder: Any, argument_types: Any, arguments: Any) -> Any:
        """
        Return the pointer to the lanes at ``table[row, column]``, and its certain alignment.

        The alignment is that of one number.
        """
        table, row, column = argument_types[:3]
        struct = context.make_array(table)(context, builder, arguments[0])
        indices = [
            context.cast(builder, arguments[1], row, types.intp),
            context.cast(builder, arguments[2], column, types.intp),
        ]
        pointer = cgutils.get_item_pointer(context, builder, table, struct, indices)
        return builder.bitcast(pointer, _vector(table.dtype).as_pointer()), table.dtype.bitwidth // 8

    def _loader(wide: bool) -> Any:
        """Return the code for `load`, and with `wide` for `load_wide`."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, align = _place(context, builder, signature.args, arguments)
            return _cast(builder, builder.load(pointer, align=align), signature.return_type.dtype)

        return generate

    @intrinsic
    def load(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
        """Return columns ``[column, column + WIDTH)`` of a row."""
        return Lanes(table.dtype)(table, row, column), _loader(False)

    @intrinsic
    def load_wide(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
        """Return the same in float64, in which sums are taken (L5)."""
        return Lanes(types.float64)(table, row, column), _loader(True)

    @intrinsic
    def store(typing_context: Any, table: Any, row: Any, column: Any, lanes: Any) -> Any:
        """Write columns ``[column, column + WIDTH)`` of a row, rounded to its dtype."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, align = _place(context, builder, signature.args, arguments)
            builder.store(_cast(builder, arguments[3], signature.args[0].dtype), pointer, align=align)
            return context.get_dummy_value()

        return types.void(table, row, column, lanes), generate

    @intrinsic
    def zero_wide(typing_context: Any) -> Any:
        """Return zeros in float64."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return ir.Constant(_vector(types.float64), None)

        return Lanes(types.float64)(), generate

    @intrinsic
    def load_ids(typing_context: Any, ids: Any, at: Any) -> Any:
        """Return the low 32 bits of `WIDTH` ids (int64) from position `at` on."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            struct = context.make_array(ids)(context, builder, arguments[0])
            index = context.cast(builder, arguments[1], at, types.intp)
            pointer = cgutils.get_item_pointer(context, builder, ids, struct, [index])
            whole = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(64), WIDTH).as_pointer()), align=8)
            return builder.trunc(whole, _vector(types.uint32))

        return Lanes(types.uint32)(ids, at), generate

    @intrinsic
    def signed_wide(typing_context: Any, lanes: Any) -> Any:
        """Return 32 bits, read as signed numbers, in float64."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.sitofp(arguments[0], _vector(types.float64))

        return Lanes(types.float64)(lanes), generate

    @intrinsic
    def store_column(typing_context: Any, rows: Any, row: Any, column: Any, lanes: Any) -> Any:
        """Write whole numbers, held as float64, into rows ``[row, row + WIDTH)`` of a column."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            struct = context.make_array(rows)(context, builder, arguments[0])
            at = context.cast(builder, arguments[1], row, types.intp)
            place = context.cast(builder, arguments[2], column, types.intp)
            number = ir.IntType(rows.dtype.bitwidth)
            whole = builder.fptosi(arguments[3], ir.VectorType(number, WIDTH))
            for lane in range(WIDTH):
                indices = [builder.add(at, ir.Constant(at.type, lane)), place]
                pointer = cgutils.get_item_pointer(context, builder, rows, struct, indices)
                builder.store(builder.extract_element(whole, ir.IntType(32)(lane)), pointer)
            return context.get_dummy_value()

        return types.void(rows, row, column, lanes), generate

    def _unary(name: str) -> Any:
        """Return an intrinsic of LLVM that takes and returns one number, for lanes or a scalar."""

        def typed(typing_context: Any, value: Any) -> Any:
            bits = value.dtype.bitwidth if isinstance(value, Lanes) else value.bitwidth
            full = f"llvm.{name}.v{WIDTH}f{bits}" if isinstance(value, Lanes) else f"llvm.{name}.f{bits}"

            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                number = arguments[0].type
                function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number]), full)
                return builder.call(function, arguments)

            return value(value), generate

        return intrinsic(typed)

    root = _unary("sqrt")
    floor = _unary("floor")
