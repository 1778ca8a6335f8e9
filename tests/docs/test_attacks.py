"""The page of attacks: each test that it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(path: str) -> set[str]:
    """The names of the functions of a file."""
    tree = ast.parse((REPOSITORY / path).read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {each.name for each in tree.body if isinstance(each, kinds)}


def test_each_attack_names_tests_that_are_there() -> None:
    page = (REPOSITORY / "docs/reference/attacks.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 30
    assert not [row for row in rows if not NAMED.search(row)]
    missing = [
        f"{path}::{name}" for path, name in NAMED.findall(page) if name not in functions_of(path)
    ]
    assert missing == []
