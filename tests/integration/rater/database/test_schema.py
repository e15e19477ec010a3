"""The schema: what its constraints refuse, and which indexes its readers use."""

import re
from datetime import datetime

import asyncpg
import pytest

from rater_service.database.database import Pool
from rater_service.rating.categories import over_categories
from rater_service.rating.pricing import PriceRow
from rater_service.statements import Bound, bound, source, statement
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.plans import plan
from tests.harness.sums import sum_again

WITHOUT_USAGE = "usage_found = false, prompt_tokens = NULL, cached_tokens = NULL, completion_tokens = NULL"


WRONG_EVENTS = [
    *((f"{column} = ''", "billing_event_no_empty_text") for column in (
        "client_request_id", "producer_id", "auth_id", "user_id", "group_id", "resource_id",
        "resource_type", "base_model", "model_id", "requested_model", "api", "usage_raw", "finish_reason",
    )),
    ("producer_seq = 0", "billing_event_producer_seq"),
    *((f"{column} = -1", "billing_event_counts") for column in (
        "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens",
    )),
    ("prompt_tokens = 9007199254740993", "billing_event_counts"),
    *((f"{column} = {count}", "billing_event_part_counts") for count in (-1, 2**53 + 1) for column in (
        "cache_write_tokens", "prompt_audio_tokens", "completion_audio_tokens",
    )),
    *((f"{WITHOUT_USAGE}, {column} = 0", "billing_event_part_usage") for column in (
        "cache_write_tokens", "prompt_audio_tokens", "completion_audio_tokens",
    )),
    ("usage_found = false", "billing_event_usage"),
    ("prompt_tokens = NULL, completion_tokens = NULL", "billing_event_usage"),
    ("usage_found = false, prompt_tokens = NULL, completion_tokens = NULL", "billing_event_usage"),
    ("outcome = 'lost'", "billing_event_outcome"),
    ("status_code = 99", "billing_event_status_code"),
    ("status_code = 600", "billing_event_status_code"),
    ("part_count = -1", "billing_event_part"),
    ("part_count = 33", "billing_event_part"),
    ("part_of = request_id", "billing_event_part"),
    ("part_of = gen_random_uuid(), part_count = 1", "billing_event_part"),
    (f"{WITHOUT_USAGE}, usage_partial = true", "billing_event_partial"),
    ("answer_bytes = -1", "billing_event_answer_bytes"),
    ("answer_bytes = 9007199254740993", "billing_event_answer_bytes"),
    (r"trace_id = '\x00'", "billing_event_trace_id"),
    ("event_time = '1999-12-31 23:59:59+00'", "billing_event_times"),
    ("event_time = '2100-01-01 00:00:00+00'", "billing_event_times"),
]  # fmt: skip


async def test_a_wrong_event_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    for change, constraint in WRONG_EVENTS:
        with subtests.test(change):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.pool.execute(f"UPDATE stored_event SET {change}")
            assert refused.value.constraint_name == constraint


async def test_the_same_request_id_is_refused(ledger: Ledger) -> None:
    await ledger.store(make_event())
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.pool.execute("INSERT INTO billing_event_default SELECT * FROM billing_event")


WRONG_ROLLUPS = [
    *((f"{column} = ''", "rated_usage_no_empty_text") for column in (
        "auth_id", "resource_id", "model_id", "base_model",
    )),
    ("window_start = window_start + interval '1 minute', window_end = window_end + interval '1 minute'",
     "rated_usage_whole_hour"),
    ("window_end = window_end + interval '1 hour'", "rated_usage_whole_hour"),
    ("event_count = 0", "rated_usage_counts"),
    ("billable_prompt_tokens = prompt_tokens + 1,"
     " cost = cost + (prompt_tokens + 1 - billable_prompt_tokens) * applied_prompt_rate",
     "rated_usage_counts"),
    ("applied_prompt_rate = -applied_prompt_rate,"
     " cost = cost - 2 * billable_prompt_tokens * applied_prompt_rate",
     "rated_usage_rates"),
    ("cost = cost + 0.000000001", "rated_usage_cost_explained"),
    ("completion_tokens = completion_tokens + 1", "rated_usage_cost_explained"),
    ("applied_cached_rate = 0", "rated_usage_cost_explained"),
]  # fmt: skip


