"""Optimizers to and from the state dicts of `torch.optim`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from npbloom import _check
from npbloom.interop._arrays import Convert, as_array, entry, listed
from npbloom.layers import Layer
from npbloom.optimizers import SGD, Adagrad, Adam, Optimizer
from npbloom.optimizers._state import MOST_STEPS, SQUARES

Kind = TypeVar("Kind", SGD, Adagrad, Adam)

# Keys that do not change the result.
NEUTRAL: Final = {"params", "param_names", "foreach", "fused", "capturable", "differentiable", "initial_lr"}


class Rule(NamedTuple):
    """Keys that identify an optimizer in torch's groups, and values that must be as in npbloom."""

    own: tuple[str, ...]
    fixed: dict[str, Any]
    absent: dict[str, Any]  # of groups that leave a hyperparameter out


RULES: Final[dict[type[Any], Rule]] = {
    SGD: Rule(("momentum", "dampening"), {"dampening": 0, "nesterov": False, "maximize": False}, {}),
    Adagrad: Rule(("lr_decay",), {"maximize": False}, {}),
    Adam: Rule(("betas",), {"amsgrad": False, "maximize": False, "decoupled_weight_decay": False}, {"weight_decay": 0.0}),
}
MORE: Final = {"foreach": None, "differentiable": False, "fused": None}


def optimizer_from_torch(state_dict: Mapping[str, Any], optimizer: type[Kind], layers: Mapping[int | str, Layer]) -> Kind:
    """
    Return an optimizer that continues from the state of one of `torch.optim`.

    Parameters
    ----------
    state_dict : dict
        State dict of the torch optimizer, from ``state_dict()``; its values are tensors or arrays.
    optimizer : type
        `SGD`, `Adagrad` or `Adam`, since a state dict does not name its class. `Adam` also takes
        the state of ``torch.optim.SparseAdam``.
    layers : dict of int or str to layer
        Layers to train, by the numbers of their parameters, or by their names if the torch
        optimizer was constructed on ``named_parameters``. Other parameters are left out.

    Returns
    -------
    SGD, Adagrad or Adam
        An optimizer of these layers, with torch's hyperparameters and state.

    Raises
    ------
    TypeError, ValueError
        The state dict is of another optimizer, has a feature that npbloom lacks (Nesterov,
        dampening, amsgrad, decoupled decay, maximize, hyperparameters that differ between layers),
        or has a state that does not fit its layer.

    Notes
    -----
    - State dicts of older versions of torch lack the key ``decoupled_weight_decay``, and nothing
      else tells AdamW's from Adam's. Without weight decay the two are the same, and such a state is
      taken. With weight decay the key must be added to each group, False for Adam's.
    - State is copied. A parameter that torch has not stepped yet starts from fresh state.
    - With dense gradients the next steps are torch's up to rounding (L28, L29, L31). With a RowGrad
      decay is lazy (L27), and Adam differs from ``SparseAdam``, which adds eps before bias
      correction.

    Examples
    --------
    >>> from npbloom.interop import optimizer_from_torch
    >>> state_dict = {
    ...     "state": {0: {"step": np.float32(7), "sum": np.full((2, 1), 9.0, np.float32)}},
    ...     "param_groups": [{"lr": 0.5, "lr_decay": 0, "weight_decay": 0, "eps": 1e-10,
    ...                       "initial_accumulator_value": 0, "params": [0]}],
    ... }
    >>> layer = nb.ZeroEmbedding(2, 1)
    >>> optimizer = optimizer_from_torch(state_dict, nb.Adagrad, {0: layer})
    >>> optimizer.lr, optimizer.state(layer)["step"], optimizer.state(layer)["sum"].ravel()
    (0.5, array(7), array([9., 9.], dtype=float32))
    """
    if optimizer not in RULES:
        raise TypeError(f"`optimizer` must be SGD, Adagrad or Adam, which torch has, too, not {optimizer!r}.")
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError("`layers` must be a dict of parameter numbers or names to layers, with at least one.")
    groups = list(entry(state_dict, "param_groups"))
    places = {key: _place(key, groups) for key in layers}
    chosen = {key: _hyperparameters(optimizer, groups[number]) for key, (number, _) in places.items()}
    first = next(iter(chosen))
    for key, found in chosen.items():
        for name, value in found.items():
            if value != chosen[first][name]:
                raise ValueError(
                    f"`layers` must have the same hyperparameters, not {name} {chosen[first][name]} for {first!r} and {value} "
                    f"for {key!r}: make an optimizer for each."
                )
    made: Kind = optimizer(layers.values(), **chosen[first])
    for key, (_, parameter) in places.items():
        _fill(made.state(layers[key]), entry(state_dict, "state").get(parameter) or {}, key)
    return made


def _place(key: Any, groups: list[Any]) -> tuple[int, int]:
    """Return the group of a parameter, and the parameter's number in it."""
    known: list[Any] = []
    for number, group in enumerate(groups):
        parameters = list(entry(group, "params", "param_groups"))
        names = parameters if isinstance(key, int) else list(group.get("param_names", ()))
        if key in names:
            return number, parameters[names.index(key)]
        known += names
    raise ValueError(f"`layers` must name parameters of the state dict, not {key!r}: it has {listed(known)}.")


