"""Events that are kept aside: they hold up nobody, can be looked at, and can be tried again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.rejected import Retried, list_rejected, retry_rejected
from rater_service.events.store import Fate, store_events, store_rows
from rater_service.events.validation import EventRow, validate
from tests.harness import json_documents
from tests.harness.ledger import make_event
from tests.harness.waiting import until_statements_wait
from tests.integration.rater.cli.test_cli_with_database import phoebe

pytestmark = pytest.mark.one_postgres

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)
REFUSE_ODD_USERS = "ALTER TABLE stored_event ADD CONSTRAINT odd CHECK (user_id <> 'odd')"
# What a bug in a trigger or an index expression would do to single rows: an error that no rule of ours
# foresaw.
FAIL_FOR_ODD_USERS = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 / (NEW.user_id IS DISTINCT FROM 'odd')::int;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON stored_event FOR EACH ROW EXECUTE FUNCTION fail();
"""

type Capture = pytest.CaptureFixture[str]


async def store(pool: Pool, *events: MeteringEvent) -> list[Fate]:
    return [result.fate for result in await store_events(pool, events, NOW)]


async def retry(pool: Pool, *ids: int) -> list[Retried]:
    return [tried async for tried in retry_rejected(pool, ids or None, LATER)]


BAD: dict[str, Callable[[], MeteringEvent]] = {
    "no id": lambda: make_event(request_id=""),
    "a time PostgreSQL does not have": lambda: make_event(event_time=Timestamp(seconds=2**62)),
    "a time in the year 9999": lambda: make_event(event_time=Timestamp(seconds=253_402_300_799)),
    "a text with NUL": lambda: make_event(model_id="a\0b"),
    "a usage object that is too large": lambda: make_event(usage_raw="x" * 20_000),
    "a text that is too long": lambda: make_event(client_request_id="x" * 257),
    "more tokens than there can be": lambda: make_event(prompt_tokens=2**63 - 1),
    "an error of the database itself": lambda: make_event(user_id="odd"),
}


async def test_bad_events_of_all_kinds_hold_up_no_good_one(pool: Pool) -> None:
    await pool.execute(FAIL_FOR_ODD_USERS)
    first = make_event()
    await store(pool, first)
    batch: list[MeteringEvent] = []
    expected: list[Fate] = []
    for make_bad in BAD.values():
        batch += [make_event(), make_bad(), make_event(request_id=first.request_id), first]
        expected += [Fate.STORED, Fate.REJECTED, Fate.CONFLICT, Fate.DUPLICATE]
    assert await store(pool, *batch) == expected
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 1 + len(BAD)
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 2 * len(BAD)
    again = [Fate.DUPLICATE, Fate.REJECTED, Fate.CONFLICT, Fate.DUPLICATE]
    assert await store(pool, *batch) == again * len(BAD)
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 2 * len(BAD)


@pytest.mark.parametrize("kind", list(BAD))
async def test_each_kind_of_bad_event_is_kept_whole(pool: Pool, kind: str) -> None:
    await pool.execute(FAIL_FOR_ODD_USERS)
    bad = BAD[kind]()
    assert await store(pool, make_event(), bad, make_event()) == [Fate.STORED, Fate.REJECTED, Fate.STORED]
    kept = await pool.fetchval("SELECT event FROM rejected_event")
    assert MeteringEvent.FromString(kept) == bad


async def test_many_events_that_the_database_refuses_are_found_among_a_thousand(pool: Pool) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    events = [make_event(user_id="odd" if n % 97 == 5 else "even") for n in range(1000)]
    expected = [Fate.REJECTED if event.user_id == "odd" else Fate.STORED for event in events]
    assert await store(pool, *events) == expected


