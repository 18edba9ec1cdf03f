"""
`Backend`, an implementation under test; `Session`, several steps of it; `Unsupported`.

A backend raises `Unsupported` to decline a case.
"""

from __future__ import annotations

from typing import ClassVar

from npbloom.conformance.cases.case import Case, Outputs, copied

# Choices where backends may differ; the first is the default.
POLICIES: dict[str, tuple[str, ...]] = {
    "out_of_bounds": ("raise", "undefined"),
    "invalid_offsets": ("undefined", "raise"),
    "max_tie": ("first", "last", "any"),
    "max_nan": ("propagate", "by-order"),
    "padding_forward": ("row", "zero"),
    "mean_weights": ("refused", "any"),
}


class Unsupported(Exception):
    """
    The exception of an adapter for an operation, option or dtype that its backend does not offer.

    Examples
    --------
    >>> raise Unsupported("no bags of float16")
    Traceback (most recent call last):
        ...
    npbloom.conformance.cases.backend.Unsupported: no bags of float16
    """


class Crashed(Exception):
    """A program behind an adapter died or wrote nonsense: this never counts as refusing a case."""


class Hung(BaseException):
    """
    A program behind an adapter did not answer in time: this ends its check at once.

    Hypothesis does not catch a BaseException, so it does not try smaller cases. Each of them would
    cost the whole limit again.
    """

    def __init__(self, case: Case, sentence: str) -> None:
        super().__init__(sentence)
        self.case = case


class Backend:
    """
    An implementation under test. A subclass has a name and `run`; everything else has defaults.

    Attributes
    ----------
    name, version : str
        Shown in reports.
    profile : dict of str to dict
        For each dtype to be tested, the accumulators, forward and backward: a dtype, or
        "float32x16", runs of 16 terms in float32 that are added in float64. The kit verifies these
        claims.
    policy : dict of str to str
        Choices where backends may differ; see `POLICIES`. The first value of each is the default.
    omits : dict of str to str
        Checks that are declined by name, each with the reason.
    known_faults : dict of str to str
        Checks that fail, each with the reason. Pass it to `check` as `expected_failures`.
    in_process : bool
        True if checks may run in the calling process. By default each runs in a forked child, so
        that a backend that dies or hangs is a failed check.

    Examples
    --------
    >>> class Gather(Backend):
    ...     name = "gather"
    ...     def run(self, case):
    ...         if case.op != "embedding" or case.max_norm is not None:
    ...             raise Unsupported("lookups only")
    ...         return {"out": case.weight[case.ids]}
    """

    name: str = "unnamed"
    version: str = ""
    profile: ClassVar[dict[str, dict[str, str]]] = {"float32": {"forward": "float32", "backward": "float32"}}
    policy: ClassVar[dict[str, str]] = {}
    omits: ClassVar[dict[str, str]] = {}
    known_faults: ClassVar[dict[str, str]] = {}
    in_process: bool = False

    def __repr__(self) -> str:
        """
        Return the call that makes this backend, for snippets.

        An adapter whose constructor has arguments overrides it.
        """
        return f"{type(self).__qualname__}()"

    def run(self, case: Case) -> Outputs:
        """
        Answer one case.

        Parameters
        ----------
        case : Case
            The case. Its arrays are copies: a backend may keep them, and must not write to them.

        Returns
        -------
        dict of str to array
            Any subset of the operation's outputs. A missing key counts as "not exercised", never as
            "passed".

        Raises
        ------
        Unsupported
            The backend does not offer what the case asks for.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `run`.")

    def session(self, case: Case) -> Session:
        """
        Return an object that takes several optimizer steps.

        By default it calls `run` and feeds weight and state back.

        Parameters
        ----------
        case : Case
            The first step: table, state and options before it.

        Returns
        -------
        Session
            Its ``step(case)`` returns the outputs after that step. The case has new rows and values
            only.
        """
        return Session(self, case)


class Session:
    """
    Several steps on one table: the default of `Backend.session`.

    Parameters
    ----------
    backend : Backend
        The backend that takes the steps.
    case : Case
        The first step: table, state and options before it.

    Examples
    --------
    >>> class Halves(Backend):
    ...     def run(self, case):
    ...         return {"weight": case.weight / 2, "state": {}}
    >>> step = Case("sgd", rows=np.array([0]), values=np.ones((1, 1)))
    >>> session = Session(Halves(), step.replace(weight=np.array([[8.0]]), state={}))
    >>> [session.step(step)["weight"].item() for _ in range(3)]
    [4.0, 2.0, 1.0]
    """

    def __init__(self, backend: Backend, case: Case) -> None:
        self._backend = backend
        self._weight, self._state = case.weight, case.state

    def step(self, case: Case) -> Outputs:
        """
        Take one step, which starts from the outputs of the last one.

        Parameters
        ----------
        case : Case
            New rows and values.

        Returns
        -------
        dict of str to array
            Table and state after the step.
        """
        outputs = self._backend.run(case.replace(weight=copied(self._weight), state=copied(self._state)))
        if isinstance(outputs, dict):  # the check reports a missing output, not this method
            self._weight, self._state = outputs.get("weight", self._weight), outputs.get("state", self._state)
        return outputs
