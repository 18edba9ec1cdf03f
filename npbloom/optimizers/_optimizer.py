"""The base of all optimizers: hyperparameters, and the state of each layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, final, overload

import numpy as np
import numpy.typing as npt

from npbloom import _arrays, _check
from npbloom.layers import Layer
from npbloom.ops._initial import zeros
from npbloom.ops._steps import Rule, check_gradient
from npbloom.optimizers._state import MOST_STEPS, ArraySpec, Given, Specs, State, check_state, check_step, state_arrays
from npbloom.types import ArrayLike, FloatArray, RowGrad

Value = TypeVar("Value")


class Setting(Generic[Value]):
    """A hyperparameter that is checked when it is set; only one that says so can be set again."""

    def __init__(self, check: Callable[[Any, str], Value], assignable: bool = False) -> None:
        self._check, self._assignable = check, assignable

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...
    def __get__(self, instance: object | None, owner: type) -> Value | Setting[Value]:
        if instance is None:
            return self
        value: Value = instance.__dict__[self._name]
        return value

    def __set__(self, instance: object, value: Any) -> None:
        if self._name in instance.__dict__ and not self._assignable:
            raise AttributeError(f"`{self._name}` is fixed at construction; only `lr` can be assigned.")
        instance.__dict__[self._name] = self._check(value, self._name)


class Optimizer(ABC):
    """
    An update rule and its state for each layer.

    Abstract: the optimizers of `npbloom.optimizers` are final.

    Parameters
    ----------
    layers : Layer or iterable of Layer
        What is trained.
    lr : float
        Learning rate, at least 0; may be assigned between steps.

    Attributes
    ----------
    hyperparameters : tuple of str
        Names of the hyperparameters, in the order of the constructor.

    Notes
    -----
    Compared and hashed by identity. Pickle and deepcopy carry layers and state along: pickle an
    optimizer together with its layers, and the copy of the one knows the copies of the others.

    Members are abstract or final. An optimizer says which state it keeps (`state_spec`), what that
    starts from, and which kernel steps.

    Examples
    --------
    >>> isinstance(nb.SGD(nb.ZeroEmbedding(3, 2), lr=0.1), Optimizer)
    True
    """

    lr = Setting(_check.at_least_zero, assignable=True)
    hyperparameters: ClassVar[tuple[str, ...]]
    _starts: ClassVar[Mapping[str, str]] = {}  # state that starts from a hyperparameter, not from 0

    def __init__(self, layers: Layer | Iterable[Layer], lr: float) -> None:
        self.lr = lr
        given = [layers] if isinstance(layers, Layer) else list(layers)
        for number, layer in enumerate(given):
            if not isinstance(layer, Layer):
                raise TypeError(f"`layers` must be layers, not {type(layer).__name__} at position {number}.")
            _check.writable(layer.checked_table(), "layers", f"to be trained: the table at position {number}")
            if any(layer is other for other in given[:number]):
                raise ValueError(f"`layers` must be different layers; the one at position {number} occurs before.")
        if not given:
            raise ValueError("`layers` must hold at least one layer.")
        self._given = given

    def _allocate(self, state: Given | None) -> None:
        """Adopt or make the state of every layer; called when all hyperparameters are checked."""
        layers = self.__dict__.pop("_given")
        given = {} if state is None else state
        if not isinstance(given, Mapping):
            raise TypeError(f"`state` must be a dict of layers to their arrays, not {type(given).__name__}.")
        known = set(layers)
        for layer in given:
            if layer not in known:
                raise ValueError(f"`state` must be of layers in `layers`, not of {layer!r}.")
        self._adopt(layers, given)

    def _adopt(self, layers: Iterable[Layer], given: Given) -> None:
        """Take the layers and the state that is given for some of them, after checking all."""
        self._specs = {layer: self._spec_of(layer) for layer in layers}
        known = [("weight", layer.checked_table()) for layer in layers]
        for layer, arrays in given.items():
            known += check_state(arrays, layer, self._specs[layer], known)
        for _, array in known:
            _arrays.expect_random_rows(array)
        self._states: dict[Layer, State] = {layer: dict(given.get(layer) or self._new_state(layer)) for layer in layers}
        self._found = {layer: dict(state) for layer, state in self._states.items()}

    @final
    @classmethod
    def state_spec(
        cls, table_shape: tuple[int, int], dtype: npt.DTypeLike, num_slices: int = 1, **hyperparameters: Any
    ) -> dict[str, ArraySpec]:
        """
        Names, shapes and dtypes of the state that a table takes; no array is made.

        Parameters
        ----------
        table_shape : pair of int
            Rows and columns of the table.
        dtype : float32 or float64
            Of the table.
        num_slices : int, default 1
            As of the layer: k where probes are concatenated (L21).
        **hyperparameters
            Of the constructor; one that is left out has its default.

        Returns
        -------
        dict of str to ArraySpec
            Under torch's names, as in `state`.

        Examples
        --------
        >>> spec = nb.Adam.state_spec((1_000_000, 64), np.float32)
        >>> {name: each.nbytes for name, each in spec.items()}
        {'exp_avg': 256000000, 'exp_avg_sq': 256000000, 'step': 8}
        """
        return cls._state_spec(ArraySpec(table_shape, np.dtype(dtype)), num_slices, hyperparameters)

    @classmethod
    @abstractmethod
    def _state_spec(cls, table: ArraySpec, num_slices: int, hyperparameters: Mapping[str, Any]) -> Specs:
        """The state of a table like this."""

    def _spec_of(self, layer: Layer) -> Specs:
        """The state of a layer. Found once for each: nothing that decides it can change."""
        settings = {name: getattr(self, name) for name in self.hyperparameters}
        return self.state_spec(layer.table_shape, layer.dtype, layer.num_slices, **settings)

    def _new_state(self, layer: Layer) -> State:
        """State before the first step."""
        state: State = {}
        for name, spec in self._specs[layer].items():
            state[name] = zeros(*spec)
            if self._initial(name) != 0:
                with np.errstate(over="ignore"):  # too large for float32: inf (L33)
                    _arrays.fill(state[name], self._initial(name))
        return state

    @abstractmethod
    def _rule(self, layer: Layer, state: State, table: FloatArray) -> Rule:
        """The next step on a layer."""

    @final
    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers this optimizer was constructed on, in order."""
        return tuple(self._states)

    @final
    def state(self, layer: Layer) -> State:
        """
        The state of a layer.

        Parameters
        ----------
        layer : Layer
            One that this optimizer was constructed on.

        Returns
        -------
        dict of str to array
            The live arrays, under torch's names: ``momentum_buffer``, ``sum``, ``exp_avg``,
            ``exp_avg_sq``, and ``step``, a 0-d int64. Element-wise state has the table's shape.

        Raises
        ------
        KeyError
            The optimizer was not constructed on this layer.
        """
        try:
            return self._states[layer]
        except (KeyError, TypeError):
            raise KeyError(f"This {type(self).__name__} was not constructed on {layer!r}.") from None

    @final
    def reset_state(self, layer: Layer) -> None:
        """
        Put a layer's state back to where it was before the first step, in place.

        Parameters
        ----------
        layer : Layer
            One that this optimizer was constructed on.

        Raises
        ------
        KeyError
            The optimizer was not constructed on this layer.
        TypeError, ValueError
            An array of the state was closed, reshaped or replaced; nothing is written then (L3).
        """
        with np.errstate(over="ignore"):
            for name, array in state_arrays(self.state(layer), layer, self._expected(layer)).items():
                _arrays.fill(array, self._initial(name))

    @final
    def _initial(self, name: str) -> float:
        """The value that a state array starts from."""
        setting = self._starts.get(name)
        return 0 if setting is None else float(getattr(self, setting))

    @final
    def step(self, layer: Layer, grad: RowGrad | ArrayLike) -> None:
        """
        Apply a gradient to a layer's table.

        Parameters
        ----------
        layer : Layer
            One that this optimizer was constructed on.
        grad : RowGrad or float array, shape of the table
            A RowGrad touches its rows only: weight decay, momentum and decay of moments are lazy
            (L27). A dense gradient touches all rows but padding.

        Raises
        ------
        KeyError
            The optimizer was not constructed on this layer.
        TypeError, ValueError
            The gradient does not fit the table, or is a RowGrad that names a padding row; nothing
            is written then (L3).

        Notes
        -----
        L27 to L32.
        """
        state, table = self._ready(layer)
        rule = self._rule(layer, state, table)
        if isinstance(grad, RowGrad):
            checked = check_gradient(grad, rule.weight, rule.reserved)
        else:
            dense = _check.floats(grad, "grad", table.dtype)
            _check.shape(dense, "grad", table.shape)
            checked = layer.gradient_view(dense)
        self._take(state, rule.prepare(checked))

    @final
    def update(self, layer: Layer, ids: ArrayLike, grad_out: ArrayLike, **bag_arguments: Any) -> None:
        """
        Backward and step in one pass over the touched rows.

        Parameters
        ----------
        layer : Layer
            One that this optimizer was constructed on.
        ids : int array
            The ids (or bag indices) that were looked up.
        grad_out : float array
            Gradient of the loss with respect to the layer's output.
        **bag_arguments
            ``offsets`` and ``per_sample_weights`` of bags.

        Raises
        ------
        KeyError
            The optimizer was not constructed on this layer.
        TypeError, IndexError, ValueError
            As the layer's `backward`; nothing is written then (L3).

        Notes
        -----
        The same bits as ``step(layer, layer.backward(ids, grad_out, sparse=True))``, whatever the
        layer's own setting, and never an array of the table's size (L26). Two calls are two steps.

        Examples
        --------
        >>> from npbloom.layers import ZeroEmbedding
        >>> layer = ZeroEmbedding(3, 1)
        >>> nb.SGD(layer, lr=0.5).update(layer, [1, 1], [[1.0], [2.0]])
        >>> layer.weight.ravel()
        array([ 0. , -1.5,  0. ], dtype=float32)
        """
        (state, table), contributions = layer.prepared(
            lambda: self._ready_for(layer, bag_arguments), ids, grad_out, **bag_arguments
        )
        self._take(state, layer.agreed(lambda: self._rule(layer, state, table).prepare_fused(contributions)))

    def _ready_for(self, layer: Layer, bag_arguments: Mapping[str, Any]) -> tuple[State, FloatArray]:
        """State and table of a layer, found fit, after a check of the names of arguments."""
        for name in bag_arguments.keys() - layer.bag_arguments:
            known = " and ".join(f"`{each}`" for each in layer.bag_arguments) or "nothing but ids and their gradient"
            raise TypeError(f"`update` of a {type(layer).__name__} takes {known}, not `{name}`.")
        return self._ready(layer)

    def _ready(self, layer: Layer) -> tuple[State, FloatArray]:
        """
        State and table of a layer, found fit to be stepped on.

        Arrays of the caller's can be closed, reshaped or replaced, and a counter can be written to.
        """
        state, table = self.state(layer), layer.checked_table()
        _check.writable(table, "weight", "to be trained")
        specs, found = self._expected(layer), self._found[layer]
        fits = state.keys() == specs.keys()
        for name, spec in specs.items():
            array = state.get(name)
            alike = isinstance(array, np.ndarray) and array.shape == spec.shape and array.dtype == spec.dtype
            fits = fits and alike and array is found.get(name) and array.flags.carray  # type: ignore[union-attr]
            fits = fits and (name != "step" or 0 <= array.item() < MOST_STEPS - 1)  # type: ignore[union-attr]
        if not fits:
            known = [("weight", other.checked_table()) for other in self._states]
            known += [each for other, found in self._found.items() if other is not layer for each in found.items()]
            check_state(state, layer, specs, known)
            if "step" in state:
                check_step(state["step"], MOST_STEPS - 1)
            self._found[layer] = dict(state)
        return state, table

    def _expected(self, layer: Layer) -> Specs:
        """The state of a layer, as found when it was adopted; pickles do not hold it."""
        specs = self._specs.get(layer)
        if specs is None:
            specs = self._specs[layer] = self._spec_of(layer)
        return specs

    @staticmethod
    def _target(layer: Layer, table: FloatArray) -> tuple[FloatArray, range]:
        """The table as gradients see it, and the rows there that are never trained (L21, L22)."""
        reserved, slices = layer.reserved_rows, layer.num_slices
        return layer.gradient_view(table), range(reserved.start * slices, reserved.stop * slices)

    @staticmethod
    def _take(state: State, step: Callable[[], Any]) -> None:
        """Count a step that is ready, an empty batch included (L31), and take it."""
        if "step" in state:
            state["step"] += 1
        step()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a layer decides."""
        return {name: value for name, value in self.__dict__.items() if name != "_specs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore; an older pickle does not say which arrays were found to fit."""
        self.__dict__.update({"_found": {layer: {} for layer in state["_states"]}, "_specs": {}} | state)

    def __repr__(self) -> str:
        """The hyperparameters and the number of layers."""
        words = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.hyperparameters)
        return f"{type(self).__name__}({len(self._states)} layer{'s' * (len(self._states) != 1)}, {words})"
