"""The hourly sums are those of the events, whatever is stored, by whom, in what order and at what time."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.audit.findings import Finding
from rater_service.database.database import Pool
from rater_service.events.hourly_usage import EventsPrunedError, rebuild
from rater_service.events.rejected import retry_rejected
from rater_service.events.store import Fate, store_events
from rater_service.hours import InvalidWindow
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero, store_within
from tests.harness.sums import counted_sums, kept_sums, moved
from tests.harness.waiting import until_statements_wait
from tests.integration.rater.audit.test_audit import check, counts, details
from tests.integration.rater.cli.test_cli_with_database import phoebe

type Capture = pytest.CaptureFixture[str]

LONG_AGO = HOUR - 400 * ONE_HOUR

tokens = st.one_of(st.none(), st.integers(0, 9), st.integers(0, 2**53))
drawn_events = st.fixed_dictionaries(
    {
        # Few ids, so that batches hold duplicates and conflicts of each other's events.
        "request_id": st.integers(1, 30).map(lambda n: f"00000000-0000-7000-8000-{n:012}"),
        # Mostly one of each, so that events meet under one key.
        "at_s": st.sampled_from([0, 1, 3599.999999] * 3 + [3600, -0.000001, -1_000_000]),
        "auth_id": st.sampled_from(["a1"] * 6 + ["a2", None]),
        "resource_id": st.sampled_from(["r1"] * 6 + [None]),
        "model_id": st.sampled_from(["ft:x"] * 6 + ["meta/base-a", None]),
        "base_model": st.sampled_from([None] * 6 + ["meta/base-a", "\U0001f600" * 256]),
        "usage_found": st.sampled_from([True] * 4 + [False]),
        "outcome": st.sampled_from(["completed"] * 6 + ["aborted", "no such outcome"]),
        "model_untrusted": st.sampled_from([False] * 4 + [True]),
        "usage_partial": st.sampled_from([False] * 4 + [True]),
        "model_echoed": st.sampled_from([False] * 4 + [True]),
        "answer_bytes": st.sampled_from([None, 0, 7, 2**53]),
        "status_code": st.sampled_from([None, 200, 200, 299, 500]),
        "prompt_tokens": tokens,
        "cached_tokens": tokens,
        "completion_tokens": tokens,
    }
)


def event_of(drawn: dict[str, object]) -> MeteringEvent:
    fields = dict(drawn)
    at = HOUR + timedelta(seconds=float(str(fields.pop("at_s"))))
    if not fields["usage_found"]:
        fields |= {"prompt_tokens": None, "cached_tokens": None, "completion_tokens": None}
        fields["usage_partial"] = False
    elif fields["prompt_tokens"] is None and fields["completion_tokens"] is None:
        fields["prompt_tokens"] = 5
    return make_event(at, producer_seq=None, **fields)


def unnumbered(*auth_ids: str) -> list[MeteringEvent]:
    return [make_event(auth_id=auth, producer_seq=None) for auth in auth_ids]


async def damage(pool: Pool, statement: str) -> None:
    """Change the sums behind the product's back, so that they differ from the events."""
    await pool.execute(statement)
    assert await kept_sums(pool) != await counted_sums(pool)


