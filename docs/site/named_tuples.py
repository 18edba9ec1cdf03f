"""
Griffe extension for NamedTuple classes, whose fields are the parameters of their constructors.
"""

from __future__ import annotations

from typing import Any

import griffe


class NamedTuples(griffe.Extension):
    """Extension that gives each NamedTuple its signature."""

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Write the constructor from the fields."""
        if "NamedTuple" not in [str(base).rpartition(".")[2] for base in cls.bases]:
            return
        fields = [each for each in cls.attributes.values() if each.annotation is not None]
        kind = griffe.ParameterKind.positional_or_keyword
        own = [griffe.Parameter("self", kind=kind)]
        own += [griffe.Parameter(each.name, annotation=each.annotation, kind=kind, default=each.value) for each in fields]
        constructor = griffe.Function("__init__", parameters=griffe.Parameters(*own), returns="None", parent=cls)
        cls.set_member("__init__", constructor)
