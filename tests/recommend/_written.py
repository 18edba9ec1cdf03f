"""Small files of ratings."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    """Write a file with this content."""
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path
