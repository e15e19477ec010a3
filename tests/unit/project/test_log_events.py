"""Every line of the log has an event, by which programs find it, and the page lists all of them."""

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import phoebe_addon.log_events
import phoebe_runtime.log_events
import rater_service.log_events

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "addon": (ROOT / "addon" / "phoebe_addon", phoebe_addon.log_events.EVENTS),
    "runtime": (ROOT / "runtime" / "phoebe_runtime", phoebe_runtime.log_events.EVENTS),
    "rater": (ROOT / "rater_service", rater_service.log_events.EVENTS),
}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def said(module: Path) -> Iterator[str]:
    """Give the words of all lines that a module writes, before anything is put into them."""
    for call in ast.walk(ast.parse(module.read_text("utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr in LEVELS and ast.unparse(call.func.value) in {"logger", "self._logger"}:
            words = ast.literal_eval(call.args[call.func.attr == "log"])
            assert isinstance(words, str)
            yield words


@pytest.mark.parametrize("package", PACKAGES)
def test_every_line_has_an_event_and_no_event_has_no_line(package: str) -> None:
    root, events = PACKAGES[package]
    troubles = set(said(ROOT / "runtime" / "phoebe_runtime" / "troubles.py"))
    found: dict[str, set[str]] = {}
    for file in sorted(root.rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        words = set() if module == "troubles" else set(said(file))
        if " Trouble(logger, " in file.read_text("utf-8"):
            words |= troubles
        if words:
            found[module] = words

    assert {module: set(words) for module, words in events.items()} == found, "log_events.py"


@pytest.mark.parametrize("events", [events for _, events in PACKAGES.values()], ids=PACKAGES.keys())
def test_events_are_short_names_with_a_dot(events: Mapping[str, Mapping[str, str]]) -> None:
    for codes in events.values():
        for code in codes.values():
            assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code), code


def test_the_page_lists_all_events_and_no_others() -> None:
    page = (ROOT / "docs" / "watching.md").read_text("utf-8")
    section = page.partition("### Events\n")[2].partition("\n#")[0]
    listed = re.findall(r"`([a-z]+\.[a-z0-9_]+)`", section)
    there_are = {
        code for _, events in PACKAGES.values() for codes in events.values() for code in codes.values()
    }

    assert set(listed) == there_are


def test_a_line_of_somebody_else_has_none() -> None:
    line = logging.LogRecord("mitmproxy.proxy", logging.INFO, "", 0, "phoebe: %s", ("x",), None)

    assert phoebe_addon.log_events.event_of(line) is None
