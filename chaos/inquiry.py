"""The inquiry: what the rater's books say once nothing moves any more, asked in every way there is."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

import grpc
import grpc.aio

from chaos.books import find_differences, read_ledger, store_in_other_order
from chaos.ledger import Ledger
from chaos.plan import Plan
from chaos.rating import HOUR, DrawnWindow, rate, unaccounted, whole_window
from chaos.relay import Relay
from phoebe_proto.v1.rating_pb2 import RateWindowResponse
from phoebe_runtime.counts import counted

# A connection that broke with the last fault may be found out only now.
ATTEMPTS_MAX = 5
PARTS_MAX = 5
_COUNTS = (
    "events_in_window",
    "events_rated",
    "unpriced_events",
    "unattributable_events",
    "ambiguous_base_events",
    "missing_usage_events",
    "zero_charge_events",
)


class Inquiry:
    """Rates and reads. url: of the rater's database; other_url: of an empty one.

    problems: what does not fit, in words.
    """

    def __init__(self, plan: Plan, relay: Relay, url: str, other_url: str) -> None:
        self._plan = plan
        self._relay = relay
        self._url = url
        self._other_url = other_url
        self._now = datetime.now(UTC)
        self._window = whole_window(self._now)
        self.problems: list[str] = [
            f"{request_id} was sent with two contents" for request_id in relay.changed
        ]

    async def read(self) -> Ledger:
        """Ask everything. Returns what is in the books."""
        await asyncio.gather(self._rate(self._window), self._rate(self._window))
        ledger = await read_ledger(self._url)
        await self._rate_again(ledger)
        await self._add_parts_up()
        self.problems += await find_differences(self._url, self._now)
        self.problems += [f"an event was kept aside: {reason}" for reason in ledger.rejected]
        await self._compare_orders(ledger)
        return ledger

    async def _rate_again(self, ledger: Ledger) -> None:
        again = await self._rate(self._window)
        if again.rollups_written or again.reconciled_deletions:
            self.problems.append(
                f"RateWindow again wrote {counted(again.rollups_written, 'rollup')} and deleted "
                f"{again.reconciled_deletions}"
            )
        if await read_ledger(self._url) != ledger:
            self.problems.append("RateWindow again changed the books")

    async def _add_parts_up(self) -> None:
        """Compare the sums over parts of the window with the whole."""
        whole = await self._rate(self._window, dry_run=True)
        parts = [await self._rate(part, dry_run=True) for part in self._parts()]
        for name in _COUNTS:
            total = sum(getattr(part, name) for part in parts)
            if total != getattr(whole, name):
                self.problems.append(f"{name} is {getattr(whole, name)}, and {total} over its parts")
        cost = sum((Decimal(part.total_cost) for part in parts), Decimal(0))
        if cost != Decimal(whole.total_cost):
            self.problems.append(f"total_cost is {whole.total_cost}, and {cost} over its parts")

    def _parts(self) -> list[DrawnWindow]:
        hours = int((self._window.end - self._window.start) / HOUR)
        cuts = Random(self._plan.order_seed).sample(range(1, hours), PARTS_MAX - 1)
        bounds = [self._window.start + timedelta(hours=hour) for hour in (0, *sorted(cuts), hours)]
        return [DrawnWindow(start, end) for start, end in pairwise(bounds)]

    async def _compare_orders(self, ledger: Ledger) -> None:
        """Compare with what the same events come to in another order, some of them twice."""
        stored = {event.request_id for event in ledger.events}
        other = await store_in_other_order(
            self._other_url, self._relay.events.values(), self._plan.order_seed, self._window, self._now
        )
        if {event.request_id for event in other.events} != stored:
            self.problems.append("events that came by the relay are not those that are stored")
        elif set(other.events) != set(ledger.events):
            self.problems.append("events are stored otherwise when they come in another order")
        if other.rollups != ledger.rollups:
            self.problems.append("the bill is another when the events come in another order")

    async def _rate(self, window: DrawnWindow, *, dry_run: bool = False) -> RateWindowResponse:
        for attempt in range(ATTEMPTS_MAX):
            try:
                run = await rate(self._relay.target, window, dry_run=dry_run)
            except grpc.aio.AioRpcError as error:
                if attempt + 1 == ATTEMPTS_MAX or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                self.problems += unaccounted(run)
                return run
        raise AssertionError("the last attempt returns or raises")
