"""What stands between fences in the documents, and running it as a reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str = "python") -> list[str]:
    """The blocks of a page in a language, in order."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return found


def run_examples(page: str, number: int) -> dict[str, Any]:
    """Run the blocks of Python of a page, which are so many, one after the other; the names that they leave."""
    names: dict[str, Any] = {}
    found = blocks(page)
    assert len(found) == number
    for block in found:
        exec(block, names)
    return names
