"""Times are written in one form, `2026-12-01T00:00:00Z`, by one function of the rater."""

import ast
from pathlib import Path

import pytest

import rater_service

RATER = Path(rater_service.__file__).parent
# It writes them. Page tokens are for nobody to read, days of a report have no time, logs have milliseconds.
ALLOWED = {"hours.py", "log_lines.py", "bills/page_tokens.py", "views/report.py"}
# Names of files and of partitions, which have no colon.
NAMES = {"retention/archiving.py", "retention/csv_export.py", "events/partitions.py"}


@pytest.mark.parametrize("method", ["isoformat", "strftime", "ctime"])
def test_times_are_written_by_one_function(method: str) -> None:
    found = {
        path.relative_to(RATER).as_posix()
        for path in RATER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == method
    }
    assert found <= ALLOWED, "use rater_service.hours.utc_text"


def test_no_time_is_formatted_by_a_pattern() -> None:
    found = {
        path.relative_to(RATER).as_posix()
        for path in RATER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if _pattern(node).startswith("%")
    }
    assert found <= NAMES, "use rater_service.hours.utc_text"


def _pattern(node: ast.AST) -> str:
    """Give how a value is to be formatted: `%H:%M` of `{moment:%H:%M}` and of `format(moment, "%H:%M")`."""
    match node:
        case ast.FormattedValue(format_spec=ast.JoinedStr(values=[ast.Constant(value=str(pattern)), *_])):
            return pattern
        case ast.Call(func=ast.Name(id="format"), args=[_, ast.Constant(value=str(pattern))]):
            return pattern
    return ""
