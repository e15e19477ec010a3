"""What events have in common is kept once, and everybody who reads events finds it in each of them."""

import asyncpg
import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Pool
from rater_service.events.forget import Person, erase_person
from rater_service.events.patterned import SHARED
from rater_service.events.patterns import Patterns
from rater_service.events.store import Fate, store_events
from rater_service.statements import bound, statement
from tests.harness.ledger import HOUR, Ledger, make_event
from tests.harness.sums import counted_sums, kept_sums

USAGE = '{"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 20}, "completion_tokens": 007}'


def full_event(**fields: object) -> MeteringEvent:
    common = {
        "client_request_id": "c",
        "user_id": "ada",
        "group_id": "g",
        "resource_type": "t",
        "base_model": "b",
        "requested_model": "q",
        "finish_reason": "stop",
        "usage_raw": USAGE,
    }
    return make_event(**common | fields)


async def store(pool: Pool, patterns: Patterns | None, *events: MeteringEvent) -> list[Fate]:
    return [result.fate for result in await store_events(pool, events, HOUR, patterns=patterns)]


async def whole(pool: Pool) -> list[dict[str, object]]:
    """The events without their ids, in the order of their numbers."""
    rows = await pool.fetch("SELECT * FROM billing_event ORDER BY producer_seq")
    return [{name: value for name, value in row.items() if name != "request_id"} for row in rows]


async def patterned(pool: Pool) -> list[bool]:
    """Of each event whether it has a pattern, in the order of their numbers."""
    rows = await pool.fetch("SELECT pattern FROM stored_event ORDER BY producer_seq")
    return [row["pattern"] is not None for row in rows]


def some_events() -> list[MeteringEvent]:
    return [
        full_event(producer_seq=1),
        make_event(producer_seq=2, usage_raw='{"said": "by the engine", "n": 1}'),
        full_event(producer_seq=3, usage_found=False, outcome="aborted", usage_raw=""),
    ]


async def test_events_with_a_pattern_read_as_those_that_have_all_in_their_own_columns(ledger: Ledger) -> None:
    await store(ledger.pool, None, *some_events())
    expected = await whole(ledger.pool)
    assert expected[0]["usage_raw"] == USAGE
    await ledger.forget()

    assert await store(ledger.pool, Patterns(events_min=1), *some_events()) == [Fate.STORED] * 3
    assert await patterned(ledger.pool) == [True] * 3
    own = ", ".join((*SHARED, "nullif(usage_raw, usage_raw)"))
    assert await ledger.pool.fetchval(f"SELECT num_nonnulls({own}) FROM stored_event LIMIT 1") == 0
    assert await ledger.pool.fetchval("SELECT count(usage_numbers) FROM stored_event") == 1
    assert await whole(ledger.pool) == expected
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    columns = await ledger.pool.fetchval(*bound("retention/export_columns", shared=SHARED))
    export = statement("retention/export", partition="billing_event_default", columns=columns)
    exported = await ledger.pool.fetch(*export.bind({"before": HOUR.replace(year=2099)}))
    assert exported == await ledger.pool.fetch("SELECT * FROM billing_event ORDER BY request_id")
    assert list(exported[0].keys()) == list(
        (await ledger.pool.fetch("SELECT * FROM billing_event"))[0].keys()
    )


async def test_an_event_that_is_sent_again_is_compared_with_what_its_pattern_says(ledger: Ledger) -> None:
    patterns = Patterns(events_min=1)
    first = full_event()
    assert await store(ledger.pool, patterns, first) == [Fate.STORED]
    other = full_event(request_id=first.request_id, group_id="another")
    new = full_event()
    assert await store(ledger.pool, patterns, first, new) == [Fate.DUPLICATE, Fate.STORED]
    assert await store(ledger.pool, patterns, other) == [Fate.CONFLICT]


async def test_names_that_few_events_have_make_no_pattern(pool: Pool) -> None:
    patterns = Patterns(events_min=3)
    for number in range(3):
        invented = make_event(producer_seq=1 + 2 * number, requested_model=f"invented-{number}")
        await store(pool, patterns, invented, make_event(producer_seq=2 + 2 * number))
    assert await pool.fetchval("SELECT count(*) FROM event_pattern") == 1
    assert await patterned(pool) == [False, False, False, False, False, True]


