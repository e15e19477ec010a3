"""What archived events add up to is what the same events add up to one by one."""

import io
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from rater_service.archive.layout import SCHEMA, rows_of
from rater_service.archive.sums import ADDED, KEY, READ, sum_groups
from rater_service.money import TOKENS_MAX
from rater_service.other_models import OTHER_MODELS

HOUR = datetime(2026, 11, 20, 10, tzinfo=UTC)
counts = st.none() | st.integers(0, 3) | st.integers(TOKENS_MAX - 1, TOKENS_MAX)
names = st.sampled_from([None, "a", "b"])
moments = st.integers(0, 2 * 3600 * 10**6).map(lambda micros: HOUR + timedelta(microseconds=micros))
events = st.fixed_dictionaries(
    {
        "event_time": moments,
        "stored_at": moments,
        "auth_id": names,
        "resource_id": names,
        "model_id": names,
        "base_model": names,
        "usage_found": st.booleans(),
        "model_untrusted": st.booleans(),
        "outcome": st.sampled_from(["completed", "aborted"]),
        "summed_as_other": st.booleans(),
        "prompt_tokens": counts,
        "cached_tokens": counts,
        "completion_tokens": counts,
        "usage_partial": st.booleans(),
        "status_code": st.sampled_from([None, 199, 200, 299, 300]),
        "answer_bytes": counts,
        "model_echoed": st.booleans(),
        "producer_seq": st.none() | st.integers(1, 9),
        "part_of": st.none() | st.uuids(),
    }
)
groups = st.lists(st.lists(events, max_size=6), max_size=3)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    fields = [SCHEMA.field(name) for name in READ]
    columns = [
        pa.array([row[field.name] and row[field.name].bytes for row in rows], field.type)
        if field.name == "part_of"
        else pa.array([row[field.name] for row in rows], field.type)
        for field in fields
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def key(event: dict[str, Any]) -> tuple[object, ...]:
    model = OTHER_MODELS if event["summed_as_other"] else event["model_id"]
    hour = event["event_time"].replace(minute=0, second=0, microsecond=0)
    whose = (event["auth_id"], event["resource_id"], model, event["base_model"])
    return (hour, *whose, event["usage_found"], event["model_untrusted"], event["outcome"] == "completed")


def added(event: dict[str, Any]) -> tuple[int, ...]:
    """What an event adds, by the words of hourly_usage_sums.sql."""
    prompt, cached, completion = (event[f"{name}_tokens"] or 0 for name in ("prompt", "cached", "completion"))
    partial = event["usage_partial"] or (event["usage_found"] and event["prompt_tokens"] is None)
    is_given = 200 <= (event["status_code"] or 0) <= 299 and (event["answer_bytes"] or 0) > 0
    unbilled = not event["usage_found"] and event["outcome"] != "completed" and is_given
    return (
        1,
        prompt,
        min(cached, prompt),
        completion,
        max(prompt - cached, 0),
        cached > prompt,
        max(cached - prompt, 0),
        partial,
        unbilled,
        event["answer_bytes"] if unbilled else 0,
        event["model_echoed"],
        prompt + completion if event["model_echoed"] else 0,
    )


@given(groups)
def test_sums_of_columns_are_those_of_the_events_one_by_one(drawn: list[list[dict[str, Any]]]) -> None:
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0] * len(ADDED))
    stored: dict[tuple[object, ...], list[datetime]] = defaultdict(list)
    flat = [event for group in drawn for event in group]
    for event in flat:
        sums = expected[key(event)]
        sums[:] = [one + other for one, other in zip(sums, added(event), strict=True)]
        stored[key(event)].append(event["stored_at"])

    found = sum_groups(map(table, drawn))

    by_key = {tuple(row[name] for name in KEY): row for row in found.rows}
    assert {which: [row[name] for name in ADDED] for which, row in by_key.items()} == expected
    for which, row in by_key.items():
        times = stored[which]
        assert (row["first_stored_at"], row["last_stored_at"]) == (min(times), max(times))
    assert found.unnumbered_events == sum(event["producer_seq"] is None for event in flat)
    assert found.part_events == sum(event["part_of"] is not None for event in flat)


@given(st.lists(events, min_size=1, max_size=6))
def test_what_is_read_back_is_what_was_written(drawn: list[dict[str, Any]]) -> None:
    file = io.BytesIO()
    parquet.write_table(table(drawn), file, compression="zstd")
    assert rows_of(parquet.read_table(file)) == [{name: event[name] for name in READ} for event in drawn]
