"""PyTorch on a CPU: `embedding`, `embedding_bag`, and the optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar

try:
    import torch
except ImportError as error:
    raise ImportError("The adapter TorchCPU needs PyTorch: pip install torch") from error

from torch.nn import functional

from npbloom.conformance.backends._torch import array, integers, names_every_row, tensor, threads
from npbloom.conformance.cases.backend import Backend, Session, Unsupported
from npbloom.conformance.cases.case import Case, Outputs

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
}


ACCUMULATORS: dict[str, dict[str, str]] = {
    "float16": {"forward": "float32", "backward": "float16"},
    "bfloat16": {"forward": "float32", "backward": "bfloat16"},
    "float32": {"forward": "float32", "backward": "float32"},
    "float64": {"forward": "float64", "backward": "float64"},
}

COUNTS = "pytorch#190063: embedding_bag divides a gradient by how often another id occurs, on a CPU"
EARLY = "max_norm scales rows before it looks at the next id: a lookup that raises has written to the table"
NOTHING = 5e-324  # SparseAdam refuses an eps of 0; this one only changes a sum with 0
LATE_EPS = "SparseAdam adds eps before bias correction"


@cache
def warm_up() -> None:
    """
    Take one step.

    The first step imports torch's compiler; without this, the child of every check would import it.
    """
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.SGD([weight], lr=0.1).step()


class TorchCPU(Backend):
    """
    `torch.nn.functional.embedding` and `embedding_bag`, and `torch.optim`'s optimizers.

    These are SGD, Adagrad and (dense) Adam.

    Parameters
    ----------
    sparse : bool, default False
        Request sparse gradients, which torch has for lookups, and for sums and means without
        frequencies.
    profile : dict of str to dict, optional
        Dtypes and accumulators, by default float32 and float64; `torch_cpu.ACCUMULATORS` also has
        those of float16 and bfloat16.
    policy : dict of str to str, optional
        Claims in place of `TorchCPU.policy`, to test torch where it promises nothing.
    num_threads : int, default 1
        Number of threads. Checks run in forked children, which cannot use more than one if the
        parent's torch did before.

    Notes
    -----
    Momentum, weight decay and Adam move every row of a dense gradient. The adapter answers a step
    if torch takes its gradient sparse, or if it names every row, so that both ways are the same.
    """

    name = "torch-cpu"
    version = torch.__version__
    profile: ClassVar[dict[str, dict[str, str]]] = {dtype: ACCUMULATORS[dtype] for dtype in ("float32", "float64")}
    policy: ClassVar[dict[str, str]] = {
        "out_of_bounds": "raise",
        "invalid_offsets": "undefined",
        "max_tie": "first",
        "max_nan": "by-order",
        "padding_forward": "row",
        "mean_weights": "refused",
    }
    known_faults: ClassVar[dict[str, str]] = {
        "bag.scale_grad_by_freq": COUNTS,
        "bag.combined_by_freq": COUNTS,
        "bag.no_columns": "ids of shape (2, 0) raise `step must be nonzero`",
        "embedding.out_of_bounds": EARLY,
        "bag.out_of_bounds": EARLY,
    }

    def __init__(
        self,
        *,
        sparse: bool = False,
        profile: Mapping[str, Mapping[str, str]] | None = None,
        policy: Mapping[str, str] | None = None,
        num_threads: int = 1,
    ) -> None:
        self.sparse, self.num_threads = sparse, num_threads
        self._given = {"profile": profile, "policy": policy}
        claims = {dtype: dict(sums) for dtype, sums in (profile or self.profile).items()}
        self.__dict__.update(profile=claims, policy={**self.policy, **(policy or {})})
        warm_up()

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        given = ["sparse=True"] if self.sparse else []
        given += [f"{name}={claims!r}" for name, claims in self._given.items() if claims]
        given += [f"num_threads={self.num_threads}"] if self.num_threads != 1 else []
        return f"TorchCPU({', '.join(given)})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            ``embedding``, ``bag``, ``sgd``, ``adagrad`` or ``adam``.

        Returns
        -------
        dict of str to array
            Gradients of lookups as ``grad_weight``, or as ``rows`` and ``values`` if they are
            sparse.

        Raises
        ------
        Unsupported
            Another operation or dtype, or an option that torch refuses.
        """
        if case.op in OPTIMIZERS:
            return self.session(case).step(case)
        lookup = {"embedding": _embedding, "bag": _bag}.get(case.op)
        if lookup is None:
            raise Unsupported(f"torch has no {case.op!r}")
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        if self.sparse and case.scale_grad_by_freq:
            raise Unsupported("scale_grad_by_freq is refused with sparse gradients")
        if case.mode == "max" and (self.sparse or case.scale_grad_by_freq):
            raise Unsupported("a maximum is refused with sparse gradients, and with scale_grad_by_freq")
        with threads(self.num_threads):
            return lookup(case, self.sparse)

    def session(self, case: Case) -> Session:
        """
        Return a session whose optimizer and parameter stay.

        Parameters
        ----------
        case : Case
            The table, state and options before the first step.

        Returns
        -------
        Session
            Its steps give the optimizer a sparse gradient if it takes one.
        """
        if case.op not in OPTIMIZERS:
            raise Unsupported(f"torch has no {case.op!r}")
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        return Training(self, case, self.num_threads)