def test_the_sums_are_those_of_the_events_whatever_comes_in_whatever_order(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    pool = oracle_ledger.pool

    async def store_and_compare(batches: list[list[dict[str, object]]], *, at_once: bool) -> None:
        await oracle_ledger.forget()
        calls = [
            store_events(pool, [event_of(drawn) for drawn in batch], HOUR + number * ONE_HOUR)
            for number, batch in enumerate(batches)
        ]
        if at_once:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call
        counted = await counted_sums(pool)
        assert await kept_sums(pool) == counted
        assert (await rebuild(pool, None, None)).difference_count == 0
        await pool.execute("DELETE FROM hourly_usage")
        assert (await rebuild(pool, None, None)).difference_count == len(counted)
        assert await kept_sums(pool) == counted

    @settings(max_examples=14)
    @given(st.lists(st.lists(drawn_events, max_size=10), max_size=4), st.booleans())
    def agree(batches: list[list[dict[str, object]]], at_once: bool) -> None:
        oracle_runner.run(store_and_compare(batches, at_once=at_once))

    agree()


async def test_batches_at_once_for_the_same_customers_never_deadlock(pool: Pool) -> None:
    for repetition in range(10):
        await asyncio.gather(*(store_events(pool, shuffled(repetition, n), HOUR) for n in range(16)))
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 10 * 16 * 40
    assert await kept_sums(pool) == await counted_sums(pool)


def shuffled(repetition: int, number: int) -> list[MeteringEvent]:
    """Forty events under twenty keys, in an order of this batch's own."""
    events = [
        make_event(HOUR + n % 2 * ONE_HOUR, auth_id=f"auth-{n % 10}", model_id=None if n % 3 else "m")
        for n in range(40)
    ]
    random.Random(100 * repetition + number).shuffle(events)
    return events


async def test_what_the_database_refuses_is_not_in_the_sums_and_comes_in_when_it_is_stored(
    pool: Pool,
) -> None:
    await pool.execute("ALTER TABLE stored_event ADD CONSTRAINT odd CHECK (user_id <> 'odd')")
    events = [make_event(user_id="odd" if n in {3, 11} else "u") for n in range(16)]
    assert [result.fate for result in await store_events(pool, events, HOUR)].count(Fate.REJECTED) == 2
    assert await kept_sums(pool) == await counted_sums(pool)
    assert await pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == 14

    await pool.execute("ALTER TABLE stored_event DROP CONSTRAINT odd")
    assert [tried.fate async for tried in retry_rejected(pool, None, HOUR)] == [Fate.STORED] * 2
    assert await pool.fetchval("SELECT sum(event_count) FROM hourly_usage") == 16
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_a_batch_that_is_not_committed_leaves_nothing_in_the_sums(pool: Pool) -> None:
    await pool.execute("DROP TABLE rejected_event CASCADE")
    with pytest.raises(asyncpg.UndefinedTableError):
        await store_events(pool, [make_event(), make_event(outcome="?")], HOUR)
    assert await kept_sums(pool) == {}


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    "correction",
    [
        "UPDATE hourly_usage SET event_count = 7 WHERE auth_id = 'bob'",
        "UPDATE stored_event SET prompt_tokens = 7, cached_tokens = NULL WHERE auth_id = 'bob'",
        "UPDATE stored_event SET auth_id = NULL WHERE auth_id = 'bob'",
        f"UPDATE stored_event SET {moved('event_time', '-1 hour')}",
        "DELETE FROM stored_event WHERE auth_id = 'bob'",
        "DELETE FROM stored_event",
        "TRUNCATE stored_event",
        "INSERT INTO billing_event_default SELECT (jsonb_populate_record(e, jsonb_build_object('request_id',"
        " gen_random_uuid()))).* FROM billing_event e",
    ],
)
async def test_a_correction_by_hand_is_found_and_said_and_sums_are_made_again(
    ledger: Ledger, correction: str
) -> None:
    for auth in ("alice", "bob"):
        await ledger.store(make_event(auth_id=auth), make_event(auth_id=auth, model_id=None))
    await ledger.rate()
    await ledger.pool.execute("DELETE FROM touched_hour")
    await damage(ledger.pool, correction)
    found = (await check(ledger.pool)).findings.differences
    assert {"phoebe sums rebuild" in one.advice for one in found if one.kind is Finding.SUMS_DIFFER} == {True}
    assert (await rebuild(ledger.pool, None, None)).difference_count > 0
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    # So that runs look at the hour again.
    assert await ledger.pool.fetchval("SELECT count(*) FROM touched_hour") > 0


async def test_an_insert_by_hand_is_refused_with_what_to_do_where_it_would_be_in_no_sum(
    ledger: Ledger,
) -> None:
    await ledger.store(make_event())
    with pytest.raises(asyncpg.PostgresError, match="in no hourly sum") as refused:
        await ledger.pool.execute("INSERT INTO billing_event SELECT * FROM billing_event")
    assert "event_partition" in str(refused.value.hint)
    assert "phoebe sums rebuild" in str(refused.value.hint)


