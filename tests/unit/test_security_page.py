"""The page about security names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert named
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text())
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        assert function in {node.name for node in tree.body if isinstance(node, kinds)}, path