async def test_a_wrong_rollup_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    for change, constraint in WRONG_ROLLUPS:
        with subtests.test(change):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.pool.execute(f"UPDATE rated_usage SET {change}")
            assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("change", "constraint"),
    [("run = 999", "rated_usage_run_fkey"), ("price_book = 'x'", "rated_usage_price_book_fkey")],
)
async def test_a_rollup_without_its_run_or_book_is_refused(
    ledger: Ledger, change: str, constraint: str
) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
        await ledger.pool.execute(f"UPDATE rated_usage SET {change}")
    assert refused.value.constraint_name == constraint


WRONG_RUNS = [
    ("events_rated = events_rated + 1", "rating_run_every_event_once"),
    ("events_in_window = events_in_window - 1", "rating_run_every_event_once"),
    ("mode = 'OTHER'", "rating_run_mode"),
    ("window_end = window_start", "rating_run_window"),
]


async def test_a_wrong_run_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    for change, constraint in WRONG_RUNS:
        with subtests.test(change):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.force(f"UPDATE rating_run SET {change}")
            assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("change", "constraint"),
    [("content = 'other'", "price_book_content_hash"), ("source = ''", "price_book_no_empty_text")],
)
async def test_a_wrong_price_book_is_refused(ledger: Ledger, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await ledger.pool.execute(f"UPDATE price_book SET {change}")
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("'id', 'LOST', 'reason'", "rejected_event_kind"),
        ("'', 'REJECTED', 'reason'", "rejected_event_no_empty_text"),
        ("'id', 'REJECTED', ''", "rejected_event_no_empty_text"),
    ],
)
async def test_a_wrong_rejected_event_is_refused(pool: Pool, values: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await pool.execute(
            "INSERT INTO rejected_event (request_id, kind, reason, event, received_at)"
            f" VALUES ({values}, 'event', now())"
        )
    assert refused.value.constraint_name == constraint


LEDGER_OF_ROLLUPS = """
INSERT INTO rated_usage_change
    (run, kind, rollup, window_start, auth_id, resource_id, model_id,
     new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens, new_cost,
     new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate, new_event_count,
     new_base_model, new_price_book)
SELECT
    run, 'INSERT', id, window_start, auth_id, resource_id, model_id,
    prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
    applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count,
    base_model, price_book
FROM rated_usage
"""


@pytest.fixture
async def busy(ledger: Ledger) -> Ledger:
    """A month of events and rollups, so that reading a part by index pays."""
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.pool.execute(
        "INSERT INTO billing_event_default SELECT made.* FROM stored_event e, generate_series(1, 5000) n,"
        " jsonb_populate_record(e, jsonb_build_object('request_id', gen_random_uuid(),"
        " 'event_time', e.event_time - n * interval '5 minutes')) made"
    )
    await sum_again(ledger.pool)
    await ledger.pool.execute(
        "INSERT INTO rated_usage OVERRIDING SYSTEM VALUE"
        " SELECT made.* FROM rated_usage u, generate_series(1, 100) n, generate_series(1, 60) a,"
        " jsonb_populate_record(u, jsonb_build_object('id', 100 + 60 * n + a,"
        " 'auth_id', 'auth-' || a, 'resource_id', 'resource-' || a % 30,"
        " 'window_start', u.window_start - n * interval '1 hour',"
        " 'window_end', u.window_end - n * interval '1 hour')) made"
    )
    await ledger.force("DELETE FROM rated_usage_change")
    await ledger.pool.execute(LEDGER_OF_ROLLUPS)
    await ledger.pool.execute("ANALYZE")
    return ledger


async def test_a_window_of_sums_and_its_rollups_are_found_by_index(busy: Ledger) -> None:
    window = {"window_start": HOUR - 2 * ONE_HOUR, "window_end": HOUR - ONE_HOUR}
    async with busy.pool.acquire() as connection, connection.transaction():
        # As a run does, and for its reasons.
        await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off")
        await connection.execute(*bound("rating/tables"))
        no_prices: dict[str, list[object]] = {f"priced_{name}": [] for name in PriceRow._fields}
        changes = statement("rating/changes", rated=source("rating/rollups"))
        unchanged = bound("rating/unchanged", **window, fine_tune_prefix="ft:")
        for asked, index in (
            (over_categories("rating/buckets", **window, **no_prices, keeps_rates=True), "hourly_usage_key"),
            (bound("rating/counts", **window), "hourly_usage_key"),
            (changes.bind(window), "rated_usage_rollup"),
            (bound("rating/recorded", **window), "rated_usage_change_once"),
            (unchanged, "hourly_usage_key"),
            (unchanged, "rated_usage_rollup"),
            (unchanged, "rated_usage_change_once"),
        ):
            text = await plan(connection, asked)
            assert index in text
            assert "billing_event" not in text
            # There are no cold sums here.
            assert not re.search(r"Seq Scan on (hourly_usage|rated_usage)\b", text)


def audit_of_an_hour(hour: datetime, *, sums_hold: bool) -> list[Bound]:
    asked = {
        "hour": hour,
        "late_from": hour,
        "sums_hold": sums_hold,
        "archived": "[]",
        "fine_tune_prefix": "ft:",
    }
    return [bound("audit/rollups", **asked, is_routine=True, limit=10), bound("audit/unbilled", **asked)]


async def test_what_reads_the_events_of_an_hour_finds_them_in_the_index_of_times(busy: Ledger) -> None:
    hour = HOUR - 2 * ONE_HOUR
    window = {"window_start": hour, "window_end": hour + ONE_HOUR}
    find = statement("events/hourly_usage_find", differences=source("events/hourly_usage_differences"))
    for asked in (
        bound("audit/totals", **window),
        bound("audit/hours", **window),
        *audit_of_an_hour(hour, sums_hold=False),
        bound("events/hourly_usage_differences", **window, limit=10, archived="[]", archived_ranges=[]),
        find.bind({**window, "limit": None, "first": 10, "archived": "[]", "archived_ranges": []}),
        bound("events/hourly_usage_hours", **window),
    ):
        async with busy.pool.acquire() as connection, connection.transaction():
            await connection.execute(*bound("events/hourly_usage_changes"))
            text = await plan(connection, asked)
        assert re.search(r"billing_event\w*_event_time", text), asked
        assert not re.search(r"Seq Scan on (billing_event|rated_usage)", text), asked


RUNS = """
INSERT INTO rating_run OVERRIDING SYSTEM VALUE
SELECT made.*
FROM rating_run AS run, generate_series(1, 5000) AS n, jsonb_populate_record(run, jsonb_build_object(
    'id', run.id + n, 'window_start', run.window_start + n * interval '1 hour',
    'window_end', run.window_end + n * interval '1 hour')) AS made
"""


async def test_the_runs_over_an_hour_are_found_in_the_index_however_many_there_are(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.pool.execute(RUNS)
    await ledger.pool.execute("ANALYZE")
    window = {"window_start": HOUR, "window_end": HOUR + ONE_HOUR}
    unrated = statement("retention/unrated", partition="billing_event")
    for asked in (
        bound("audit/hours", **window),
        bound("audit/runs", **window),
        bound("bills/explain_last_run", hour=HOUR),
        unrated.bind({"before": HOUR, "overlap": ONE_HOUR}),
    ):
        text = await plan(ledger.pool, asked)
        assert "rating_run_window" in text, asked
        assert "Seq Scan on rating_run" not in text, asked


async def test_where_the_sums_hold_an_audit_reads_no_event_twice(busy: Ledger) -> None:
    hour = HOUR - 2 * ONE_HOUR
    runs = bound("audit/runs", window_start=hour, window_end=hour + ONE_HOUR)
    for asked in (*audit_of_an_hour(hour, sums_hold=True), runs):
        text = await plan(busy.pool, asked)
        assert "hourly_usage_key" in text, asked
        assert "billing_event" not in text, asked
