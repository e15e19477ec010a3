"""From the id of a request to its money: the rollup, the price and its line, and what is charged."""

import asyncio
from collections import Counter
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, account_for
from rater_service.cli import main
from rater_service.events.store import store_events
from rater_service.wire_time import to_timestamp
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]


async def account(ledger: Ledger, event: MeteringEvent) -> EventAccount:
    return await account_for(ledger.pool, UUID(event.request_id))


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def test_a_billed_event_leads_to_its_rollup_and_to_the_line_of_the_price_file(ledger: Ledger) -> None:
    mine, other = make_event(), make_event(prompt_tokens=10, cached_tokens=30)
    await ledger.store(mine, other)
    run = await ledger.rate()
    told = await account(ledger, mine)
    assert (told.standing, told.reason, told.amount) == (Standing.BILLED, None, Decimal("0.000023000"))
    assert told.rollup is not None
    assert (told.rollup.run.id, told.rollup.now.event_count) == (run.run_id, 2)
    assert told.price is not None
    (line,) = told.price.lines
    assert PRICES.decode().split("\n")[line.number - 1].strip() == line.text
    assert line.text.startswith('"meta/base-a": { prompt: "0.000000200"')
    amounts = [told.amount, (await account(ledger, other)).amount]
    assert sum(amount for amount in amounts if amount) == told.rollup.now.cost


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"model_id": "ft:own"}, ['"ft:own": {']),
        ({"model_id": "ft:declared"}, ['"meta/base-a": {', "fine_tune_premium: {", '"ft:declared": {']),
        ({"model_id": "ft:x", "base_model": "meta/base-b"}, ['"meta/base-b": {', "fine_tune_premium: {"]),
    ],
)
async def test_the_price_of_a_fine_tune_stands_on_its_line_that_of_its_base_and_that_of_the_premium(
    ledger: Ledger, fields: dict[str, object], lines: list[str]
) -> None:
    event = make_event(**fields)
    await ledger.store(event)
    await ledger.rate()
    price = (await account(ledger, event)).price
    assert price is not None
    assert len(price.lines) == len(lines)
    assert all(line.text.startswith(start) for line, start in zip(price.lines, lines, strict=True))


async def test_what_no_run_has_seen_is_estimated(ledger: Ledger) -> None:
    early, late = make_event(), make_event()
    # What is not rated of other hours is nothing to it.
    await ledger.store(early, make_event(HOUR - ONE_HOUR), make_event(HOUR + ONE_HOUR))
    assert (await account(ledger, early)).standing is Standing.NOT_RATED
    await ledger.rate()
    await store_events(ledger.pool, [late], HOUR + ONE_HOUR)
    assert (await account(ledger, early)).standing is Standing.BILLED
    told = await account(ledger, late)
    assert (told.standing, told.reason, told.amount) == (
        Standing.NOT_RATED,
        "LATE_USAGE",
        Decimal("0.000023000"),
    )
    assert told.advice == "phoebe rate --since 2026-11-20T10:00:00Z --until 2026-11-20T11:00:00Z"
    await ledger.rate()
    assert (await account(ledger, late)).standing is Standing.BILLED


async def test_an_estimate_of_a_rollup_with_frozen_rates_is_made_at_these(ledger: Ledger) -> None:
    early, late = make_event(), make_event()
    await ledger.store(early)
    await ledger.rate()
    dearer = PRICES.replace(b'prompt: "0.000000200"', b'prompt: "0.000000900"')
    await ledger.load(dearer + b'effective_from: "2026-11-20T00:00:00Z"\n', HOUR)
    await store_events(ledger.pool, [late], HOUR + ONE_HOUR)
    estimate = (await account(ledger, late)).amount
    await ledger.rate()
    assert (await account(ledger, late)).amount == estimate == Decimal("0.000023000")


