"""
Neighbouring columns as one value, which LLVM compiles to machine vectors.

For a plain loop over columns LLVM must prove that no output overlaps an input, which it tests again
for every row, and it computes the rest of a width one by one. `load` and `store` move eight columns
at once, `load_like` as many as another value has. In between they are a number like any other:
``+ - * /`` with each other and with scalars of their dtype, and `root`. Each lane is computed as a
scalar would be, in the same order and width, so bits do not change (L6).

Un-jitted, a value of lanes is a NumPy array.
"""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np

from npbloom.types import FloatArray, IntArray, Number, RowArray

WIDTH = 8
Columns: TypeAlias = Any  # neighbouring columns as one value, or one column

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):

    def load(table: FloatArray, row: int, column: int) -> Columns:
        """Return columns ``[column, column + WIDTH)`` of a row."""
        assert 0 <= column <= table.shape[1] - WIDTH
        return table[row, column : column + WIDTH].copy()

    def load_like(like: Columns, table: FloatArray, row: int, column: int) -> Columns:
        """Return as many columns of a row as `like` has, from `column` on."""
        assert 0 <= column <= table.shape[1] - np.size(like)
        return table[row, column] if np.ndim(like) == 0 else table[row, column : column + like.size].copy()

    def store(table: FloatArray, row: int, column: int, lanes: Columns) -> None:
        """Write columns of a row from `column` on, rounded to its dtype."""
        assert 0 <= column <= table.shape[1] - np.size(lanes)
        table[row, column : column + np.size(lanes)] = lanes

    def stream(table: FloatArray, row: int, column: int, lanes: Columns) -> None:
        """Write as `store` does, past the caches: to whole lines only, with `fence` at the end."""
        store(table, row, column, lanes)

    def fence() -> None:
        """Make streamed lines visible to other threads."""

    def columns_in(size: int, table: FloatArray) -> int:
        """Return the number of columns that `size` bytes of the table hold, a constant."""
        return max(1, size // table.itemsize)

    def zeros(table: FloatArray, size: int) -> Columns:
        """Return zeros in as many columns as `size` bytes of the table hold."""
        width = columns_in(size, table)
        return table.dtype.type(0) if width == 1 else np.zeros(width, table.dtype)

    def wide(lanes: Columns) -> Columns:
        """Return the same numbers in float64."""
        return lanes.astype(np.float64)

    def wide_zeros() -> Columns:
        """Return `WIDTH` zeros in float64: the partial sums of a sum over columns."""
        return np.zeros(WIDTH)

    def add_to_lane(lanes: Columns, lane: int, value: Number) -> Columns:
        """Return the lanes with `value` added to one of them."""
        lanes = lanes.copy()
        lanes[lane] += value
        return lanes

    def sum_lanes(lanes: Columns) -> Number:
        """Return the sum of `WIDTH` partial sums, as a tree (L5)."""
        p0, p1, p2, p3, p4, p5, p6, p7 = lanes
        return ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7))

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
        """Type of neighbouring numbers of one dtype in machine vectors."""

        def __init__(self, dtype: Any, width: int = WIDTH) -> None:
            self.dtype, self.width = dtype, width
            super().__init__(name=f"Lanes({dtype}, {width})")

    def _number(dtype: Any) -> Any:
        """Return LLVM's type of a float32, a float64 or 32 bits."""
        return {
            types.float32: ir.FloatType(),
            types.float64: ir.DoubleType(),
            types.uint32: ir.IntType(32),
        }[dtype]

    def _llvm(kind: Any) -> Any:
        """Return LLVM's type of lanes or of a number."""
        return ir.VectorType(_number(kind.dtype), kind.width) if isinstance(kind, Lanes) else _number(kind)

    def _like(kind: Any, dtype: Any) -> Any:
        """Return the type of as many numbers of another dtype."""
        return Lanes(dtype, kind.width) if isinstance(kind, Lanes) else dtype

    @register_model(Lanes)
    class LanesModel(models.PrimitiveModel):
        """Data model of lanes: a vector."""

        def __init__(self, manager: Any, fe_type: Any) -> None:
            super().__init__(manager, fe_type, _llvm(fe_type))

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

    def _spread(builder: Any, value: Any, vector: Any) -> Any:
        """Return a scalar in every lane; lanes as they are."""
        if isinstance(value.type, ir.VectorType):
            return value
        if value.type != vector.element:
            value = builder.trunc(value, vector.element)
        index = ir.IntType(32)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, index(0))
        zeros = ir.Constant(ir.VectorType(index, vector.count), None)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

    def _define(operation: Any, instruction: str) -> None:
        """Give an operator of Python its instruction."""
        infer_global(operation)(type(f"_{instruction}", (_Arithmetic,), {"key": operation}))

        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes = signature.return_type
            name = instruction if isinstance(lanes.dtype, types.Float) else _WHOLE.get(instruction, instruction)
            return getattr(builder, name)(*(_spread(builder, argument, _llvm(lanes)) for argument in arguments))

        for left, right in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
            lower_builtin(operation, left, right)(lower)

    _WHOLE = {"fadd": "add", "fmul": "mul"}
    for _operation, _instruction in {
        operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv", operator.xor: "xor",
        operator.or_: "or_", operator.and_: "and_", operator.lshift: "shl", operator.rshift: "lshr",
    }.items():  # fmt: skip
        _define(_operation, _instruction)

    def _cast(builder: Any, value: Any, target: Any) -> Any:
        """Return a number or lanes as another type of float."""
        if value.type == target:
            return value
        number = target.element if isinstance(target, ir.VectorType) else target
        return builder.fpext(value, target) if isinstance(number, ir.DoubleType) else builder.fptrunc(value, target)

    def _place(context: Any, builder: Any, table: Any, kind: Any, arguments: Any, places: Any) -> Any:
        """
        Return the pointer to the lanes at ``table[row, column]``, and its certain alignment.

        The alignment is that of one number.
        """
        struct = context.make_array(table)(context, builder, arguments[0])
        indices = [context.cast(builder, at, place, types.intp) for at, place in zip(arguments[1:3], places, strict=True)]
        pointer = cgutils.get_item_pointer(context, builder, table, struct, indices)
        return builder.bitcast(pointer, _llvm(_like(kind, table.dtype)).as_pointer()), table.dtype.bitwidth // 8

    def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Emit the code of `load` and, after its first argument, of `load_like`."""
        table, *places = signature.args[-3:]
        pointer, align = _place(context, builder, table, signature.return_type, arguments[-3:], places)
        return builder.load(pointer, align=align)

    @intrinsic
    def load(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
        """Return columns ``[column, column + WIDTH)`` of a row."""
        return Lanes(table.dtype)(table, row, column), _load

    @intrinsic
    def load_like(typing_context: Any, like: Any, table: Any, row: Any, column: Any) -> Any:
        """Return as many columns of a row as `like` has, from `column` on."""
        return _like(like, table.dtype)(like, table, row, column), _load

    def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Emit the code of `store`, and return its instruction."""
        table, row, column, kind = signature.args
        pointer, align = _place(context, builder, table, kind, arguments, (row, column))
        return builder.store(_cast(builder, arguments[3], _llvm(_like(kind, table.dtype))), pointer, align=align)

    @intrinsic
    def store(typing_context: Any, table: Any, row: Any, column: Any, lanes: Any) -> Any:
        """Write columns of a row from `column` on, rounded to its dtype."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _store(context, builder, signature, arguments)
            return context.get_dummy_value()

        return types.void(table, row, column, lanes), generate

    @intrinsic
    def stream(typing_context: Any, table: Any, row: Any, column: Any, lanes: Any) -> Any:
        """Write as `store` does, past the caches: to whole lines only, with `fence` at the end."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            table, kind = signature.args[0], signature.args[3]
            instruction = _store(context, builder, signature, arguments)
            if isinstance(kind, Lanes):
                instruction.align = min(64, kind.width * table.dtype.bitwidth // 8)
                instruction.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            return context.get_dummy_value()

        return types.void(table, row, column, lanes), generate

    @intrinsic
    def fence(typing_context: Any) -> Any:
        """Make streamed lines visible to other threads."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.fence("seq_cst")
            return context.get_dummy_value()

        return types.void(), generate

    def _width(size: Any, table: Any) -> int:
        """Return the number of columns that a literal number of bytes holds, at least one."""
        return max(1, int(size.literal_value * 8 // table.dtype.bitwidth))

    @intrinsic(prefer_literal=True)
    def columns_in(typing_context: Any, size: Any, table: Any) -> Any:
        """
        Return the number of columns that `size` bytes of the table hold, a constant.

        The item size of Numba's arrays is none: a loop with a step of 256 over it divides.
        """
        if not isinstance(size, types.IntegerLiteral):
            return None
        width = _width(size, table)
        return types.intp(size, table), lambda context, builder, signature, arguments: context.get_constant(types.intp, width)

    @intrinsic(prefer_literal=True)
    def zeros(typing_context: Any, table: Any, size: Any) -> Any:
        """Return zeros in as many columns as `size` bytes of the table hold."""
        if not isinstance(size, types.IntegerLiteral):
            return None
        width = _width(size, table)
        kind = table.dtype if width == 1 else Lanes(table.dtype, width)
        return kind(table, size), lambda context, builder, signature, arguments: ir.Constant(_llvm(kind), None)

    @intrinsic
    def wide(typing_context: Any, lanes: Any) -> Any:
        """Return the same numbers in float64."""
        kind = _like(lanes, types.float64)
        return kind(lanes), lambda context, builder, signature, arguments: _cast(builder, arguments[0], _llvm(kind))

    @intrinsic
    def wide_zeros(typing_context: Any) -> Any:
        """Return `WIDTH` zeros in float64: the partial sums of a sum over columns."""
        kind = Lanes(types.float64)
        return kind(), lambda context, builder, signature, arguments: ir.Constant(_llvm(kind), None)

    @intrinsic
    def add_to_lane(typing_context: Any, lanes: Any, lane: Any, value: Any) -> Any:
        """Return the lanes with `value` added to one of them."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector, lane, value = arguments
            added = builder.fadd(builder.extract_element(vector, lane), value)
            return builder.insert_element(vector, added, lane)

        return lanes(lanes, lane, lanes.dtype), generate

    @intrinsic
    def sum_lanes(typing_context: Any, lanes: Any) -> Any:
        """Return the sum of `WIDTH` partial sums, as a tree (L5)."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            part = arguments[0]
            for half in (4, 2, 1):  # halves are added until one number is left
                index = ir.VectorType(ir.IntType(32), half)
                low, high = (ir.Constant(index, [first + lane for lane in range(half)]) for first in (0, half))
                nothing = ir.Constant(part.type, ir.Undefined)
                part = builder.fadd(builder.shuffle_vector(part, nothing, low), builder.shuffle_vector(part, nothing, high))
            return builder.extract_element(part, ir.IntType(32)(0))

        return lanes.dtype(lanes), generate

    @intrinsic
    def load_ids(typing_context: Any, ids: Any, at: Any) -> Any:
        """Return the low 32 bits of `WIDTH` ids (int64) from position `at` on."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            struct = context.make_array(ids)(context, builder, arguments[0])
            index = context.cast(builder, arguments[1], at, types.intp)
            pointer = cgutils.get_item_pointer(context, builder, ids, struct, [index])
            whole = builder.load(builder.bitcast(pointer, ir.VectorType(ir.IntType(64), WIDTH).as_pointer()), align=8)
            return builder.trunc(whole, _llvm(Lanes(types.uint32)))

        return Lanes(types.uint32)(ids, at), generate

    @intrinsic
    def signed_wide(typing_context: Any, lanes: Any) -> Any:
        """Return 32 bits, read as signed numbers, in float64."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.sitofp(arguments[0], _llvm(Lanes(types.float64)))

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
            full = f"llvm.{name}.v{value.width}f{bits}" if isinstance(value, Lanes) else f"llvm.{name}.f{bits}"

            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                number = arguments[0].type
                function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number]), full)
                return builder.call(function, arguments)

            return value(value), generate

        return intrinsic(typed)

    root = _unary("sqrt")
    floor = _unary("floor")
