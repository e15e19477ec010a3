"""What archived events add up to, by the keys of the hourly sums.

It is the definition of migrations/versions/0031_sum_slots/hourly_usage_sums.sql, and of `events.sums`, once
more: for events in columns that are too many to be looked at one by one. A test holds them together.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rater_service.archive.files import ArchivedFile
from rater_service.archive.reading import as_json, open_file
from rater_service.other_models import OTHER_MODELS

KEY = (
    "window_start",
    "auth_id",
    "resource_id",
    "model_id",
    "base_model",
    "usage_found",
    "model_untrusted",
    "completed",
)
ADDED = (
    "event_count",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "billable_prompt_tokens",
    "excess_cached_events",
    "excess_cached_tokens",
    "partial_usage_events",
    "unbilled_events",
    "unbilled_bytes",
    "echoed_events",
    "echoed_tokens",
)
READ = (
    *("event_time", "auth_id", "resource_id", "model_id", "base_model", "usage_found", "model_untrusted"),
    *("outcome", "summed_as_other", "prompt_tokens", "cached_tokens", "completion_tokens", "usage_partial"),
    *("status_code", "answer_bytes", "model_echoed", "stored_at", "producer_seq", "part_of"),
)
"""The columns that decide; the last two are only counted."""

type SumRow = Mapping[str, Any]
"""A row as `hourly_usage` has it."""


@dataclass(frozen=True, slots=True)
class ArchivedSums:
    """Sums of archived events. unnumbered_events: how many have no number; part_events: are parts."""

    rows: Sequence[SumRow]
    unnumbered_events: int = 0
    part_events: int = 0

    def of_hour(self, hour: datetime) -> str:
        """Write those of an hour as PostgreSQL takes them for rows of `hourly_usage`."""
        return as_json([row for row in self.rows if row["window_start"] == hour])


async def sum_archived(files: Iterable[ArchivedFile], start: datetime, end: datetime) -> ArchivedSums:
    """Add up the archived events of [start, end). Raises OperatorError if a file can't be read."""
    return await asyncio.to_thread(_sum_archived, tuple(files), start, end)


def _sum_archived(files: Sequence[ArchivedFile], start: datetime, end: datetime) -> ArchivedSums:
    return sum_groups(group for file in files for group in _groups(file, start, end))


def _groups(file: ArchivedFile, start: datetime, end: datetime) -> Iterator[Any]:
    import pyarrow as pa  # noqa: PLC0415 - an optional extra
    from pyarrow import compute  # noqa: PLC0415 - an optional extra

    with open_file(file) as opened:
        for number in opened.groups:
            first, last = opened.extent(number, "event_time")
            if first >= end or last < start:
                continue
            group = opened.read(number, READ)
            if first < start or last >= end:
                ended = group.column("event_time")
                mask = compute.and_(
                    compute.greater_equal(ended, pa.scalar(start, ended.type)),
                    compute.less(ended, pa.scalar(end, ended.type)),
                )
                group = group.filter(mask)
            yield group


def sum_groups(groups: Iterable[Any]) -> ArchivedSums:
    """Add up events in tables with the columns of READ, which are read one after the other."""
    import pyarrow as pa  # noqa: PLC0415 - an optional extra
    from pyarrow import compute  # noqa: PLC0415 - an optional extra

    partial, unnumbered, parts = [], 0, 0
    for group in groups:
        if group.num_rows:
            unnumbered += group.column("producer_seq").null_count
            parts += group.num_rows - group.column("part_of").null_count
            partial.append(_added(_derived(group, compute, pa)))
    if not partial:
        return ArchivedSums(())
    rows = _added(pa.concat_tables(partial)).to_pylist()
    return ArchivedSums([_row(row) for row in rows], unnumbered, parts)


def _row(row: dict[str, Any]) -> SumRow:
    times = ("window_start", "first_stored_at", "last_stored_at")
    return {
        **{name: row[name] for name in KEY},
        **{name: int(row[name]) for name in ADDED},
        **{name: row[name].replace(tzinfo=UTC) for name in times},
        "slot": 0,
    }


def _added(table: Any) -> Any:
    """Add up what has one key."""
    measures = [*((name, "sum") for name in ADDED), ("first_stored_at", "min"), ("last_stored_at", "max")]
    names = {f"{name}_{how}": name for name, how in measures}
    added = table.group_by(list(KEY), use_threads=False).aggregate(measures)
    return added.rename_columns([names.get(name, name) for name in added.column_names])


def _derived(group: Any, compute: Any, pa: Any) -> Any:
    """Give the table that adds up: the columns of the key, and of each event what it adds."""
    column = group.column

    def count(name: str) -> Any:
        return compute.fill_null(column(name), 0)

    def flag(mask: Any) -> Any:
        return compute.cast(mask, pa.int64())

    prompt, cached, completion = (count(f"{name}_tokens") for name in ("prompt", "cached", "completion"))
    excess = compute.max_element_wise(compute.subtract_checked(cached, prompt), 0)
    found = column("usage_found")
    completed = compute.equal(column("outcome"), "completed")
    unbilled = _unbilled(compute, found, completed, count("status_code"), count("answer_bytes"))
    echoed = column("model_echoed")
    # Earlier versions of the addon do not say what an API's answers have; a prompt they all have.
    partial = compute.or_(
        column("usage_partial"), compute.and_(found, compute.is_null(column("prompt_tokens")))
    )
    added = {
        "event_count": flag(compute.is_valid(column("event_time"))),
        "prompt_tokens": prompt,
        "cached_tokens": compute.min_element_wise(cached, prompt),
        "completion_tokens": completion,
        "billable_prompt_tokens": compute.max_element_wise(compute.subtract_checked(prompt, cached), 0),
        "excess_cached_events": flag(compute.greater(excess, 0)),
        "excess_cached_tokens": excess,
        "partial_usage_events": flag(partial),
        "unbilled_events": flag(unbilled),
        "unbilled_bytes": compute.if_else(unbilled, count("answer_bytes"), 0),
        "echoed_events": flag(echoed),
        "echoed_tokens": compute.if_else(echoed, compute.add_checked(prompt, completion), 0),
    }
    # Of each event they fit into 64 bits; their sums may not.
    exact = pa.decimal128(38, 0)
    return pa.table(
        {
            "window_start": compute.floor_temporal(column("event_time"), unit="hour"),
            "auth_id": column("auth_id"),
            "resource_id": column("resource_id"),
            "model_id": compute.if_else(
                column("summed_as_other"), pa.scalar(OTHER_MODELS, pa.string()), column("model_id")
            ),
            "base_model": column("base_model"),
            "usage_found": found,
            "model_untrusted": column("model_untrusted"),
            "completed": completed,
            **{name: compute.cast(values, exact) for name, values in added.items()},
            "first_stored_at": column("stored_at"),
            "last_stored_at": column("stored_at"),
        }
    )


def _unbilled(compute: Any, found: Any, completed: Any, code: Any, answer_bytes: Any) -> Any:
    """Tell which events have an answer that clients were given a part of, and no usage.

    An error is no output, and of a whole answer without usage runs say so anyway.
    """
    is_ok = compute.and_(compute.greater_equal(code, 200), compute.less(code, 300))
    has_none = compute.and_(compute.invert(found), compute.invert(completed))
    return compute.and_(compute.and_(has_none, is_ok), compute.greater(answer_bytes, 0))
