"""What a mutant is: the right backend with one step replaced, and where such a fault was seen."""

from __future__ import annotations

import re
from types import ModuleType
from typing import ClassVar

from tests.conformance.mutants.right import Right


class Mutant(Right):
    """
    A backend with one fault. A subclass says in the first line of its docstring what is wrong.

    Attributes
    ----------
    name : str
        Its own name, ``sums-of-squares``, made of the class's.
    sentence : str
        What is wrong.
    family : str
        Which part of the laws it breaks: the module it stands in.
    origin : str
        A public tracker's number where somebody had this fault, or ``synthetic``.
    caught_by : tuple of str
        Checks that must find it; the first is asked first. Their operations are the ones in which it is wrong.
    """

    sentence: ClassVar[str] = ""
    family: ClassVar[str] = ""
    origin: ClassVar[str] = "synthetic"
    caught_by: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Name and sentence come from the class itself."""
        super().__init_subclass__()
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__.replace("NaN", "Nan")).lower()
        cls.sentence = (cls.__doc__ or "").strip().splitlines()[0]
        cls.family = cls.__module__.rpartition(".")[2]

    @property
    def ops(self) -> tuple[str, ...]:
        """Operations in which it is wrong."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.caught_by))


def members(module: ModuleType) -> list[Mutant]:
    """The mutants that a module defines, in its order."""
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Mutant)]
    return [each() for each in classes if each.__module__ == module.__name__ and each.caught_by]
