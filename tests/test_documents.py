"""The examples of documents run, in order, as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_examples_on_checkpoints_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "checkpoints.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (names["layer"]([0]) == 4).all()
    assert names["ours"].state(names["films"])["step"] == 2
    assert names["mapped"].metadata == {"epoch": "1"}
