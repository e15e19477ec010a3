"""The demo's questions to the running parts, and its check of what they answer."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import grpc
import httpx
from google.protobuf.timestamp_pb2 import Timestamp

from demo.errors import DemoError
from phoebe_proto.v1.rating_pb2 import (
    RATE_MODE_ROUTINE,
    ListRatedUsageRequest,
    RatedUsage,
    RateWindowRequest,
    RateWindowResponse,
    ResolvePriceRequest,
    ResolvePriceResponse,
)
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rig.metrics import parse_metrics, total

ADMITTED = "phoebe_exchanges_admitted_total"
# Events leave the spool within milliseconds; a busy machine may take seconds.
STORED_TIMEOUT_S = 30.0
RPC_TIMEOUT_S = 30.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class QuoteCounts:
    """The tokens that the demo asks a price for; cached ones are part of the prompt."""

    prompt: int = 1000
    cached: int = 400
    completion: int = 500


@dataclass(frozen=True, slots=True)
class Quote:
    """The answer to one question for a price: the price, or why there is none."""

    model_id: str
    base_model: str
    price: ResolvePriceResponse | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """What the proxy counted and what the rater made of it."""

    admitted: int
    run: RateWindowResponse
    rows: Sequence[RatedUsage]

    @property
    def stored(self) -> int:
        """Events in the window, as the rater counted them."""
        return self.run.events_in_window


class Rater:
    """The rater over gRPC, for the hours from the demo's start to now."""

    def __init__(self, address: str, started: datetime) -> None:
        # The rater is on loopback; a proxy from the environment must not get in between.
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._stub = RatingServiceStub(self._channel)
        self._window_start = _timestamp(_hour_of(started))

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def rate(self, *, dry_run: bool) -> RateWindowResponse:
        """Rates the window, which includes the running hour."""
        request = RateWindowRequest(
            window_start=self._window_start,
            window_end=_end_of_this_hour(),
            mode=RATE_MODE_ROUTINE,
            dry_run=dry_run,
        )
        return await self._stub.RateWindow(request, timeout=RPC_TIMEOUT_S)

    async def until_stored(self, admitted: int) -> None:
        """Waits until as many events are stored as exchanges were admitted. DemoError if that stays out."""
        deadline = time.monotonic() + STORED_TIMEOUT_S
        while (stored := (await self.rate(dry_run=True)).events_in_window) != admitted:
            if time.monotonic() > deadline:
                raise DemoError(f"admitted={admitted} but stored={stored} after {STORED_TIMEOUT_S:.0f} s")
            await asyncio.sleep(POLL_S)

    async def rows(self) -> list[RatedUsage]:
        """All rollups of the window, in pages."""
        rows: list[RatedUsage] = []
        request = ListRatedUsageRequest(
            window_start=self._window_start, window_end=_end_of_this_hour(), page_size=5
        )
        while True:
            page = await self._stub.ListRatedUsage(request, timeout=RPC_TIMEOUT_S)
            rows.extend(page.rated_usage)
            if not page.next_page_token:
                return rows
            request.page_token = page.next_page_token

    async def quote(self, model_id: str, base_model: str, counts: QuoteCounts) -> Quote:
        """Asks what `counts` cost now."""
        request = ResolvePriceRequest(
            model_id=model_id,
            base_model=base_model,
            prompt_tokens=counts.prompt,
            cached_tokens=counts.cached,
            completion_tokens=counts.completion,
        )
        try:
            price = await self._stub.ResolvePrice(request, timeout=RPC_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return Quote(model_id, base_model, None, error.details() or "")
        return Quote(model_id, base_model, price)


async def count_admitted(metrics: str) -> int:
    """How many exchanges the addon let through, from its metrics endpoint. DemoError if it can't be read."""
    url = f"http://{metrics}/metrics"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            response = await client.get(url)
            response.raise_for_status()
    except httpx.HTTPError as error:
        raise DemoError(f"the addon's metrics at {url} can't be read: {error}") from error
    return total(parse_metrics(response.text), ADMITTED)


def row_cost(row: RatedUsage) -> Decimal:
    """The cost of a rollup computed anew from its own tokens and rates, USD."""
    return (
        row.billable_prompt_tokens * Decimal(row.applied_prompt_rate)
        + row.cached_tokens * Decimal(row.applied_cached_rate)
        + row.completion_tokens * Decimal(row.applied_completion_rate)
    )


def check(bill: Bill, let_through: int) -> list[str]:
    """What does not add up, in words; empty when all is well.

    `let_through` is how many requests the clients themselves saw admitted.
    """
    run = bill.run
    accounted = (
        run.events_rated
        + run.unpriced_events
        + run.unattributable_events
        + run.ambiguous_base_events
        + run.missing_usage_events
        + run.zero_charge_events
    )
    differing = [
        _unequal("requests let through", let_through, "admitted", bill.admitted),
        _unequal("admitted", bill.admitted, "stored", bill.stored),
        _unequal("stored", bill.stored, "accounted for by the run", accounted),
        _unequal("rated", run.events_rated, "events on the rows", sum(row.event_count for row in bill.rows)),
        _unequal("total_cost", Decimal(run.total_cost), "sum over the rows", _sum(map(row_cost, bill.rows))),
    ]
    wrong_rows = [
        _unequal(f"cost of row {row.id}", Decimal(row.cost), "its tokens times its rates", row_cost(row))
        for row in bill.rows
    ]
    return [problem for problem in differing + wrong_rows if problem is not None]


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _end_of_this_hour() -> Timestamp:
    return _timestamp(_hour_of(datetime.now(UTC)) + timedelta(hours=1))


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _unequal(name: str, value: int | Decimal, other_name: str, other: int | Decimal) -> str | None:
    return None if value == other else f"{name} is {value} but {other_name} is {other}"


def _sum(costs: Iterable[Decimal]) -> Decimal:
    return sum(costs, Decimal(0))
