"""The promises in the documentation name tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUARANTEES = (ROOT / "docs/guarantees.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", GUARANTEES)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    functions = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not name or name in functions


def test_every_promise_names_tests() -> None:
    promised, _ = GUARANTEES.split("\n## What is not promised\n")
    for promise in promised.split("\n**")[1:]:
        assert "\n- `tests/" in promise, promise.splitlines()[0]