def _hyperparameters(optimizer: type[Optimizer], group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the constructor; raise a ValueError for what it cannot express."""
    rule = RULES[optimizer]
    for key in rule.own:
        entry(group, key, "param_groups")
    if optimizer is Adam and "amsgrad" not in group and "weight_decay" in group:
        raise ValueError("`param_groups` must be those of Adam or SparseAdam: they lack 'amsgrad', as RAdam's and Adamax's do.")
    if optimizer is Adam and "decoupled_weight_decay" not in group and group.get("weight_decay", 0) != 0:
        raise ValueError(
            "`param_groups` must have the key 'decoupled_weight_decay' beside weight decay, False for Adam's: without it AdamW's "
            "looks the same."
        )
    for key, value in group.items():
        if key in rule.fixed:
            if value != rule.fixed[key]:
                raise ValueError(f"`param_groups` must have {key}={rule.fixed[key]}, not {value}: npbloom has nothing else.")
        elif key not in NEUTRAL and key not in optimizer.hyperparameters:
            raise ValueError(f"`param_groups` must be those of {optimizer.__name__}, which has no {key!r}.")
    found = {}
    for name in optimizer.hyperparameters:
        value = rule.absent[name] if name in rule.absent and name not in group else entry(group, name, "param_groups")
        found[name] = tuple(map(float, value)) if name == "betas" else float(value)
    return found


def _fill(state: dict[str, np.ndarray[Any, Any]], given: Mapping[str, Any], key: Any) -> None:
    """Copy a parameter's state; keep the fresh state if torch has not made one yet."""
    unknown = [name for name, value in given.items() if name not in state and value is not None]
    if unknown and state:
        raise ValueError(f"`state` of {key!r} must have {listed(state)}, not {listed(unknown)}.")
    present = {name: given[name] for name in state if given.get(name) is not None}
    if present and len(present) < len(state):
        raise ValueError(f"`state` of {key!r} must have {listed(state)}, not only {listed(present)}.")
    for name, value in present.items():
        array = as_array(value, name)
        if array.shape != state[name].shape:
            raise ValueError(f"`{name}` of {key!r} must have shape {state[name].shape}, not {array.shape}.")
        if name == "step":
            if not (0 <= array < MOST_STEPS and array == int(array)):
                raise ValueError(f"`step` of {key!r} must be a number of steps, not {array}.")
        elif array.dtype.newbyteorder("=") != state[name].dtype:
            raise ValueError(f"`{name}` of {key!r} must be {state[name].dtype}, as the layer is, not {array.dtype}.")
        elif name in SQUARES:
            _check.no_negative(array, f"`{name}` of {key!r}")
        state[name][...] = array


def optimizer_to_torch(optimizer: SGD | Adagrad | Adam, *, copy: bool = True, convert: Convert | None = None) -> dict[str, Any]:
    """
    Return the state dict of the optimizer of `torch.optim` with the same name.

    Parameters
    ----------
    optimizer : SGD, Adagrad or Adam
        Optimizer to export. Its layers are parameters 0, 1 and so on, in the order of
        ``optimizer.layers``.
    copy : bool, default True
        If False, return the state arrays themselves. ``load_state_dict`` of torch 2.13 keeps the
        memory that it is given.
    convert : callable, optional
        Function that is applied to each array. ``torch.from_numpy`` gives what
        ``torch_optimizer.load_state_dict`` takes.

    Returns
    -------
    dict
        ``{"state": {0: {...}, ...}, "param_groups": [{...}]}``; ``step`` is a float32 0-d array as
        in torch, float64 from ``2**24`` steps on.

    Raises
    ------
    TypeError
        torch has no such optimizer.

    Examples
    --------
    >>> from npbloom.interop import optimizer_to_torch
    >>> found = optimizer_to_torch(nb.SGD(nb.ZeroEmbedding(2, 1), lr=0.5, momentum=0.9))
    >>> found["state"][0]["momentum_buffer"].ravel(), found["param_groups"][0]["lr"]
    (array([0., 0.], dtype=float32), 0.5)
    """
    if type(optimizer) not in RULES:
        raise TypeError(f"`optimizer` must be SGD, Adagrad or Adam, which torch has, too, not {type(optimizer).__name__}.")
    group = {name: getattr(optimizer, name) for name in optimizer.hyperparameters} | RULES[type(optimizer)].fixed | MORE
    state = {}
    for number, layer in enumerate(optimizer.layers):
        arrays = {name: _step(array) if name == "step" else array for name, array in optimizer.state(layer).items()}
        arrays = {name: array.copy() if copy else array for name, array in arrays.items()}
        state[number] = {name: array if convert is None else convert(array) for name, array in arrays.items()}
    numbers = list(range(len(optimizer.layers)))
    return {"state": state, "param_groups": [{**group, "params": numbers}]}


def _step(count: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a number of steps as torch keeps it, in a dtype that holds it."""
    return np.array(count, dtype=np.float32 if count < 2**24 else np.float64)