async def test_batches_at_once_with_refused_events_never_deadlock(pool: Pool) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    events = [make_event(user_id="odd" if n % 20 == 5 else "even") for n in range(100)]
    outcomes = await asyncio.gather(
        store(pool, *events), store(pool, *reversed(events)), store(pool, *events[50:], *events[:50])
    )
    together = [fate for fates in outcomes for fate in fates]
    assert (together.count(Fate.STORED), together.count(Fate.REJECTED)) == (95, 15)
    assert await pool.fetchval("SELECT count(*) FROM rejected_event") == 5


async def test_a_batch_with_refused_events_never_holds_what_a_batch_before_it_still_needs(
    pool: Pool,
) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    users = ("odd", "first", "odd", "second")
    events = sorted((make_event() for _ in users), key=lambda event: event.request_id)
    for event, user in zip(events, users, strict=True):
        event.user_id = user
    rows = {event.user_id: validate(event) for event in events}

    async def insert(connection: Connection, user: str) -> None:
        row = rows[user]
        assert isinstance(row, EventRow)
        await store_rows(connection, [row], NOW)

    async with pool.acquire() as other, other.transaction():
        await insert(other, "first")
        waiting = asyncio.create_task(store(pool, *events))
        await until_statements_wait(other)
        await insert(other, "second")
    assert await waiting == [Fate.REJECTED, Fate.DUPLICATE] * 2


async def test_they_are_listed_oldest_first_by_reason_and_up_to_a_limit(pool: Pool) -> None:
    await store(pool, make_event(outcome="?", producer_id="p", producer_seq=4))
    await store(pool, make_event(usage_found=False, prompt_tokens=1))
    await store(pool, make_event(outcome="!"))
    listed = await list_rejected(pool, None, 10)
    assert [event.kind for event in listed] == ["REJECTED"] * 3
    assert (listed[0].producer_id, listed[0].producer_seq, listed[0].received_at) == ("p", 4, NOW)
    assert await list_rejected(pool, "OUTCOME", 10) == [listed[0], listed[2]]
    assert await list_rejected(pool, None, 1) == listed[:1]
    assert listed[0].differs == {}


async def test_a_conflict_is_shown_beside_the_event_that_was_first(pool: Pool) -> None:
    first = make_event(finish_reason="stop")
    other = make_event(request_id=first.request_id, producer_seq=first.producer_seq, completion_tokens=99)
    await store(pool, first, other)
    (listed,) = await list_rejected(pool, None, 10)
    assert listed.kind == "CONFLICT"
    assert listed.differs == {"completion_tokens": (10, 99), "finish_reason": ("stop", None)}


async def test_an_event_is_stored_once_nothing_refuses_it_any_more(pool: Pool) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    event = make_event(user_id="odd")
    await store(pool, event)
    (tried,) = await retry(pool)
    assert (tried.fate, tried.request_id) == (Fate.REJECTED, event.request_id)

    await pool.execute("ALTER TABLE stored_event DROP CONSTRAINT odd")
    (tried,) = await retry(pool)
    assert (tried.fate, tried.reason) == (Fate.STORED, "")
    assert await pool.fetchval("SELECT stored_at FROM billing_event") == LATER
    assert await list_rejected(pool, None, 10) == []
    assert await retry(pool) == []
    kept = await pool.fetchrow("SELECT kind, resolved_at, resolved_as FROM rejected_event")
    assert kept is not None
    assert tuple(kept) == ("REJECTED", LATER, "STORED")


async def test_an_event_that_came_again_by_itself_is_settled_as_a_duplicate(pool: Pool) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    event = make_event(user_id="odd")
    await store(pool, event)
    await pool.execute("ALTER TABLE stored_event DROP CONSTRAINT odd")
    await store(pool, event)
    assert [tried.fate for tried in await retry(pool)] == [Fate.DUPLICATE]
    assert await list_rejected(pool, None, 10) == []


