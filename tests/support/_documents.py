"""Fenced blocks of the documents, and a function that runs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str = "python") -> list[str]:
    """Return the blocks of a page in a language, in order."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return found


def run_examples(page: str, number: int) -> dict[str, Any]:
    """
    Run the Python blocks of a page, which are `number`, one after the other.

    Return the names that they define.
    """
    names: dict[str, Any] = {}
    found = blocks(page)
    assert len(found) == number
    for block in found:
        exec(block, names)
    return names
