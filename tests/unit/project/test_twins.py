"""What both halves need, each has for itself, as neither may import the other. It is the same code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What differs, because the halves do: the addon's tasks end at a hook that can't wait, the rater's with a
# context; the addon's options may name no file, and can name another one while it runs;
# each says other things in its log.
DIFFERENT = {
    "background.py": {"Background"},
    "durations.py": set[str](),
    "expiry.py": set[str](),
    "file_metrics.py": set[str](),
    "followed_files.py": {"Followed", "UnusableFileError", "follow", "_Looking"},
    "log_events.py": {"_PACKAGE"},
    "log_lines.py": set[str](),
    "near_names.py": set[str](),
    "operator_port.py": set[str](),
    "probes.py": set[str](),
    "spans.py": set[str](),
    "settings_file.py": set[str](),
    "troubles.py": set[str](),
}


def definitions(file: Path) -> dict[str, str]:
    """What a module defines, by name: as it is parsed, without docstrings and the addon's word in the log."""
    found: dict[str, ast.stmt] = {}
    for each in ast.parse(file.read_text()).body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = each
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.TypeAlias(name=ast.Name(id=name)):
                found[name] = each
    return {name: ast.dump(_Comparable().visit(each)) for name, each in found.items()}


class _Comparable(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(node.value.removeprefix("phoebe: ")) if isinstance(node.value, str) else node


@pytest.mark.parametrize("module", DIFFERENT)
def test_twins_are_the_same_but_for_what_is_named_here(module: str) -> None:
    addon = definitions(ROOT / "addon" / "phoebe_addon" / module)
    rater = definitions(ROOT / "rater_service" / module)

    differing = {name for name in addon.keys() | rater.keys() if addon.get(name) != rater.get(name)}
    assert differing == DIFFERENT[module]


def test_all_modules_that_both_halves_have_at_the_root_are_compared() -> None:
    halves = (ROOT / "addon" / "phoebe_addon", ROOT / "rater_service")
    (addon, rater) = ({file.name for file in half.glob("*.py")} for half in halves)

    assert addon & rater - {"__init__.py"} == DIFFERENT.keys()
