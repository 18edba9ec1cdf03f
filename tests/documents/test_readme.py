"""The README: its example runs, and its two commands are tested."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.support._documents import ROOT, blocks


def test_the_example_trains_the_rows_it_touched() -> None:
    (source,) = blocks("README.md")
    assert len([line for line in source.splitlines() if line.strip()]) <= 15
    names: dict[str, Any] = {}
    exec(source, names)
    users, ids = names["users"], names["ids"]
    assert names["out"].shape == (3, 64)
    assert users.weight.shape == (200_000, 64)
    loss_before = ((names["out"] - 1.0) ** 2).sum()
    assert ((users(ids) - 1.0) ** 2).sum() < loss_before
    np.testing.assert_array_equal(names["grad"].rows, np.setdiff1d(users.hash_rows(ids), [0]))


def test_ci_runs_the_readme_s_test_command() -> None:
    install, check = blocks("README.md", "sh")
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for command in check.strip().split(" && "):
        assert command.replace("pip install", "pip install --quiet") in script
    assert install.strip().endswith("&& npbloom")


@pytest.mark.parametrize("name", ["README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text("utf-8"))
    assert [target for target in targets if not (ROOT / target).exists()] == []
