"""docs/faults.md: every fault of a platform has a row, and every test that a row names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/\w+\.py)::(\w+)`", PAGE)))


def test_every_fault_of_a_platform_has_a_row() -> None:
    assert re.findall(r"^\| (U\d+) \|", PAGE, re.MULTILINE) == [f"U{number}" for number in range(1, 25)]


def test_every_row_names_a_test() -> None:
    rows = re.findall(r"^\| U\d+ \|.*\|$", PAGE, re.MULTILINE)
    assert [row[:6] for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_is_there(file: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert {name for named, name in NAMED if named == file} - there == set()