async def test_an_id_that_nobody_stored_is_said_to_be_none(ledger: Ledger, rater: Rater) -> None:
    with pytest.raises(NoSuchEventError, match="never stored, was pruned, or waits in the spool"):
        await account_for(ledger.pool, UUID(int=7))
    asked = rater.rating.GetEvent(pb.GetEventRequest(request_id=str(UUID(int=7))))
    assert (await failure(asked))[1] == "NO_SUCH_EVENT"
    for wrong in ("", "7", "{00000000-0000-0000-0000-000000000007}"):
        refused = await failure(rater.rating.GetEvent(pb.GetEventRequest(request_id=wrong)))
        assert refused[1:] == ("INVALID_REQUEST", "request_id")


KINDS = st.fixed_dictionaries(
    {
        "auth_id": st.sampled_from(["a", "b", None]),
        "model_id": st.sampled_from(["meta/base-a", "ft:x", "ft:declared", "ft:own", "nobody/knows", None]),
        "base_model": st.sampled_from(["meta/base-a", "meta/base-b", "nobody/knows", None]),
        "usage_found": st.booleans(),
        "model_untrusted": st.booleans(),
        "outcome": st.sampled_from(["completed", "aborted"]),
    }
)
COUNTED = {
    "UNPRICED": "unpriced_events",
    "UNATTRIBUTABLE": "unattributable_events",
    "MODEL_UNTRUSTED": "unattributable_events",
    "AMBIGUOUS_BASE": "ambiguous_base_events",
    "MISSING_USAGE": "missing_usage_events",
    None: "zero_charge_events",
}


