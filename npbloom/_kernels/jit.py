"""The only file that names Numba or a compiler flag."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# error_model="numpy": Python's division check would stop vectorisation. No fastmath: it changes bits (L6), and without it
# LLVM contracts no multiply-add, so that NumPy in the same order gives the same bits. nogil: kernels run on a thread pool.
_FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}


def kernel(function: Kernel) -> Kernel:
    """Compile on first call, cached on disk. A kernel calls helpers of its own file only (the cache watches one file)."""
    compiled: Kernel = numba.njit(cache=True, **_FLAGS)(function)
    return compiled


def helper(function: Kernel) -> Kernel:
    """Compile as a part of the kernels that call it, inlined."""
    compiled: Kernel = numba.njit(inline="never", forceinline=True, **_FLAGS)(function)
    return compiled


if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):

    def prefetch(array: Any, row: Any) -> None:
        """Nothing: un-jitted kernels need no cache lines."""

else:

    @intrinsic
    def prefetch(typing_context: Any, array: Any, row: Any) -> Any:
        """Ask for the cache lines at the start of ``array[row]`` (2-D, C-contiguous) without waiting for them."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array_type, row_type = signature.args
            struct = context.make_array(array_type)(context, builder, arguments[0])
            index = context.cast(builder, arguments[1], row_type, types.intp)
            stride = cgutils.unpack_tuple(builder, struct.strides, 2)[0]
            byte = ir.IntType(8)
            base = builder.bitcast(struct.data, byte.as_pointer())
            address = builder.gep(base, [builder.mul(index, stride)])
            int32 = ir.IntType(32)
            declared = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte.as_pointer(), int32, int32, int32]), "llvm.prefetch.p0"
            )
            builder.call(declared, [address, int32(0), int32(3), int32(1)])
            return context.get_dummy_value()

        return types.void(array, row), generate