async def test_hours_are_those_of_utc_whatever_the_session_thinks(pool: Pool, database_url: str) -> None:
    connection = await asyncpg.connect(database_url, server_settings={"timezone": "Asia/Kathmandu"})
    try:
        await store_events(pool, [make_event(HOUR + timedelta(minutes=20))], HOUR)
        await store_within(connection, make_event(HOUR + timedelta(minutes=50)))
    finally:
        await connection.close()
    (key,) = await kept_sums(pool)
    assert key[0] == HOUR
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_a_run_reads_no_event(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(model_id="nobody/knows"), make_event(usage_found=False))
    await ledger.pool.execute("ALTER TABLE billing_event RENAME TO out_of_reach")
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 1, "unpriced": 1, "missing_usage": 1}
    assert len(await ledger.rollups()) == 1


async def test_more_tokens_than_a_rollup_holds_are_shouted_about_and_keep_nobody_else_unbilled(
    ledger: Ledger,
) -> None:
    await ledger.store(
        make_event(),
        *(make_event(auth_id="broken", prompt_tokens=2**53, cached_tokens=0) for _ in range(1025)),
    )
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 1, "unpriced": 1025}
    assert [row["auth_id"] for row in await ledger.rollups()] == ["alice"]
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events) == ("TOKENS_OUT_OF_RANGE", 1025)
    assert anomaly.tokens == 2**63 - 1
    assert anomaly.money_at_risk is not None
    assert anomaly.money_at_risk * 10**9 == 1025 * (2**53 * 200 + 10 * 600)


async def test_as_many_tokens_as_a_rollup_holds_are_billed(ledger: Ledger) -> None:
    await ledger.store(
        *(make_event(prompt_tokens=2**53, cached_tokens=0) for _ in range(1023)),
        make_event(prompt_tokens=2**53 - 1, cached_tokens=0),
        make_event(prompt_tokens=2**53, cached_tokens=0, model_untrusted=True),
    )
    assert nonzero(await ledger.rate()) == {"rated": 1024, "unattributable": 1}
    (row,) = await ledger.rollups()
    assert row["prompt_tokens"] == 2**63 - 1


DAMAGES = [
    "DELETE FROM hourly_usage WHERE auth_id = 'bob'",
    "DELETE FROM hourly_usage",
    "INSERT INTO hourly_usage SELECT (jsonb_populate_record(h, jsonb_build_object('auth_id', 'nobody'))).*"
    " FROM hourly_usage h WHERE auth_id = 'bob'",
]


@pytest.mark.parametrize("statement", DAMAGES)
async def test_sums_that_are_wrong_are_found_and_made_again(ledger: Ledger, statement: str) -> None:
    await store_events(ledger.pool, unnumbered("alice", "bob", "bob"), LONG_AGO)
    await ledger.rate()
    await damage(ledger.pool, statement)
    assert Finding.SUMS_DIFFER in counts(await check(ledger.pool))

    dry = await rebuild(ledger.pool, None, None, dry_run=True)
    assert await kept_sums(ledger.pool) != await counted_sums(ledger.pool)
    rebuilt = await rebuild(ledger.pool, None, None)
    assert rebuilt == dry
    assert rebuilt.difference_count == len(rebuilt.differences) > 0
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    assert (await check(ledger.pool)).proven


# What a value becomes that somebody has changed, by its type.
CHANGED = {
    "bigint": "{} + 1",
    "numeric": "{} + 1",
    "boolean": "NOT {}",
    "text": "'other'",
    "timestamp with time zone": "({} AT TIME ZONE 'UTC' - interval '1 hour') AT TIME ZONE 'UTC'",
}
# They say when the events of a sum came, and in which row it stands: no bill depends on them.
OF_NO_WEIGHT = {"first_stored_at", "last_stored_at", "slot", "producer_id"}