async def test_what_is_still_wrong_stays_with_the_newest_reason(pool: Pool) -> None:
    first = make_event()
    bad = make_event(outcome="?")
    conflict = make_event(request_id=first.request_id)
    await store(pool, first, bad, conflict)
    await pool.execute("UPDATE rejected_event SET reason = 'of an older version' WHERE kind = 'REJECTED'")
    assert {tried.fate for tried in await retry(pool)} == {Fate.REJECTED, Fate.CONFLICT}
    listed = await list_rejected(pool, None, 10)
    assert {event.kind for event in listed} == {"REJECTED", "CONFLICT"}
    assert not [event for event in listed if event.reason == "of an older version"]


async def test_only_the_events_asked_for_are_tried(pool: Pool) -> None:
    await store(pool, make_event(outcome="?"), make_event(outcome="!"))
    ids = [event.id for event in await list_rejected(pool, None, 10)]
    assert [tried.id for tried in await retry(pool, ids[1], 999)] == [ids[1]]


async def test_more_events_than_one_transaction_takes_are_tried_each_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rater_service.events import rejected as rejected_events

    monkeypatch.setattr(rejected_events, "PAGE", 3)
    await store(pool, *(make_event(outcome="?") for _ in range(8)))
    tried = await retry(pool)
    assert [event.id for event in tried] == [event.id for event in await list_rejected(pool, None, 10)]


async def test_what_another_attempt_settles_meanwhile_is_left_to_it(pool: Pool) -> None:
    await store(pool, make_event(outcome="?"))
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM rejected_event FOR UPDATE")
        waiting = asyncio.create_task(retry(pool))
        await until_statements_wait(other)
        await other.execute("UPDATE rejected_event SET resolved_at = now(), resolved_as = 'STORED'")
    assert await waiting == []


async def test_two_attempts_at_once_store_an_event_once(pool: Pool) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    await store(pool, *(make_event(user_id="odd") for _ in range(20)))
    await pool.execute("ALTER TABLE stored_event DROP CONSTRAINT odd")
    one, other = await asyncio.gather(retry(pool), retry(pool))
    assert [tried.fate for tried in (*one, *other)] == [Fate.STORED] * 20
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 20


async def test_the_command_line_shows_what_is_wrong(pool: Pool, database_url: str, capsys: Capture) -> None:
    first = make_event()
    await store(pool, first, make_event(request_id=first.request_id, user_id="u"), make_event(outcome="?"))

    assert await phoebe(database_url, "rejected", "list") == 0
    shown = capsys.readouterr().out
    assert 'user_id: null, then "u"' in shown
    assert "outcome: must be one of" in shown

    asked = ["--reason", "outcome", "--limit", "5", "--json"]
    assert await phoebe(database_url, "rejected", "list", *asked) == 0
    (event,) = json_documents.read(capsys.readouterr().out)["events"]
    assert (event["kind"], event["differs"]) == ("REJECTED", {})


async def test_the_command_line_tries_again_and_says_what_to_rate(
    pool: Pool, database_url: str, capsys: Capture
) -> None:
    await pool.execute(REFUSE_ODD_USERS)
    await store(pool, make_event(user_id="odd"))
    assert await phoebe(database_url, "rejected", "retry", "--all") == 2
    assert "1 REJECTED" in capsys.readouterr().out

    await pool.execute("ALTER TABLE stored_event DROP CONSTRAINT odd")
    assert await phoebe(database_url, "rejected", "retry", "--all") == 0
    shown = capsys.readouterr().out
    assert "1 STORED" in shown
    assert "phoebe rate --since 2026-11-20T10:00:00Z --until 2026-11-20T11:00:00Z" in shown

    assert await phoebe(database_url, "rejected", "retry", "--all", "--json") == 0
    assert json_documents.read(capsys.readouterr().out) == {"events": []}


async def test_retrying_needs_ids_of_the_list_or_all(database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "rejected", "retry", "77") == 1
    assert "not in the list: 77" in capsys.readouterr().err
    assert await phoebe(database_url, "rejected", "retry") == 1
    assert await phoebe(database_url, "rejected", "retry", "7", "--all") == 1
