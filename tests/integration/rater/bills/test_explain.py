"""One row of a bill, explained: what it is made of, where its rates come from, and what is wrong with it."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import asyncpg
import pytest

from rater_service.bills.explain import NoSuchRollupError, explain_rollup, list_events
from rater_service.bills.explanation import Explanation
from rater_service.cli import main
from rater_service.money import Rates
from rater_service.rollup import RollupKey
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.sums import moved

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]

KEY = RollupKey(HOUR, "alice", "deployment-1", "meta/base-a")
DEARER = PRICES.replace(b'prompt: "0.000000200"', b'prompt: "0.000000900"')


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def only(ledger: Ledger) -> Explanation:
    (row,) = await ledger.rollups()
    return await explain_rollup(ledger.pool, row["id"])


def rates(prompt: str, cached: str, completion: str) -> Rates:
    return Rates(Decimal(prompt), Decimal(cached), Decimal(completion))


async def test_the_arithmetic_of_a_rollup_makes_its_cost(ledger: Ledger) -> None:
    # The second event has more cached tokens than prompt: 10 are billed, and the first keeps its prompt.
    await ledger.store(make_event(), make_event(prompt_tokens=10, cached_tokens=30))
    run = await ledger.rate(by="atlas")
    told = await only(ledger)
    assert told.now is not None
    assert [(charge.kind, charge.tokens, charge.amount) for charge in told.now.charges()] == [
        ("prompt", 80, Decimal("0.000016000")),
        ("cached", 30, Decimal("0.000001500")),
        ("completion", 20, Decimal("0.000012000")),
    ]
    assert told.now.explained_cost() == told.now.cost == Decimal("0.000029500")
    assert told.key == KEY
    assert told.run is not None
    assert (told.run.id, told.run.requested_by) == (run.run_id, "atlas")
    assert (told.events.events, told.events.billable_prompt_tokens) == (2, 80)
    assert told.disagreements == ()


@pytest.mark.parametrize(
    ("fields", "source", "derived_from", "exact", "billed"),
    [
        (
            {"model_id": "tiny/half"},
            "BASE_MODEL",
            None,
            ("0.0000000005", "0", "0"),
            ("0.000000001", "0", "0"),
        ),
        (
            {"model_id": "ft:own", "base_model": "tiny/nano"},
            "OWN_RATE",
            None,
            ("0.000000300",) * 3,
            ("0.000000300",) * 3,
        ),
        (
            {"model_id": "ft:x", "base_model": "tiny/nano"},
            "DERIVED",
            "tiny/nano",
            ("0.0000000015", "0", "0"),
            ("0.000000002", "0", "0"),
        ),
        (
            {"model_id": "ft:declared"},
            "DERIVED",
            "meta/base-a",
            ("0.0000003", "0.000000075", "0.0000009"),
            ("0.0000003", "0.000000075", "0.0000009"),
        ),
    ],
)
async def test_rates_are_traced_to_what_the_price_file_says(
    ledger: Ledger,
    *,
    fields: dict[str, object],
    source: str,
    derived_from: str | None,
    exact: tuple[str, str, str],
    billed: tuple[str, str, str],
) -> None:
    await ledger.store(make_event(**fields))
    await ledger.rate()
    told = await only(ledger)
    assert told.origin is not None
    price = told.origin.price
    assert price is not None
    assert (price.source, price.derived_from) == (source, derived_from)
    assert (price.exact, price.billed) == (rates(*exact), rates(*billed))
    assert (told.origin.loading.source, told.origin.loading.in_force_from, told.origin.is_frozen) == (
        "prices.yaml",
        None,
        False,
    )
    assert told.disagreements == ()


async def test_a_rollup_at_rates_that_are_no_longer_in_force_is_called_frozen_until_it_is_repriced(
    ledger: Ledger,
) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.load(DEARER + b'effective_from: "2026-11-20T00:00:00Z"\n', HOUR)
    await ledger.rate()
    told = await only(ledger)
    assert told.origin is not None
    assert told.origin.is_frozen
    assert told.origin.current is not None
    assert told.origin.current.price.billed.prompt == Decimal("0.000000900")
    assert told.origin.in_force_until == HOUR - 10 * ONE_HOUR
    assert told.disagreements == ()

    await ledger.rate(reprice=True)
    repriced = await only(ledger)
    assert repriced.origin is not None
    assert not repriced.origin.is_frozen
    assert [change.new and change.new.applied_prompt_rate for change in repriced.changes] == [
        Decimal("0.000000200"),
        Decimal("0.000000900"),
    ]


async def test_all_a_rollup_ever_was_can_be_seen_also_when_it_is_gone(ledger: Ledger) -> None:
    await ledger.store(make_event())
    first = await ledger.rate()
    await ledger.store(make_event())
    second = await ledger.rate()
    (row,) = await ledger.rollups()
    await ledger.force("DELETE FROM stored_event; DELETE FROM hourly_usage")
    third = await ledger.rate()

    with pytest.raises(NoSuchRollupError, match="name its key"):
        await explain_rollup(ledger.pool, row["id"])
    told = await explain_rollup(ledger.pool, KEY)
    assert (told.id, told.now, told.run, told.origin) == (row["id"], None, None, None)
    history = [
        (change.run.id, change.old and change.old.event_count, change.new and change.new.event_count)
        for change in told.changes
    ]
    assert history == [(first.run_id, None, 1), (second.run_id, 1, 2), (third.run_id, 2, None)]
    assert told.disagreements == ()


async def test_events_that_came_after_the_last_run_are_no_disagreement(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate(now=HOUR)
    await ledger.store(make_event(), make_event(usage_found=False), make_event(model_untrusted=True))
    told = await only(ledger)
    assert told.events.came_late
    assert (told.events.events, told.events.without_usage, told.events.untrusted) == (2, 1, 1)
    assert told.disagreements == ()


async def _change_row(ledger: Ledger) -> None:
    await ledger.pool.execute(
        "UPDATE rated_usage"
        " SET completion_tokens = 0, cost = cost - completion_tokens * applied_completion_rate"
    )


async def _lose_events(ledger: Ledger) -> None:
    await ledger.correct("DELETE FROM stored_event")


async def _add_events_in_the_past(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.correct(f"UPDATE stored_event SET {moved('stored_at', '-30 days')}")


async def _forge_rates(ledger: Ledger) -> None:
    await ledger.pool.execute("UPDATE rated_usage SET applied_prompt_rate = 0, cost = cost - 0.000016")


async def _forge_run(ledger: Ledger) -> None:
    await ledger.rate()
    await ledger.pool.execute("UPDATE rated_usage SET run = (SELECT max(id) FROM rating_run)")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_change_row, ["left something else: it was changed since", "it sums 1 event,"]),
        (_lose_events, ["its events make 0 events"]),
        (_add_events_in_the_past, ["its events make 2 events"]),
        (_forge_rates, ["left something else", "its rates are not those of its price book"]),
        (_forge_run, ["it names run 2, and run 1 wrote it"]),
    ],
)
async def test_what_does_not_agree_is_named(
    ledger: Ledger, harm: Callable[[Ledger], Awaitable[None]], said: list[str]
) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await harm(ledger)
    found = (await only(ledger)).disagreements
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))


async def test_the_events_behind_a_rollup_come_page_by_page(ledger: Ledger) -> None:
    await ledger.store(
        *(make_event() for _ in range(5)), make_event(HOUR + ONE_HOUR), make_event(auth_id="b")
    )
    await ledger.rate()
    seen: list[asyncpg.Record] = []
    page = await list_events(ledger.pool, KEY, None, 2)
    seen += page.events
    while page.has_more:
        page = await list_events(ledger.pool, KEY, page.events[-1]["request_id"], 2)
        seen += page.events
    ids = [event["request_id"] for event in seen]
    assert len(ids) == 5
    assert ids == sorted(set(ids))


async def test_a_rollup_whose_events_were_pruned_is_compared_with_their_sums(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(), make_event(usage_found=False))
    await ledger.rate()
    await ledger.force(
        "DELETE FROM stored_event;"
        " INSERT INTO pruned_event_range (partition_name, event_count, prompt_tokens, cached_tokens,"
        " completion_tokens, first_event_time, last_event_time, window_start, window_end, accepted,"
        " pruned_by, pruned_at) VALUES ('billing_event_2026w47', 2, 100, 20, 10,"
        " '2026-11-20T10:00Z', '2026-11-20T10:00Z', '2026-11-20T10:00Z', '2026-11-20T11:00Z', '{}',"
        " 'jane', '2026-11-21T00:00Z')"
    )
    told = await only(ledger)
    assert (told.events.events, told.events.prompt_tokens, told.events.without_usage) == (1, 100, 1)
    assert told.disagreements == ()
    assert await phoebe(database_url, "explain", str(told.id), "--events") == 0
    assert "its events (by their sums: dropped at 2026-11-21T00:00:00Z): 1 with" in capsys.readouterr().out
    await ledger.force("UPDATE hourly_usage SET prompt_tokens = 99, billable_prompt_tokens = 79")
    assert len((await only(ledger)).disagreements) == 1


async def test_a_part_is_listed_with_the_exchange_it_is_a_part_of(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    own = make_event(model_id="meta/base-b", part_count=1)
    await ledger.store(own, make_event(part_of=own.request_id), make_event(prompt_tokens=None))
    await ledger.rate()
    row = next(each for each in await ledger.rollups() if each["model_id"] == "meta/base-a")
    assert row["event_count"] == 2
    assert await phoebe(database_url, "explain", str(row["id"]), "--events", "--json") == 0
    listed = json_documents.read(capsys.readouterr().out)["events"]
    assert [event["part_of"] for event in listed] == [own.request_id, None]
    assert await phoebe(database_url, "explain", str(row["id"]), "--events") == 0
    written = capsys.readouterr().out
    assert "part of" in written
    assert "without a count" in written


async def test_the_command_explains_a_rollup_to_a_person(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(model_id="ft:x", base_model="meta/base-a"))
    await ledger.rate(by="atlas")
    (row,) = await ledger.rollups()
    assert await phoebe(database_url, "explain", str(row["id"]), "--events") == 0
    written = capsys.readouterr()
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in written.out.splitlines()
        if line.startswith("│")
    ]
    assert cells[:4] == [
        ["prompt", "80", "0.000000300", "0.000024000"],
        ["cached", "20", "0.000000075", "0.000001500"],
        ["completion", "10", "0.000000900", "0.000009000"],
        ["cost", "", "", "0.000034500"],
    ]
    assert cells[5] == ["cached", "0.000000050", "0.0000000750", "0.000000075"]
    for part in (
        "derived from meta/base-a by the premium multiplier 1.5",
        f"price book: {row['price_book']} (prices.yaml, loaded 2026-11-19T10:00:00Z), in force from the "
        "beginning until further notice",
        f"run {row['run']} (ROUTINE, asked for by atlas), finished 20",
        "its events: 1 with 100 prompt, 20 cached, 10 completion, 80 billable prompt tokens",
        "it agrees with its rates, its ledger and its events",
        "00000000-0000-0000-0000-",
    ):
        assert part in written.out
    assert written.err == ""


async def test_the_command_exits_with_2_where_a_rollup_does_not_agree(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await _change_row(ledger)
    key = (
        "--auth",
        "alice",
        "--resource",
        "deployment-1",
        "--model",
        "meta/base-a",
        "--hour",
        "2026-11-20T10:00",
    )
    assert await phoebe(database_url, "explain", *key, "--json") == 2
    written = capsys.readouterr()
    found = json_documents.read(written.out)
    assert found["agrees"] is False
    assert len(found["disagreements"]) == 2
    assert found["charges"][0] == {
        "kind": "prompt",
        "tokens": 80,
        "rate": "0.000000200",
        "amount": "0.000016000",
    }
    assert "DOES NOT AGREE: run 1 left something else" in written.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["999"], "there is no rollup 999. If it was deleted, name its key"),
        (
            ["--auth", "a", "--resource", "r", "--model", "m", "--hour", "2026-11-20T10:00Z"],
            "a was never billed for m on r in this hour",
        ),
        (["--auth", "a"], "give ROLLUP, or all of"),
        ([], "give ROLLUP, or all of"),
        (["0"], "greater than or equal to 1"),
        (["--auth", "a", "--resource", "r", "--model", "m", "--hour", "2026-11-20T10:30Z"], "whole UTC hour"),
    ],
)
async def test_what_there_is_not_cannot_be_explained(
    database_url: str, capsys: Capture, arguments: list[str], said: str
) -> None:
    assert await phoebe(database_url, "explain", *arguments) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert said in " ".join(written.err.replace("│", " ").split())