# ---- lookups -------------------------------------------------------------------------------------


def _embedding(case: Case, sparse: bool) -> Outputs:
    """Run a lookup of rows."""

    def lookup(weight: torch.Tensor) -> torch.Tensor:
        return functional.embedding(
            integers(case.ids),
            weight,
            padding_idx=case.padding_idx,
            max_norm=case.max_norm,
            norm_type=2.0 if case.norm_type is None else case.norm_type,
            scale_grad_by_freq=bool(case.scale_grad_by_freq),
            sparse=sparse,
        )

    return _forward_backward(case, lookup)


def _bag(case: Case, sparse: bool) -> Outputs:
    """Run a lookup of bags."""
    factors = None if case.per_sample_weights is None else tensor(case.per_sample_weights, case.dtype).requires_grad_()

    def lookup(weight: torch.Tensor) -> torch.Tensor:
        return functional.embedding_bag(
            integers(case.ids),
            weight,
            None if case.offsets is None else integers(case.offsets),
            max_norm=case.max_norm,
            norm_type=2.0 if case.norm_type is None else case.norm_type,
            scale_grad_by_freq=bool(case.scale_grad_by_freq),
            mode=case.mode or "mean",
            sparse=sparse,
            per_sample_weights=factors,
            include_last_offset=bool(case.include_last_offset),
            padding_idx=case.padding_idx,
        )

    outputs = _forward_backward(case, lookup)
    if factors is not None:
        outputs["grad_per_sample_weights"] = array(factors.grad)
    return outputs


def _forward_backward(case: Case, lookup: Callable[[torch.Tensor], torch.Tensor]) -> Outputs:
    """
    Run forward, and backward from the output's gradient.

    If torch raises an error, all that it wrote to the table before is copied to the case, where the
    kit detects it. If max_norm wrote as it should, the case keeps its table.
    """
    before = None if case.max_norm is None else case.weight.copy()
    weight = tensor(case.weight, case.dtype).requires_grad_()
    try:
        out = lookup(weight)
    except Exception:
        case.weight[...] = array(weight)
        raise
    outputs = {"out": array(out)}
    out.backward(tensor(case.grad_out, case.dtype))
    if before is not None:
        outputs["weight"] = array(weight)
        case.weight[...] = before
    grad = weight.grad
    assert grad is not None
    if not grad.is_sparse:
        return {**outputs, "grad_weight": array(grad)}
    grad = grad.coalesce()
    return {**outputs, "rows": array(grad.indices()[0]), "values": array(grad.values())}


# ---- optimizers ----------------------------------------------------------------------------------


