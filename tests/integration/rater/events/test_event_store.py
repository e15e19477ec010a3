"""Metering events in a real database: stored once, compared, kept aside, never dropped."""

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.copy_format import STORED_TYPES
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import Fate, store_events, store_rows
from rater_service.events.validation import EventRow, validate
from tests.harness.ledger import make_event
from tests.harness.waiting import until_statements_wait

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def fates(pool: Pool, *events: MeteringEvent) -> list[Fate]:
    return [result.fate for result in await store_events(pool, events, NOW)]


async def test_an_event_is_stored_in_all_its_fields(pool: Pool) -> None:
    full = make_event(
        client_request_id="c",
        user_id="u",
        group_id="g",
        resource_type="t",
        base_model="b",
        requested_model="q",
        reasoning_tokens=3,
        usage_raw='{"a": 1}',
        finish_reason="stop",
        streamed=True,
        first_byte_time=make_event().event_time,
        cache_write_tokens=4,
        prompt_audio_tokens=5,
        completion_audio_tokens=6,
        model_untrusted=True,
        answer_bytes=7,
        part_count=2,
        usage_partial=True,
        model_echoed=True,
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
    assert {field.name for field, _ in full.ListFields()} == {*MeteringEvent.DESCRIPTOR.fields_by_name} - {
        "part_of"  # what has parts is none
    }
    assert await fates(pool, full) == [Fate.STORED]
    stored = await pool.fetchrow("SELECT * FROM billing_event")
    assert stored is not None
    expected = validate(full)
    assert isinstance(expected, EventRow)
    assert dict(stored) == expected.stored(NOW) | {"summed_as_other": False}
    assert stored["stored_at"] == NOW


async def test_columns_have_the_types_in_which_they_are_written(pool: Pool) -> None:
    types = await pool.fetch(
        "SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute"
        " WHERE attrelid = 'stored_event'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    names = {"timestamptz": "timestamp with time zone"}
    assert {row["attname"]: row["type"] for row in types} == {
        name: names.get(type_name, type_name) for name, type_name in STORED_TYPES.items()
    }


async def test_events_in_any_order_with_bad_ones_among_them_are_stored_as_they_are(pool: Pool) -> None:
    events = [make_event(user_id=f"user-{number}", streamed=number % 3 == 0) for number in range(250)]
    for number in (3, 77, 78, 249):
        events[number].outcome = "lost"
    random.Random(3).shuffle(events)
    expected = {row.request_id: row for event in events if isinstance(row := validate(event), EventRow)}
    assert await fates(pool, *events) == [
        Fate.REJECTED if event.outcome == "lost" else Fate.STORED for event in events
    ]
    stored = await pool.fetch("SELECT * FROM billing_event")
    assert {row["request_id"]: dict(row) for row in stored} == {
        request_id: row.stored(NOW) | {"summed_as_other": False} for request_id, row in expected.items()
    }


async def test_a_part_says_of_which_event_it_is_one(pool: Pool) -> None:
    own = make_event(part_count=1)
    part = make_event(part_of=own.request_id.upper(), event_time=own.event_time)
    assert await fates(pool, own, part) == [Fate.STORED, Fate.STORED]
    assert await fates(pool, part) == [Fate.DUPLICATE]
    stored = await pool.fetchval("SELECT part_of FROM billing_event WHERE part_of IS NOT NULL")
    assert str(stored) == own.request_id


async def test_empty_texts_and_absent_counts_become_null_but_zero_stays(pool: Pool) -> None:
    absent = {"cached_tokens": None, "cache_write_tokens": None}
    await fates(
        pool,
        make_event(auth_id="", model_id="", completion_tokens=0, completion_audio_tokens=0, **absent),
    )
    stored = await pool.fetchrow(
        "SELECT auth_id, model_id, cached_tokens, cache_write_tokens,"
        " completion_tokens, completion_audio_tokens FROM billing_event"
    )
    assert stored is not None
    assert tuple(stored) == (None, None, None, None, 0, 0)


async def test_sending_an_event_again_is_a_duplicate_and_changes_nothing(pool: Pool) -> None:
    event = make_event()
    assert await fates(pool, event) == [Fate.STORED]
    before = await pool.fetchrow("SELECT *, xmin::text FROM stored_event")
    assert await fates(pool, event) == [Fate.DUPLICATE]
    assert await pool.fetch("SELECT *, xmin::text FROM stored_event") == [before]
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 0


async def test_a_trace_that_an_earlier_rater_did_not_store_makes_no_other_event(pool: Pool) -> None:
    event = make_event(trace_id="0af7651916cd43dd8448eb211c80319c")
    other = make_event(request_id=event.request_id, trace_id="c91308c112be8448dd34dc6191567fa0")
    assert await fates(pool, event) == [Fate.STORED]
    assert await fates(pool, event, other) == [Fate.DUPLICATE, Fate.CONFLICT]
    await pool.execute("UPDATE stored_event SET trace_id = NULL")
    assert await fates(pool, event) == [Fate.DUPLICATE]


@pytest.mark.parametrize(
    "change",
    [
        {"completion_tokens": 11},
        {"cached_tokens": None},
        {"streamed": True},
        {"producer_seq": 77},
        {"auth_id": ""},
        {"cache_write_tokens": 0},
        {"prompt_audio_tokens": 1},
        {"completion_audio_tokens": 1},
        {"model_untrusted": True},
        {"answer_bytes": 0},
        {"part_of": "01939f2e-0000-7000-8000-000000000000"},
        {"part_count": 1},
        {"usage_partial": True},
        {"model_echoed": True},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_the_same_id_with_other_content_is_a_conflict_and_kept_aside_once(
    pool: Pool, change: dict[str, object]
) -> None:
    first = make_event()
    other = make_event(request_id=first.request_id, producer_seq=first.producer_seq)
    for field, value in change.items():
        changed = make_event(
            **{"request_id": first.request_id, "producer_seq": first.producer_seq, field: value}
        )
        other.CopyFrom(changed)
    assert await fates(pool, first) == [Fate.STORED]
    assert await fates(pool, other) == [Fate.CONFLICT]
    assert await fates(pool, other) == [Fate.CONFLICT]
    kept = await pool.fetch("SELECT * FROM rejected_event")
    assert [(row["kind"], row["request_id"]) for row in kept] == [("CONFLICT", first.request_id)]
    assert MeteringEvent.FromString(kept[0]["event"]) == other
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 1


async def test_of_one_id_several_times_in_a_batch_the_first_wins(pool: Pool) -> None:
    first = make_event()
    other = make_event(request_id=first.request_id, producer_seq=first.producer_seq, completion_tokens=999)
    assert await fates(pool, first, other, first) == [Fate.STORED, Fate.CONFLICT, Fate.DUPLICATE]
    assert await pool.fetchval("SELECT completion_tokens FROM billing_event") == first.completion_tokens


async def test_an_id_in_capitals_is_the_same_id(pool: Pool) -> None:
    event = make_event()
    assert await fates(pool, event) == [Fate.STORED]
    event.request_id = event.request_id.upper()
    assert await fates(pool, event) == [Fate.DUPLICATE]


async def test_a_bad_event_is_kept_whole_and_does_not_hold_up_the_others(pool: Pool) -> None:
    good, bad = make_event(), make_event(request_id="chatcmpl-1\0", outcome="lost")
    results = await store_events(pool, [bad, good], NOW)
    assert [result.fate for result in results] == [Fate.REJECTED, Fate.STORED]
    assert "request_id" in results[0].reason
    assert "outcome" in results[0].reason
    assert await fates(pool, bad) == [Fate.REJECTED]
    (kept,) = await pool.fetch("SELECT * FROM rejected_event")
    assert (kept["kind"], kept["reason"], kept["request_id"]) == ("REJECTED", results[0].reason, "chatcmpl-1")
    assert (kept["producer_id"], kept["producer_seq"]) == (bad.producer_id, bad.producer_seq)
    assert MeteringEvent.FromString(kept["event"]) == bad


async def test_an_event_only_the_database_refuses_is_rejected_alone(pool: Pool) -> None:
    await pool.execute("ALTER TABLE stored_event ADD CONSTRAINT odd CHECK (user_id <> 'odd')")
    events = [make_event(), make_event(user_id="odd"), make_event()]
    results = await store_events(pool, [*events, events[0]], NOW)
    expected = [Fate.STORED, Fate.REJECTED, Fate.STORED, Fate.DUPLICATE]
    assert [result.fate for result in results] == expected
    assert "CheckViolation" in results[1].reason
    assert await pool.fetchval("SELECT kind FROM rejected_event") == "REJECTED"


async def test_a_batch_with_an_event_that_was_sent_before_is_stored_whole_and_once(pool: Pool) -> None:
    known, new, bad = make_event(), make_event(), make_event(outcome="?")
    other = make_event(request_id=known.request_id)
    status = StatusRow("spool-1", 9, 4, 0, None, stopped=False, lost_rows=0)
    await fates(pool, known)
    results = await store_events(pool, [new, other, bad, known], NOW, status)
    assert [result.fate for result in results] == [Fate.STORED, Fate.CONFLICT, Fate.REJECTED, Fate.DUPLICATE]
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 2
    kinds = await pool.fetch("SELECT kind FROM rejected_event ORDER BY kind")
    assert [kind for (kind,) in kinds] == ["CONFLICT", "REJECTED"]
    assert await pool.fetchval("SELECT last_seq FROM producer") == 9


@pytest.mark.parametrize("perhaps_sent_before", [False, True])
@pytest.mark.parametrize("seed", range(5))
async def test_a_batch_of_all_kinds_has_the_same_fates_whatever_was_expected_of_it(
    pool: Pool, perhaps_sent_before: bool, seed: int
) -> None:
    await pool.execute("ALTER TABLE stored_event ADD CONSTRAINT odd CHECK (user_id <> 'odd')")
    known, changed, twice = (make_event() for _ in range(3))
    await fates(pool, known, changed)
    kinds = [
        (known, Fate.DUPLICATE),
        (make_event(request_id=changed.request_id), Fate.CONFLICT),
        (make_event(outcome="?"), Fate.REJECTED),
        *((make_event(), Fate.STORED) for _ in range(5)),
    ]
    if seed % 2:
        kinds += [(make_event(user_id="odd"), Fate.REJECTED), (twice, Fate.STORED)]
    random.Random(seed).shuffle(kinds)
    if seed % 2:
        kinds.append((twice, Fate.DUPLICATE))
    events = [event for event, _ in kinds]
    results = await store_events(pool, events, NOW, perhaps_sent_before=perhaps_sent_before)
    assert [result.fate for result in results] == [fate for _, fate in kinds]
    stored = await pool.fetch("SELECT request_id::text FROM billing_event")
    expected = {event.request_id for event, fate in kinds if fate in {Fate.STORED, Fate.DUPLICATE}}
    assert {row["request_id"] for row in stored} == expected | {changed.request_id}
    assert len(stored) == len(expected) + 1


async def test_events_that_were_sent_before_cost_no_copy_that_fails_where_they_are_expected(
    pool: Pool,
) -> None:
    known, new = make_event(), make_event()
    await fates(pool, known)
    for expected, failed in ((True, 0), (False, 1)):
        before = await rollbacks(pool)
        again = await store_events(pool, [known, new, make_event()], NOW, perhaps_sent_before=expected)
        assert again[0].fate is Fate.DUPLICATE
        assert await rollbacks(pool) == before + failed


async def rollbacks(pool: Pool) -> int:
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        count = await connection.fetchval(
            "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
    assert isinstance(count, int)
    return count


async def test_batches_at_once_with_the_same_ids_never_deadlock_and_store_each_once(pool: Pool) -> None:
    shared = [make_event() for _ in range(200)]
    bad = [make_event(outcome="?") for _ in range(20)]

    async def send(seed: int) -> list[Fate]:
        mixed = random.Random(seed).sample([*shared, *bad], k=220)
        return await fates(pool, *mixed)

    outcomes = await asyncio.gather(*(send(seed) for seed in range(8)))
    together = [fate for batch in outcomes for fate in batch]
    assert together.count(Fate.STORED) == 200
    assert together.count(Fate.DUPLICATE) == 7 * 200
    assert together.count(Fate.REJECTED) == 8 * 20
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 200
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 20


async def test_a_batch_sent_in_any_order_never_holds_what_a_batch_before_it_still_needs(pool: Pool) -> None:
    first, second = sorted((make_event(), make_event()), key=lambda event: event.request_id)

    async def insert(connection: Connection, event: MeteringEvent) -> None:
        row = validate(event)
        assert isinstance(row, EventRow)
        await store_rows(connection, [row], NOW)

    async with pool.acquire() as other, other.transaction():
        await insert(other, first)
        waiting = asyncio.create_task(fates(pool, second, first))
        await until_statements_wait(other)
        await insert(other, second)
    assert await waiting == [Fate.DUPLICATE, Fate.DUPLICATE]


async def test_nothing_is_stored_when_the_batch_can_not_be_committed(pool: Pool) -> None:
    await pool.execute("DROP TABLE rejected_event")
    with pytest.raises(asyncpg.UndefinedTableError):
        await store_events(pool, [make_event(), make_event(outcome="?")], NOW)
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 0


async def test_the_stored_id_is_the_one_sent(pool: Pool) -> None:
    event = make_event()
    await fates(pool, event)
    assert await pool.fetchval("SELECT request_id FROM billing_event") == UUID(event.request_id)


XX000_OF_DUPLICATES = """
CREATE FUNCTION say_internal_error() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_query() ILIKE 'COPY%'
        AND EXISTS (SELECT FROM billing_event WHERE request_id = NEW.request_id) THEN
        RAISE 'duplicate key on a worker' USING ERRCODE = 'XX000';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER say_internal_error BEFORE INSERT ON billing_event_default
FOR EACH ROW EXECUTE FUNCTION say_internal_error();
"""


async def test_a_duplicate_that_a_fork_calls_an_internal_error_is_a_duplicate(pool: Pool) -> None:
    await pool.execute(XX000_OF_DUPLICATES)
    known, new = make_event(), make_event()
    await store_events(pool, [known], NOW)
    results = await store_events(pool, [known, new], NOW)
    assert [result.fate for result in results] == [Fate.DUPLICATE, Fate.STORED]


async def test_an_internal_error_of_the_database_for_another_reason_stays_one(pool: Pool) -> None:
    await pool.execute(XX000_OF_DUPLICATES.replace("AND EXISTS", "OR EXISTS"))
    with pytest.raises(asyncpg.InternalServerError):
        await store_events(pool, [make_event()], NOW)
