"""A person is erased from events: nothing of it stays or comes back, and no bill, sum or proof changes."""

import asyncio
import re

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.audit.audit import AuditRequest, audit
from rater_service.cli import main
from rater_service.events import forget
from rater_service.events.forget import Person, count_person, erase_person
from rater_service.events.hourly_usage import rebuild
from rater_service.events.rejected import list_rejected
from rater_service.events.store import Fate, store_events
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

NAME = "Ada Lovelace"
# In all else that is personal. No digest or id has it by chance: it is not hexadecimal.
WORD = "lovelace"
ADA = Person(user_id=NAME)
NOW = HOUR + 2 * ONE_HOUR
TRACE = "0af7651916cd43dd8448eb211c80319c"
PERSONAL = {
    "user_id": NAME,
    "client_request_id": f"{WORD}-1",
    "usage_raw": f'{{"{WORD}": 1}}',
    "trace_id": TRACE,
}


def of_ada(**fields: object) -> MeteringEvent:
    return make_event(**PERSONAL, **fields)


async def everything(ledger: Ledger) -> str:
    """All that the database holds, as text."""
    tables = await ledger.pool.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    rows = [await ledger.pool.fetch(f"SELECT t::text FROM {table['relname']} AS t") for table in tables]
    text = "\n".join(row[0] for found in rows for row in found)
    # What was kept aside is there as bytes.
    return text + "".join(
        bytes.fromhex(found).decode("utf-8", "replace") for found in re.findall(r"\\\\x([0-9a-f]+)", text)
    )


async def send(ledger: Ledger, *events: MeteringEvent) -> list[Fate]:
    return [result.fate for result in await store_events(ledger.pool, events, NOW)]


@pytest.fixture
async def known(ledger: Ledger) -> Ledger:
    await ledger.store(*(of_ada() for _ in range(3)), make_event(user_id="bob", usage_raw="{}"))
    await ledger.rate()
    return ledger


async def test_nothing_of_a_person_stays_and_no_bill_or_sum_changes(known: Ledger) -> None:
    before = await everything(known)
    assert [text for text in (NAME, WORD, TRACE) if text in before] == [NAME, WORD, TRACE]
    bills = await known.rollups()
    day = AuditRequest(HOUR, HOUR + ONE_HOUR)
    proven = (await audit(known.pool, day, NOW)).findings
    counted = await count_person(known.pool, ADA)
    erased = await erase_person(known.pool, ADA, "dpo", NOW)
    assert (counted.events, erased.events, erased.rejected) == (3, 3, 0)
    left = await everything(known)
    assert [text for text in (NAME, WORD, TRACE) if text in left] == []
    assert "bob" in left
    again = await known.rate()
    assert (again.anomalies, again.rollups_written) == ((), 0)
    assert await known.rollups() == bills
    assert (await rebuild(known.pool, None, None)).difference_count == 0
    assert (await audit(known.pool, day, NOW)).findings == proven
    assert (await count_person(known.pool, ADA)).events == 0


async def test_an_event_that_is_sent_again_is_the_same_and_brings_nothing_back(ledger: Ledger) -> None:
    sent = of_ada()
    await ledger.store(sent)
    await erase_person(ledger.pool, ADA, "dpo", NOW)
    assert await send(ledger, sent) == [Fate.DUPLICATE]
    assert await send(ledger, sent, make_event()) == [Fate.DUPLICATE, Fate.STORED]
    other = MeteringEvent()
    other.CopyFrom(sent)
    other.completion_tokens = 999
    assert await send(ledger, other) == [Fate.CONFLICT]
    assert NAME not in await everything(ledger)


async def test_what_was_kept_aside_is_erased_once_whatever_comes_again(ledger: Ledger) -> None:
    bad, twin = of_ada(outcome="?"), MeteringEvent()
    twin.CopyFrom(bad)
    twin.client_request_id = f"{WORD}-2"
    assert await send(ledger, bad, twin) == [Fate.REJECTED] * 2
    assert (await count_person(ledger.pool, ADA)).rejected == 2
    erased = await erase_person(ledger.pool, ADA, "dpo", NOW)
    assert erased.rejected == 2
    (kept,) = await list_rejected(ledger.pool, None, 10)
    assert "outcome" in kept.reason
    assert await send(ledger, bad) == [Fate.REJECTED]
    assert len(await list_rejected(ledger.pool, None, 10)) == 1
    assert NAME not in await everything(ledger)


async def test_of_two_events_under_one_id_only_that_of_the_person_is_erased(ledger: Ledger) -> None:
    first = make_event(user_id="bob")
    other = of_ada(request_id=first.request_id)
    assert await send(ledger, first) == [Fate.STORED]
    assert await send(ledger, other) == [Fate.CONFLICT]
    await erase_person(ledger.pool, ADA, "dpo", NOW)
    assert await send(ledger, first, other) == [Fate.DUPLICATE, Fate.CONFLICT]
    left = await everything(ledger)
    assert (NAME in left, "bob" in left) == (False, True)


@pytest.mark.parametrize(
    ("person", "events"),
    [
        (Person(user_id=NAME), 1),
        (Person(auth_id="alice"), 2),
        (Person(client_request_id=f"{WORD}-1"), 1),
        (Person(user_id="nobody"), 0),
    ],
)
async def test_a_person_is_found_by_what_is_named(ledger: Ledger, person: Person, events: int) -> None:
    await ledger.store(of_ada(), make_event(usage_raw="{}"), make_event(auth_id="carol", user_id="c"))
    assert (await count_person(ledger.pool, person)).events == events
    assert (await erase_person(ledger.pool, person, "dpo", NOW)).events == events
    assert "carol" in await everything(ledger)


async def test_pages_are_erased_one_by_one_with_progress_and_it_can_be_done_again(
    known: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "PAGE_EVENTS", 2)
    told: list[tuple[int, int]] = []

    def stop_early(looked: int, found: int) -> None:
        told.append((looked, found))
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await erase_person(known.pool, ADA, "dpo", NOW, stop_early)
    assert (await count_person(known.pool, ADA)).events == 1
    assert (await erase_person(known.pool, ADA, "dpo", NOW, lambda *said: told.append(said))).events == 1
    assert told == [(2, 2), (2, 0), (4, 1)]
    kept = await known.pool.fetch("SELECT * FROM erasure ORDER BY id")
    assert [(one["event_count"], one["finished_at"]) for one in kept] == [(2, None), (1, NOW)]
    assert {(one["chosen_by"], one["erased_by"]) for one in kept} == {("user_id", "dpo")}


@pytest.mark.one_postgres
async def test_the_command_counts_and_erases_only_when_told_to(
    known: Ledger, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["forget", *arguments, "--database-url", database_url])

    assert await run("--user-id", NAME) == 0
    assert capsys.readouterr().out == (
        "would erase the person from 3 stored events and 0 kept aside; nothing was changed; --yes does it\n"
    )
    assert NAME in await everything(known)
    assert await run("--user-id", NAME, "--yes", "--by", "dpo", "--json") == 0
    assert json_documents.read(capsys.readouterr().out) == {
        "done": True,
        "id": 1,
        "events": 3,
        "rejected": 0,
        "archived_events": 0,
        "archived_files": [],
        "exports": [],
    }
    assert NAME not in await everything(known)
    assert await run() == 1
    assert await run("--user-id", "a", "--auth-id", "b") == 1
