"""Whatever the names and amounts, and however wide the terminal: tables break nothing and lose nothing."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from io import StringIO
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from rater_service.audit.findings import AuditResult
from rater_service.bills.events import FoundEvents
from rater_service.bills.holes import Holes
from rater_service.bills.report import BillSums, Grouping, Report, ReportRow
from rater_service.bills.rollups import AsOf, Selection
from rater_service.bills.runs import KeptRun, RunPage
from rater_service.events.hourly_usage import Rebuilt
from rater_service.events.producers import Producer
from rater_service.events.rejected import RejectedEvent, Retried
from rater_service.money import decimal_text
from rater_service.rating.day_sums import RebuiltDays
from rater_service.rating.run import BillChanges, RateResult
from rater_service.views.audit import show_findings as show_audit
from rater_service.views.events import show_events
from rater_service.views.kept_runs import show_kept_run, show_kept_runs
from rater_service.views.layout import Words, wrapped
from rater_service.views.producers import show_producers
from rater_service.views.rejected import show_rejected, show_retried
from rater_service.views.report import show_report
from rater_service.views.runs import show_findings, summary
from rater_service.views.sums import show_rebuilt, show_rebuilt_days
from rater_service.views.terminal import write, write_table

WIDTHS = st.integers(40, 200)
# Capitals that none of our own words are made of.
NAMES = st.text("XYZ-_/:.é界", min_size=1, max_size=60).map(lambda name: f"XX{name}")
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
COUNTS = st.integers(0, 2**63 - 1)
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: NAMES,
    int: COUNTS,
    bool: st.booleans(),
    datetime: MOMENTS,
    timedelta: st.timedeltas(timedelta(0), timedelta(days=9)),
    Decimal: st.decimals(0, 10**12, places=9),
    NoneType: st.none(),
    object: NAMES,
    bytes: st.binary(min_size=16, max_size=16),
    UUID: st.uuids(),
}
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
FRAME = str.maketrans(dict.fromkeys("┃│━─┏┳┓┡╇┩└┴┘├┼┤", " "))


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type: names that are long, amounts and counts that are large."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if hasattr(kind, "_fields"):
        return st.builds(kind, **{name: drawn(hint) for name, hint in get_type_hints(kind).items()})
    return drawn_members(kind) if is_dataclass(kind) else drawn_several(kind)


def drawn_several(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a type that is made of others."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return st.one_of(*map(drawn, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(drawn, arguments))
    if origin in (list, tuple):
        return st.lists(drawn(arguments[0]), min_size=1, max_size=2).map(origin)
    if origin in (dict, Mapping):
        return st.dictionaries(drawn(arguments[0]), drawn(arguments[1]), max_size=2)
    raise TypeError(kind)


def drawn_members(kind: Any) -> st.SearchStrategy[Any]:
    """Draw values of a dataclass."""
    hints = get_type_hints(kind)
    # A run that was taken along took none along itself.
    members = {field.name: drawn(hints[field.name]) for field in fields(kind) if field.name != "late_runs"}
    return st.builds(kind, **members)


def shown(show: Callable[[], None], width: int | None) -> list[str]:
    """Give the lines on a terminal of a width; None: those into a pipe."""
    terminal = {} if width is None else {"COLUMNS": str(width), "TTY_COMPATIBLE": "1", "TERM": "xterm"}
    output = StringIO()
    with patch.dict(os.environ, terminal), redirect_stdout(output):
        show()
    return ESCAPES.sub("", output.getvalue()).splitlines()


def data(lines: Sequence[str]) -> Counter[str]:
    """Count the words that are data: numbers, times and the names that were drawn."""
    words = (word.rstrip(":") for line in lines for word in line.translate(FRAME).split())
    return Counter(word for word in words if re.search(r"[0-9]|XX", word))


def holds(show: Callable[[], None], width: int) -> None:
    """What is shown on a terminal has every word of what is shown in a pipe, whole, and none twice."""
    wide, narrow = shown(show, None), shown(show, width)
    assert data(narrow) == data(wide)
    # Advice has some of its own; a table that cuts a cell adds one.
    assert "".join(narrow).count("…") == "".join(wide).count("…")
    for line in narrow:
        # Only what can't be broken is wider than the terminal.
        assert cell_len(line) <= width or not line.startswith(("┃", "│", "┏", "┡", "└")), line


BY = (Grouping.CUSTOMER, Grouping.MODEL)
REPORTS = st.builds(
    Report,
    selection=drawn(Selection),
    by=st.just(BY),
    as_of=drawn(AsOf),
    rows=st.lists(
        st.builds(ReportRow, names=st.fixed_dictionaries(dict.fromkeys(BY, NAMES)), sums=drawn(BillSums)),
        min_size=1,
        max_size=3,
    ),
    total=drawn(BillSums),
    holes=drawn(Holes),
)
VIEWS: Mapping[str, tuple[Callable[..., None], tuple[Any, ...]]] = {
    "audit": (show_audit, (AuditResult,)),
    "events": (show_events, (datetime, datetime, FoundEvents)),
    "producers list": (show_producers, (tuple[Producer, ...],)),
    "rate": (lambda result: show_findings(result, bills=True, dry_run=False), (RateResult,)),
    "rate, in a line": (lambda result: write(summary([result], dry_run=True)), (RateResult,)),
    "rejected list": (show_rejected, (tuple[RejectedEvent, ...],)),
    "rejected retry": (show_retried, (tuple[Retried, ...],)),
    "report": (lambda result: show_report(result, cents=True), (REPORTS,)),
    "runs list": (show_kept_runs, (RunPage,)),
    "runs show": (show_kept_run, (KeptRun, BillChanges)),
    "sums rebuild": (lambda found: show_rebuilt(found, dry_run=True), (Rebuilt,)),
    "sums rebuild-days": (lambda found: show_rebuilt_days(found, dry_run=True), (RebuiltDays,)),
}


@pytest.mark.parametrize("view", VIEWS)
@settings(max_examples=5)
@given(st.data(), WIDTHS)
def test_every_command_shows_amounts_ids_and_names_whole(view: str, draws: st.DataObject, width: int) -> None:
    show, kinds = VIEWS[view]
    values = [draws.draw(kind if isinstance(kind, st.SearchStrategy) else drawn(kind)) for kind in kinds]
    holds(lambda: show(*values), width)


CELLS = st.one_of(
    NAMES, COUNTS, SIMPLE[Decimal], st.none(), st.lists(NAMES, min_size=1).map(" ".join).map(Words)
)


def text_of(cell: str | int | Decimal) -> str:
    """Write a cell as it shall stand in a table."""
    return decimal_text(cell) if isinstance(cell, Decimal) else str(cell)


@settings(max_examples=30)
@given(st.data(), st.integers(1, 10), WIDTHS)
def test_any_table_shows_its_cells_whole(draws: st.DataObject, count: int, width: int) -> None:
    names = draws.draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    rows = draws.draw(st.lists(st.tuples(*[CELLS] * count), min_size=1, max_size=4))
    lines = shown(lambda: write_table("title", [name.lower() for name in names], rows), width)
    assert not any("…" in line for line in lines)
    words = Counter(word for line in lines for word in line.translate(FRAME).split())
    for row in rows:
        for cell in row:
            for word in [] if cell is None else text_of(cell).split():
                assert words[word] or words[f"{word}:"]


@settings(max_examples=30)
@given(st.lists(NAMES), WIDTHS)
def test_a_line_is_wrapped_between_words(words: list[str], width: int) -> None:
    lines = wrapped(" ".join(words), width, "  ")
    assert " ".join(lines).split() == words
    assert all(cell_len(line) <= width or len(line.split()) == 1 for line in lines)
