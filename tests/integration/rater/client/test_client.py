"""Both clients against the real service: typed answers, errors as exceptions, pages, retries, credentials."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phoebe_client import (
    AsyncClient,
    Client,
    EventStanding,
    InvalidRequestError,
    NoPriceBookError,
    NoPriceError,
    NoSuchEventError,
    NotAllowedError,
    PriceSource,
    RateMode,
    Run,
    UnavailableError,
)
from phoebe_client import requests as client_requests
from rater_service.service.access_list import Right
from rater_service.service.server import running_server
from tests.harness.certificates import Authority, replace
from tests.harness.guarded_rater import TokensFile, guarded_rater, write_certificates
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres

type Call = Callable[..., Any]
type Kind = type[Client | AsyncClient]


@pytest.fixture(params=[Client, AsyncClient])
async def client(request: pytest.FixtureRequest, rater: Rater) -> AsyncIterator[Call]:
    """Call a method of a client by its name; what it yields comes as a list."""
    async with calling(request.param, f"127.0.0.1:{rater.port}") as call:
        yield call


class calling:  # noqa: N801 - a context manager
    """The blocking client and the other one, called alike."""

    def __init__(self, kind: Kind, address: str, **options: Any) -> None:
        self.client = kind(address, **options)

    async def __aenter__(self) -> Call:
        return self.call

    async def __aexit__(self, *_: object) -> None:
        if isinstance(self.client, AsyncClient):
            await self.client.close()
        else:
            self.client.close()

    async def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        method = getattr(self.client, name)
        many = name in {"rated_usage", "list_events", "list_runs"}
        if isinstance(self.client, Client):
            if many:
                return await asyncio.to_thread(lambda: list(method(*arguments, **named)))
            return await asyncio.to_thread(method, *arguments, **named)
        if many:
            return [row async for row in method(*arguments, **named)]
        return await method(*arguments, **named)


async def test_a_window_is_rated_read_and_proven(client: Call, ledger: Ledger) -> None:
    await ledger.store(make_event(producer_seq=1), make_event(producer_seq=2, auth_id=None))
    run: Run = await client("rate_window", HOUR, HOUR + ONE_HOUR)
    assert (run.events_in_window, run.events_rated, run.total_cost) == (2, 1, Decimal("0.000023000"))
    assert (run.window_start, run.anomalies[0].reason) == (HOUR, "UNATTRIBUTABLE")
    assert run.anomalies[0].offenders[0].auth_id is None
    assert run.change is not None
    assert run.change.difference == Decimal("0.000023000")
    (rollup,) = await client("rated_usage", HOUR, HOUR + ONE_HOUR, auth_id="alice")
    assert (rollup.cost, rollup.run, rollup.window_start) == (Decimal("0.000023000"), run.run_id, HOUR)
    audit = await client("audit", HOUR, HOUR + ONE_HOUR)
    assert audit.differences == ()
    assert (audit.proven, audit.rollups, audit.total_cost) == (True, 1, Decimal("0.000023000"))


async def test_a_dry_run_changes_nothing(client: Call, ledger: Ledger) -> None:
    await ledger.store(make_event())
    run: Run = await client("rate_window", HOUR, HOUR + ONE_HOUR, dry_run=True)
    assert run.rollups_written == 1
    assert await client("rated_usage") == []


@pytest.mark.usefixtures("ledger")
async def test_a_price_and_a_cost_are_quoted(client: Call) -> None:
    price = await client("resolve_price", "meta/base-a", at=HOUR)
    assert (price.source, price.cost, price.premium) == (PriceSource.BASE_MODEL, None, None)
    price = await client("resolve_price", "meta/base-a", at=HOUR, prompt_tokens=10, cached_tokens=10)
    assert price.cost == 10 * price.cached_rate


async def test_rollups_come_over_several_pages(
    client: Call, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"customer-{number}" for number in range(5)]
    await ledger.store(*(make_event(auth_id=name) for name in names))
    await client("rate_window", HOUR, HOUR + ONE_HOUR)
    monkeypatch.setattr(client_requests, "PAGE_SIZE", 2)
    assert [rollup.auth_id for rollup in await client("rated_usage")] == names


async def test_a_request_leads_to_its_money(client: Call, ledger: Ledger) -> None:
    event, free = make_event(user_id="u-1"), make_event(usage_found=False, outcome="aborted")
    await ledger.store(event, free)
    run = await client("rate_window", HOUR, HOUR + ONE_HOUR)
    bill = await client("get_event", event.request_id)
    assert (bill.standing, bill.amount, bill.run) == (EventStanding.BILLED, run.total_cost, run.run_id)
    assert sum(charge.amount for charge in bill.charges) == bill.amount
    assert (bill.event.event.user_id, bill.event.event.reasoning_tokens) == ("u-1", None)
    assert (await client("get_event", free.request_id)).standing is EventStanding.FREE
    with pytest.raises(NoSuchEventError):
        await client("get_event", "00000000-0000-7000-8000-000000000000")


async def test_events_and_runs_come_over_several_pages(
    client: Call, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_requests, "PAGE_SIZE", 2)
    events = [make_event(user_id="u-1") for _ in range(5)]
    await ledger.store(*events, make_event(user_id="u-2"))
    found = await client("list_events", HOUR, HOUR + ONE_HOUR, user_id="u-1", group_id=None)
    assert [row.event.request_id for row in found] == [event.request_id for event in events]
    for dry_run in (False, True, False, False):
        await client("rate_window", HOUR, HOUR + ONE_HOUR, dry_run=dry_run)
    runs = await client("list_runs", no_dry_runs=True)
    assert [(row.answer.run_id, row.mode) for row in runs] == [
        (number, RateMode.ROUTINE) for number in (4, 3, 1)
    ]


@pytest.mark.usefixtures("ledger")
async def test_what_the_service_refuses_says_which_field_and_why(client: Call) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        await client("rate_window", HOUR, HOUR)
    assert refused.value.reason == "INVALID_WINDOW"
    with pytest.raises(InvalidRequestError) as refused:
        await client("resolve_price", "m", prompt_tokens=-1)
    assert (refused.value.reason, refused.value.field) == ("INVALID_REQUEST", "prompt_tokens")
    with pytest.raises(NoPriceError) as unpriced:
        await client("resolve_price", "nobody/knows-it")
    assert unpriced.value.reason == "NO_PRICE"
    with pytest.raises(ValueError, match="no time zone"):
        await client("rate_window", datetime(2026, 11, 29), HOUR)  # noqa: DTZ001 - what is refused


async def test_without_prices_it_says_so(client: Call) -> None:
    with pytest.raises(NoPriceBookError):
        await client("resolve_price", "meta/base-a", at=datetime(2026, 11, 29, tzinfo=UTC))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_a_service_that_comes_back_is_waited_for(kind: Kind, ledger: Ledger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with calling(kind, f"127.0.0.1:{port}") as call:
        waiting = asyncio.create_task(call("resolve_price", "meta/base-a", at=HOUR))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        async with running_server(ledger.pool, f"127.0.0.1:{port}", asyncio.Event()):
            assert (await waiting).prompt_rate > 0


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_a_service_that_stays_away_is_said(kind: Kind) -> None:
    async with calling(kind, "127.0.0.1:1") as call:
        with pytest.raises(UnavailableError) as away:
            await call("resolve_price", "meta/base-a", timeout_s=0.5)
    assert away.value.reason == ""


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_callers_are_known_by_token_over_tls(kind: Kind, ledger: Ledger, tmp_path: Path) -> None:
    authority, tokens = Authority(), TokensFile(tmp_path / "tokens")
    token = tokens.let_in(Right.READ)
    ca = tmp_path / "ca.pem"
    replace(ca, authority.pem)
    files = dataclasses.replace(
        write_certificates(tmp_path, authority.issue_for_loopback(), None), tokens=tokens.path
    )
    async with guarded_rater(ledger.pool, files) as rater:
        async with calling(kind, f"127.0.0.1:{rater.port}", token=token, ca=ca) as call:
            assert (await call("resolve_price", "meta/base-a", at=HOUR)).prompt_rate > 0
            with pytest.raises(NotAllowedError) as denied:
                await call("rate_window", HOUR, HOUR + ONE_HOUR)
            assert denied.value.reason == "RIGHT_MISSING"
        async with calling(kind, f"127.0.0.1:{rater.port}", ca=ca) as call:
            with pytest.raises(NotAllowedError) as unknown:
                await call("resolve_price", "meta/base-a", at=HOUR)
            assert unknown.value.reason == "TOKEN_MISSING"
