"""What every test run needs, doctests too: a Numba cache folder that belongs to these very kernels."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest


def kernel_cache_dir(kernels: Path) -> Path:
    """A folder named by the hash of the kernels' sources.

    Numba's disk cache watches only the file of the jitted function: after an edit of a flag in `jit.py` it would hand out
    the old machine code. A folder for each state of the whole family cannot be stale. Nor does it notice whether bounds are
    to be checked: kernels compiled without the checks would be taken for those with them.
    """
    digest = hashlib.sha256(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())
    for path in sorted(kernels.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return Path(tempfile.gettempdir()) / f"npbloom-numba-{os.getuid()}" / digest.hexdigest()[:16]


os.environ["NUMBA_CACHE_DIR"] = str(kernel_cache_dir(Path(__file__).parent / "npbloom" / "_kernels"))


# Adapters of other packages: these may be missing, and there are no examples in them.
collect_ignore = [f"npbloom/conformance/backends/{name}.py" for name in ("_jax", "_torch", "fbgemm_cpu", "jax_cpu", "torch_cpu")]
collect_ignore += [f"npbloom/conformance/backends/{name}.py" for name in ("keras_embedding", "thinc_hash_embed")]


@pytest.fixture(autouse=True)
def _usual_names(doctest_namespace: dict[str, Any]) -> None:
    """Examples are written as numpydoc has it: `np` is there, and so is `nb`."""
    import numpy

    import npbloom

    doctest_namespace.update(np=numpy, nb=npbloom)