async def test_a_rater_finds_the_patterns_that_another_one_made(pool: Pool) -> None:
    for patterns in (Patterns(events_min=1), Patterns(events_min=1)):
        await store(pool, patterns, make_event())
    assert await pool.fetchval("SELECT count(DISTINCT pattern) FROM stored_event") == 1


async def test_a_pattern_that_the_database_lost_is_never_relied_on(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """A standby that takes over may lack the last commits, and give their numbers to other patterns."""
    patterns = Patterns(events_min=1)
    await store(ledger.pool, patterns, make_event(auth_id="alice"))
    await ledger.force("TRUNCATE stored_event, event_pattern RESTART IDENTITY; DELETE FROM hourly_usage")
    await store(ledger.pool, Patterns(events_min=1), make_event(auth_id="bob", producer_seq=1))

    await store(ledger.pool, patterns, make_event(auth_id="alice", producer_seq=2))
    assert "lacks 1 pattern of events" in caplog.text
    await store(ledger.pool, patterns, make_event(auth_id="alice", producer_seq=3))
    assert [event["auth_id"] for event in await whole(ledger.pool)] == ["bob", "alice", "alice"]
    assert await patterned(ledger.pool) == [True, False, True]


async def test_a_full_table_of_patterns_stops_no_event(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    await pool.execute("ALTER TABLE event_pattern ALTER number SET MAXVALUE 2")
    patterns = Patterns(events_min=1)
    for number, auth_id in enumerate("abcda", 1):
        assert await store(pool, patterns, make_event(auth_id=auth_id, producer_seq=number)) == [Fate.STORED]
    assert caplog.text.count("event_pattern is full") == 1
    assert await patterned(pool) == [True, True, False, False, True]


async def test_patterns_are_never_changed(pool: Pool, subtests: pytest.Subtests) -> None:
    await store(pool, Patterns(events_min=1), make_event())
    for change in (
        "UPDATE event_pattern SET auth_id = 'bob'",
        "DELETE FROM event_pattern",
        "TRUNCATE event_pattern",
    ):
        with (
            subtests.test(change),
            pytest.raises(asyncpg.IntegrityConstraintViolationError, match="event_pattern is append-only"),
        ):
            await pool.execute(change)


async def test_an_event_that_is_corrected_by_hand_has_what_it_had_in_its_own_columns(ledger: Ledger) -> None:
    await store(ledger.pool, Patterns(events_min=1), full_event(producer_seq=1), full_event(producer_seq=2))
    before = await whole(ledger.pool)
    assert (
        await ledger.pool.execute("UPDATE billing_event SET auth_id = NULL WHERE producer_seq = 1")
        == "UPDATE 1"
    )
    assert await whole(ledger.pool) == [before[0] | {"auth_id": None}, before[1]]
    assert await patterned(ledger.pool) == [False, True]
    assert (
        await ledger.pool.execute("DELETE FROM billing_event WHERE group_id = 'g' AND producer_seq = 2")
        == "DELETE 1"
    )
    assert await whole(ledger.pool) == [before[0] | {"auth_id": None}]


async def test_nothing_of_a_person_is_left_in_an_event_or_its_pattern(ledger: Ledger) -> None:
    said = '{"prompt_tokens": 1, "for": "ada lovelace"}'
    await store(
        ledger.pool,
        Patterns(events_min=1),
        full_event(producer_seq=1),
        full_event(producer_seq=2, usage_raw=said),
    )
    before = await whole(ledger.pool)
    erased = await erase_person(ledger.pool, Person(auth_id="alice"), "a test", HOUR)
    assert erased.events == 2
    gone = dict.fromkeys(("user_id", "client_request_id", "usage_raw", "trace_id"))
    assert await whole(ledger.pool) == [event | gone for event in before]
    rows = await ledger.pool.fetch(
        "SELECT row(p.*)::text FROM event_pattern AS p UNION ALL SELECT row(e.*)::text FROM stored_event AS e"
    )
    assert not any("lovelace" in row[0] for row in rows)
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
