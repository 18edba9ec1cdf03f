"""The base class of mutants: the right backend with one step replaced."""

from __future__ import annotations

import re
from types import ModuleType
from typing import ClassVar

from tests.conformance.mutants.right import Right


class Mutant(Right):
    """
    A backend with one fault, which is the first line of its docstring.

    Attributes
    ----------
    name : str
        The class's name in lower case with hyphens, such as ``sum-of-squares``.
    sentence : str
        The fault: the first line of the docstring.
    family : str
        The part of the laws that it breaks: the name of its module.
    origin : str
        The issue of a public tracker that reports such a fault, or ``synthetic``.
    caught_by : tuple of str
        Checks that must find it, in the order in which they run. Their operations are the wrong
        ones.
    """

    sentence: ClassVar[str] = ""
    family: ClassVar[str] = ""
    origin: ClassVar[str] = "synthetic"
    caught_by: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Take the name, sentence and family from the class."""
        super().__init_subclass__()
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__.replace("NaN", "Nan")).lower()
        cls.sentence = (cls.__doc__ or "").strip().splitlines()[0]
        cls.family = cls.__module__.rpartition(".")[2]

    @property
    def ops(self) -> tuple[str, ...]:
        """Operations that the fault affects."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.caught_by))


def members(module: ModuleType) -> list[Mutant]:
    """Return the mutants that a module defines, in its order."""
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Mutant)]
    return [each() for each in classes if each.__module__ == module.__name__ and each.caught_by]
