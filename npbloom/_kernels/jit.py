"""Compiler flags, the disk cache, prefetches and pauses; only `lanes.py` names Numba beside it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# error_model="numpy": Python's division check would stop vectorisation. No fastmath: it changes
# bits (L6), and without it LLVM contracts no multiply-add, so that NumPy in the same order gives
# the same bits. nogil: kernels run on a thread pool. _nrt: kernels allocate nothing, so arrays need
# no counted references, which cost 75 ns a row around a branch.
_FLAGS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True, "_nrt": False}

# A child that is forked while another thread compiles would wait forever for a lock whose owner it
# does not have.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


class _Cache(FunctionCache):
    """
    Machine code on disk.

    If a file cannot be read or written, or is truncated, the kernel is compiled; no call fails.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code, or None; then the kernel is compiled."""
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError, UnpicklingError):
            with suppress(OSError):
                self.flush()  # or `save_overload` would meet the same file
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save the machine code, if that is possible."""
        with suppress(OSError):
            super().save_overload(sig, data)


def kernel(function: Kernel) -> Kernel:
    """
    Compile on first call; cache on disk where there is a writable folder.

    A kernel calls helpers of its own file only: the cache watches one file.
    """
    compiled: Any = numba.njit(**_FLAGS)(function)
    if compiled is not function:  # NUMBA_DISABLE_JIT gives the function back
        try:
            compiled._cache = _Cache(function)  # `enable_caching` with a cache of ours
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
    kept: Kernel = compiled
    return kept


def helper(function: Kernel) -> Kernel:
    """Compile as a part of the kernels that call it, inlined."""
    compiled: Kernel = numba.njit(inline="never", forceinline=True, **_FLAGS)(function)
    return compiled


# The type that hashes compute in. Un-jitted, NumPy's uint64 scalars warn where they wrap; Python's
# integers under the same masks give the same bits.
word: Any = np.uint64
Word: TypeAlias = Any  # a number of that type, or lanes of 32 bits

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    word = int

    def prefetch(array: npt.NDArray[Any], row: int, column: int) -> None:
        """Do nothing: un-jitted kernels need no cache lines."""

    def peek(counter: npt.NDArray[np.int64]) -> int:
        """Return ``counter[0]`` as another thread wrote it last."""
        return int(counter[0])

    def pause() -> None:
        """Do nothing: Python takes its time."""

else:

    @intrinsic
    def prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
        """
        Request the cache line of ``array[row, column]`` (2-D, C-contiguous) without waiting for it.
        """

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array_type, row_type, column_type = signature.args
            struct = context.make_array(array_type)(context, builder, arguments[0])
            indices = [
                context.cast(builder, arguments[1], row_type, types.intp),
                context.cast(builder, arguments[2], column_type, types.intp),
            ]
            pointer = cgutils.get_item_pointer(context, builder, array_type, struct, indices)
            byte_pointer, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, int32, int32, int32])
            function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
            # read (0), keep in every level of cache (3), data (1)
            builder.call(function, [builder.bitcast(pointer, byte_pointer), int32(0), int32(3), int32(1)])
            return context.get_dummy_value()

        return types.void(array, row, column), generate

    @intrinsic
    def peek(typing_context: Any, counter: Any) -> Any:
        """Return ``counter[0]`` as another thread wrote it last: read again at each call."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            struct = context.make_array(signature.args[0])(context, builder, arguments[0])
            return builder.load_atomic(struct.data, ordering="monotonic", align=8)

        return types.int64(counter), generate

    @intrinsic
    def pause(typing_context: Any) -> Any:
        """Tell the processor that this loop waits: its other thread, if any, may go first."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            none = ir.FunctionType(ir.VoidType(), [])
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            if platform.machine() in ("x86_64", "AMD64"):
                builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), none), [])
            elif platform.machine() in ("aarch64", "arm64"):
                builder.call(builder.module.declare_intrinsic("llvm.aarch64.hint", (), hint), [ir.IntType(32)(1)])
            return context.get_dummy_value()

        return types.void(), generate