async def test_a_wrong_value_in_any_column_of_the_sums_is_found_and_made_again(ledger: Ledger) -> None:
    pool = ledger.pool
    await store_events(pool, unnumbered("alice", "bob", "bob"), LONG_AGO)
    await ledger.rate()
    # By hand anything can be written.
    for check_name in await pool.fetch(
        "SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint"
        " WHERE conrelid IN ('hourly_usage'::regclass, to_regclass('hourly_usage_cold')) AND contype = 'c'"
        " ORDER BY conislocal AND coninhcount = 0 DESC, conrelid"
    ):
        await pool.execute(f"ALTER TABLE {check_name['table']} DROP CONSTRAINT {check_name['name']}")
    columns = await pool.fetch(
        "SELECT column_name AS name, data_type AS type FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = 'hourly_usage' ORDER BY ordinal_position"
    )
    for name, kind in (tuple(column) for column in columns if column["name"] not in OF_NO_WEIGHT):
        changed = CHANGED[kind].format(name)
        await damage(pool, f"UPDATE hourly_usage SET {name} = {changed} WHERE auth_id = 'bob'")
        assert Finding.SUMS_DIFFER in counts(await check(pool)), name
        await rebuild(pool, None, None)
        assert await kept_sums(pool) == await counted_sums(pool), name


async def test_the_audit_holds_bills_against_the_events_where_the_sums_are_wrong(ledger: Ledger) -> None:
    await store_events(ledger.pool, unnumbered("alice", "bob"), LONG_AGO)
    await ledger.pool.execute("UPDATE hourly_usage SET completion_tokens = 11 WHERE auth_id = 'bob'")
    await ledger.rate()
    result = await check(ledger.pool)
    assert counts(result) == {Finding.SUMS_DIFFER: 1, Finding.ROLLUP_DIFFERS_FROM_EVENTS: 1}
    assert details(result)[0] == (
        "the sum has 1 event, 100 prompt, 20 cached, 11 completion, 80 billable prompt tokens; "
        "its events make 1 event, 100 prompt, 20 cached, 10 completion, 80 billable prompt tokens"
    )


async def test_only_the_hours_asked_for_are_made_again(ledger: Ledger) -> None:
    await ledger.store(*(make_event(HOUR + n * ONE_HOUR) for n in range(3)))
    await damage(ledger.pool, "UPDATE hourly_usage SET event_count = 5")
    rebuilt = await rebuild(ledger.pool, HOUR + ONE_HOUR, HOUR + 2 * ONE_HOUR)
    assert (rebuilt.hours, rebuilt.hours_differing) == (1, 1)
    kept = await ledger.pool.fetch("SELECT event_count FROM hourly_usage ORDER BY window_start")
    assert [row["event_count"] for row in kept] == [5, 1, 5]
    with pytest.raises(InvalidWindow, match="whole UTC hour"):
        await rebuild(ledger.pool, HOUR + timedelta(minutes=1), None)
    with pytest.raises(InvalidWindow, match="after"):
        await rebuild(ledger.pool, HOUR, HOUR)


async def test_a_rebuild_waits_for_a_batch_that_has_added_and_then_counts_it(pool: Pool) -> None:
    await store_events(pool, [make_event()], HOUR)
    await damage(pool, "UPDATE hourly_usage SET event_count = 9")
    async with pool.acquire() as batch, batch.transaction():
        await store_within(batch, make_event())
        waiting = asyncio.create_task(rebuild(pool, None, None))
        await until_statements_wait(batch)
    assert (await waiting).difference_count == 1
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_batches_go_on_while_the_sums_of_their_keys_are_made_again(pool: Pool) -> None:
    """A rebuild waits for the transactions that add to the sums, and keeps nobody waiting meanwhile."""
    await store_events(pool, [make_event(auth_id="a"), make_event(auth_id="b")], HOUR)
    await damage(pool, "UPDATE hourly_usage SET event_count = 9")
    async with pool.acquire() as slow, slow.transaction():
        await store_within(slow, make_event(auth_id="c"))
        waiting = asyncio.create_task(rebuild(pool, None, None))
        await until_statements_wait(slow)
        async with asyncio.timeout(20):
            await store_events(pool, [make_event(auth_id="a"), make_event(auth_id="d")], HOUR)
        assert not waiting.done()
    assert (await waiting).difference_count == 2
    assert await kept_sums(pool) == await counted_sums(pool)


