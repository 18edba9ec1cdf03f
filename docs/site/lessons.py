"""
Notebooks as pages: text, code, printed output and pictures.

Formulas become MathML, which browsers show.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from latex2mathml.converter import convert

FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(?!\s)([^$\n]+?)(?<!\s)\$", re.DOTALL)
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def with_formulas(text: str) -> str:
    """Return the text with LaTeX between dollars as MathML. Code does not change."""

    def formula(match: re.Match[str]) -> str:
        return convert(match[1] or match[2], display="block" if match[1] else "inline")

    parts = CODE.split(text)
    parts[::2] = [FORMULA.sub(formula, part) for part in parts[::2]]
    return "".join(parts)


def fenced(text: str, language: str) -> str:
    """Return a fenced block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def outputs(cell: dict, name: str, pictures: dict[str, bytes]) -> list[str]:
    """Return the printed output and the pictures of a cell."""
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            picture = f"{name}-{len(pictures) + 1}.png"
            pictures[picture] = base64.b64decode(data["image/png"])
            parts.append(f"![]({picture})\n")
        else:
            text = "".join(output.get("text", data.get("text/plain", "")))
            parts.append(fenced(text, "text"))
    return parts


def page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return the page, and its pictures by name."""
    pictures: dict[str, bytes] = {}
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"]).replace("<details>", '<details markdown="1">')
        if cell["cell_type"] == "markdown":
            parts.append(with_formulas(text) + "\n")
        else:
            parts += [fenced(text, "python"), *outputs(cell, path.stem, pictures)]
    return "\n".join(parts), pictures