def test_what_is_said_of_each_event_is_what_a_run_counted_and_amounts_make_the_bill(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    async def check(kinds: list[dict[str, object]]) -> None:
        await oracle_ledger.forget()
        events = [make_event(**kind) for kind in kinds]
        await oracle_ledger.store(*events)
        run = await oracle_ledger.rate()
        told = [await account(oracle_ledger, event) for event in events]
        billed = [one for one in told if one.standing is Standing.BILLED]
        assert len(billed) == run.events_rated
        assert sum(one.amount for one in billed if one.amount) == run.total_cost
        rest = Counter(COUNTED[one.reason] for one in told if one.standing is not Standing.BILLED)
        assert all(getattr(run, name) == rest[name] for name in COUNTED.values())

    @settings(max_examples=25)
    @given(st.lists(KINDS, min_size=1, max_size=8))
    def holds(kinds: list[dict[str, object]]) -> None:
        oracle_runner.run(check(kinds))

    holds()


async def test_the_command_tells_the_way_from_a_request_to_its_money(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    mine, lost = make_event(user_id="ann"), make_event(model_id="nobody/knows\x1b[31m")
    await ledger.store(mine, lost)
    await ledger.rate()
    assert await phoebe(database_url, "event", mine.request_id) == 0
    said = capsys.readouterr().out
    assert f"event {mine.request_id}: billed, 0.000023000 USD" in said
    assert 'line 4: "meta/base-a": { prompt: "0.000000200"' in said
    assert "next: phoebe explain 1 --events" in said
    assert await phoebe(database_url, "event", mine.request_id, "--json") == 0
    found = json_documents.read(capsys.readouterr().out)
    assert (found["standing"], found["amount"], found["event"]["user_id"]) == (
        "BILLED",
        "0.000023000",
        "ann",
    )
    assert await phoebe(database_url, "event", lost.request_id) == 2
    said = capsys.readouterr().out
    assert "not billed: usage without a price (UNPRICED)" in said
    assert "\x1b" not in said


async def test_the_rpc_says_the_same(ledger: Ledger, rater: Rater) -> None:
    event = make_event(cached_tokens=0, reasoning_tokens=None)
    await ledger.store(event)
    run = await ledger.rate()
    told = await rater.rating.GetEvent(pb.GetEventRequest(request_id=event.request_id))
    assert told.event.event == event
    assert told.event.event.HasField("cached_tokens")
    assert not told.event.event.HasField("reasoning_tokens")
    assert (told.standing, told.amount, told.rollup_cost, told.run) == (
        pb.EVENT_STANDING_BILLED,
        "0.000026000",
        "0.000026000",
        run.run_id,
    )
    assert next((one.kind, one.tokens, one.rate) for one in told.charges) == ("prompt", 100, "0.000000200")
    assert [line.line for line in told.price.lines] == [4]


async def test_events_are_listed_page_by_page_and_none_is_skipped(ledger: Ledger, rater: Rater) -> None:
    events = [make_event(HOUR, user_id="ann") for _ in range(5)] + [make_event(user_id="ben")]
    await ledger.store(*events)
    window = {"window_start": to_timestamp(HOUR), "window_end": to_timestamp(HOUR + ONE_HOUR)}
    token, listed = "", []
    while True:
        request = pb.ListEventsRequest(**window, user_id="ann", page_size=2, page_token=token)  # type: ignore[arg-type] # as the test says
        page = await rater.rating.ListEvents(request)
        listed += [one.event.request_id for one in page.events]
        if not (token := page.next_page_token):
            break
    assert listed == [event.request_id for event in events[:5]]
    first = await rater.rating.ListEvents(pb.ListEventsRequest(**window, page_size=2))  # type: ignore[arg-type]
    other = pb.ListEventsRequest(**window, user_id="ben", page_token=first.next_page_token)  # type: ignore[arg-type]
    assert (await failure(rater.rating.ListEvents(other)))[1:] == ("INVALID_PAGE_TOKEN", "page_token")


async def test_a_trace_leads_to_its_events_and_to_no_others(
    ledger: Ledger, rater: Rater, database_url: str, capsys: Capture
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    mine = [make_event(HOUR + day * 24 * ONE_HOUR, trace_id=trace) for day in range(3)]
    await ledger.store(*mine, make_event(trace_id=trace[::-1]), make_event())
    window = {"window_start": to_timestamp(HOUR), "window_end": to_timestamp(HOUR + ONE_HOUR)}
    page = await rater.rating.ListEvents(pb.ListEventsRequest(**window, trace_id=trace))  # type: ignore[arg-type] # as the test says
    assert [one.event.request_id for one in page.events] == [mine[0].request_id]

    async def listed(*arguments: str) -> tuple[list[str], bool]:
        days = ("2026-11-20T00:00Z/2026-11-24T00:00Z", "--trace", trace.upper())
        assert await phoebe(database_url, "events", *days, *arguments, "--json") == 0
        told = json_documents.read(capsys.readouterr().out)
        return [one["request_id"] for one in told["events"]], told["has_more"]

    ids = [event.request_id for event in mine]
    assert await listed() == (ids, False)
    assert await listed("--limit", "2") == (ids[:2], True)
    assert await listed("--limit", "2", "--after", ids[1]) == (ids[2:], False)
    assert await phoebe(database_url, "events", "--trace", "0" * 32) == 1
    assert "32 hexadecimal digits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.ListEventsRequest(), "INVALID_WINDOW", "window_start"),
        (
            pb.ListEventsRequest(window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR)),
            "INVALID_WINDOW",
            "window_end",
        ),
        (
            pb.ListEventsRequest(
                window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + 25 * ONE_HOUR)
            ),
            "INVALID_WINDOW",
            "window_end",
        ),
        (pb.ListEventsRequest(page_size=1001), "INVALID_REQUEST", "page_size"),
        (
            pb.ListEventsRequest(
                window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR), trace_id="4BF9"
            ),
            "INVALID_REQUEST",
            "trace_id",
        ),
        (
            pb.ListEventsRequest(
                window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR), user_id="a" * 300
            ),
            "INVALID_REQUEST",
            "user_id",
        ),
    ],
)
async def test_a_listing_that_cannot_be_is_refused(
    rater: Rater, request_: pb.ListEventsRequest, reason: str, field: str
) -> None:
    assert (await failure(rater.rating.ListEvents(request_)))[1:] == (reason, field)