async def test_sums_are_right_when_batches_and_rebuilds_come_at_once(pool: Pool) -> None:
    for repetition in range(5):
        await store_events(pool, shuffled(repetition, 99), HOUR)
        await damage(pool, "UPDATE hourly_usage SET event_count = event_count + 1")
        await asyncio.gather(
            *(store_events(pool, shuffled(repetition, n), HOUR) for n in range(6)),
            rebuild(pool, None, None),
            rebuild(pool, None, None),
        )
        assert await kept_sums(pool) == await counted_sums(pool)


async def test_hours_of_which_events_were_pruned_keep_their_sums(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
    await ledger.pool.execute(
        "INSERT INTO pruned_event_range SELECT (jsonb_populate_record(NULL::pruned_event_range,"
        " jsonb_build_object('id', 1, 'partition_name', 'p', 'event_count', 1, 'prompt_tokens', 1,"
        " 'cached_tokens', 0, 'completion_tokens', 0, 'first_event_time', $1::timestamptz,"
        " 'last_event_time', $1::timestamptz, 'window_start', $1::timestamptz,"
        " 'window_end', $1::timestamptz + interval '1 hour', 'accepted', '[]'::jsonb, 'pruned_by', 'ops',"
        " 'pruned_at', now()))).*".replace(
            "INTO pruned_event_range", "INTO pruned_event_range OVERRIDING SYSTEM VALUE"
        ),
        HOUR,
    )
    await ledger.force(f"DELETE FROM stored_event WHERE event_time < '{HOUR + ONE_HOUR}'")
    before = await kept_sums(ledger.pool)
    assert len(before) == 2
    with pytest.raises(EventsPrunedError) as refused:
        await rebuild(ledger.pool, None, None)
    assert refused.value.hours == [HOUR]
    assert (await rebuild(ledger.pool, HOUR + ONE_HOUR, None)).difference_count == 0
    assert await kept_sums(ledger.pool) == before
    assert nonzero(await ledger.rate()) == {"rated": 1}
    assert Finding.SUMS_DIFFER not in counts(await check(ledger.pool))


WRONG_SUMS = [
    ("auth_id = ''", "hourly_usage_no_empty_text"),
    ("base_model = ''", "hourly_usage_no_empty_text"),
    ("window_start = window_start + interval '1 minute'", "hourly_usage_whole_hour"),
    ("event_count = -1", "hourly_usage_counts"),
    ("cached_tokens = -1", "hourly_usage_counts"),
    ("completion_tokens = -1", "hourly_usage_counts"),
    ("billable_prompt_tokens = prompt_tokens + 1", "hourly_usage_counts"),
]


async def test_a_wrong_sum_is_refused(ledger: Ledger, subtests: pytest.Subtests) -> None:
    await ledger.store(make_event())
    for change, constraint in WRONG_SUMS:
        with subtests.test(change):
            with pytest.raises(asyncpg.CheckViolationError) as refused:
                await ledger.pool.execute(f"UPDATE hourly_usage SET {change}")
            assert refused.value.constraint_name == constraint


async def test_a_second_sum_under_one_key_is_refused(ledger: Ledger) -> None:
    await ledger.store(make_event(auth_id=None, model_id=None))
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.pool.execute("INSERT INTO hourly_usage SELECT * FROM hourly_usage")


async def test_the_command_line_says_what_differed_and_how_to_go_on(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event())
    assert await phoebe(database_url, "sums", "rebuild") == 0
    assert "1 hour: all sums are those of the events" in capsys.readouterr().out

    await damage(ledger.pool, "UPDATE hourly_usage SET event_count = 5")
    window = ["--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z"]
    assert await phoebe(database_url, "sums", "rebuild", *window, "--dry-run", "--json") == 2
    said = json_documents.read(capsys.readouterr().out)
    assert (said["dry_run"], said["difference_count"]) == (True, 1)
    assert said["differences"][0]["summed"]["events"] == 5
    assert said["differences"][0]["metered"]["events"] == 1

    assert await phoebe(database_url, "sums", "rebuild", *window) == 2
    assert "rate these hours again" in capsys.readouterr().out
    assert await phoebe(database_url, "sums", "rebuild") == 0

    assert await phoebe(database_url, "sums", "rebuild", "--since", "2026-11-20T10:30Z") == 1
    assert "--since must be a whole UTC hour" in capsys.readouterr().err
