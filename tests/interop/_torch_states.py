"""A parameter group and a state of torch's Adam."""

from __future__ import annotations

from typing import Any

import numpy as np


def group(**more: Any) -> dict[str, Any]:
    """Return a parameter group of Adam."""
    return {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "params": [0], **more}


def state(**more: Any) -> dict[int, Any]:
    """Return a state of Adam for a table of two by two."""
    zeros = np.zeros((2, 2), np.float32)
    return {0: {"step": np.float32(3), "exp_avg": zeros, "exp_avg_sq": zeros, **more}}