class Training(Session):
    """A session: a parameter and its optimizer."""

    def __init__(self, backend: Backend, case: Case, num_threads: int) -> None:
        super().__init__(backend, case)
        self._op, self._dtype, self._threads = case.op, case.dtype, num_threads
        self._weight = torch.nn.Parameter(tensor(case.weight.copy(), case.dtype))
        self._optimizer = self._make(dict(case.options or {}))
        self._optimizer.state[self._weight] = {
            name: self._count(int(before)) if name == "step" else tensor(before.copy(), case.dtype)
            for name, before in (case.state or {}).items()
        }

    def _make(self, options: dict[str, Any]) -> torch.optim.Optimizer:
        """Return the optimizer; it takes sparse gradients unless an option would move every row."""
        moves_all = self._op == "adam" or options.get("momentum") or options["weight_decay"]
        self._dense = bool(moves_all)
        return OPTIMIZERS[self._op]([self._weight], **options)

    def _count(self, steps: int) -> Any:
        """Return the number of steps as this optimizer counts them."""
        return torch.tensor(float(steps))

    def step(self, case: Case) -> Outputs:
        """Take one step; return table and state after it."""
        if self._dense and not names_every_row(case, len(self._weight)):
            raise Unsupported("momentum, weight decay and Adam move every row, named or not")
        with threads(self._threads):
            values = tensor(case.values, self._dtype)
            grad = torch.sparse_coo_tensor(integers(case.rows)[None], values, self._weight.shape, check_invariants=True)
            self._weight.grad = grad.to_dense() if self._dense else grad
            self._optimizer.step()
        state = {name: array(torch.as_tensor(value)) for name, value in self._optimizer.state[self._weight].items()}
        return {"weight": array(self._weight), "state": state}


class TorchSparseAdam(Backend):
    """
    `torch.optim.SparseAdam`, the lazy Adam: it moves only the rows that are named.

    Parameters
    ----------
    convert_eps : bool, default True
        SparseAdam adds eps before bias correction,
        ``lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps)``. With True it gets
        ``eps * sqrt(1 - beta2**t)``, which makes both formulas the same. With False it gets eps
        unchanged, and differs.
    """

    name = "torch-sparse-adam"
    version = torch.__version__
    profile: ClassVar[dict[str, dict[str, str]]] = TorchCPU.profile

    def __init__(self, *, convert_eps: bool = True) -> None:
        self.convert_eps = convert_eps
        if not convert_eps:
            late = ("eps", "precision", "determinism", "several_steps")
            self.__dict__.update(known_faults={f"adam.{name}": LATE_EPS for name in late})
        warm_up()

    def __repr__(self) -> str:
        """Return the call that makes this adapter."""
        return f"TorchSparseAdam({'' if self.convert_eps else 'convert_eps=False'})"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case of ``adam`` without weight decay.

        Parameters
        ----------
        case : Case
            The step.

        Returns
        -------
        dict of str to array
            ``weight`` and ``state``.

        Raises
        ------
        Unsupported
            Everything else.
        """
        return self.session(case).step(case)

    def session(self, case: Case) -> Session:
        """
        Return a session whose optimizer and parameter stay.

        Parameters
        ----------
        case : Case
            The table, state and options before the first step.

        Returns
        -------
        Session
            Its steps give the optimizer sparse gradients.
        """
        if case.op != "adam":
            raise Unsupported("an optimizer only, and only Adam")
        if case.dtype not in self.profile:
            raise Unsupported(f"tables are {', '.join(self.profile)}, not {case.dtype}")
        if (case.options or {})["weight_decay"]:
            raise Unsupported("SparseAdam has no weight decay")
        return LazyTraining(self, case, self.convert_eps)


class LazyTraining(Training):
    """A session: a parameter and its SparseAdam."""

    def __init__(self, backend: Backend, case: Case, convert_eps: bool) -> None:
        self._convert = convert_eps
        super().__init__(backend, case, num_threads=1)

    def _make(self, options: dict[str, Any]) -> torch.optim.Optimizer:
        """Return the optimizer; it takes sparse gradients only."""
        self._dense = False
        self._eps, self._beta = options["eps"], options["betas"][1]
        return torch.optim.SparseAdam([self._weight], lr=options["lr"], betas=options["betas"], eps=self._eps or NOTHING)

    def _count(self, steps: int) -> Any:
        """Return the number of steps as a Python integer, as SparseAdam takes powers of betas."""
        return steps

    def step(self, case: Case) -> Outputs:
        """Take one step, if wanted with the eps that gives Adam's formula."""
        if self._convert:
            count = self._optimizer.state[self._weight]["step"] + 1
            self._optimizer.param_groups[0]["eps"] = self._eps * math.sqrt(1 - self._beta**count) or NOTHING
        return super().step(case)
