"""Whether metering was on: every answer that came through Phoebe is one event, stored and rated."""

import asyncio
import time

import httpx

from bench.errors import BenchError
from demo.bill import Rater
from rig.metrics import Metrics, parse_metrics, total

# An event leaves the spool some milliseconds after it is stored; a busy machine may take seconds.
SPOOL_TIMEOUT_S = 30.0
POLL_S = 0.1

_ADMITTED = "phoebe_exchanges_admitted_total"
_ENDED = "phoebe_exchanges_ended_total"
_DELIVERED = "phoebe_events_delivered_total"
_WAITING = "phoebe_spool_events"


class Account:
    """What a rater must have got from all of a run's proxies: so many events, with so many tokens."""

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self.events = 0
        self.completion_tokens = 0

    async def until_stored(self) -> None:
        """Waits until the rater has stored as many events as there should be. DemoError if it does not."""
        await self._rater.until_stored(self.events)

    async def rate(self) -> list[str]:
        """Rates the events; gives what does not add up, in words."""
        run = await self._rater.rate(dry_run=False)
        rows = await self._rater.rows()
        counted = {
            "stored": (run.events_in_window, self.events),
            "rated": (run.events_rated, self.events),
            "on the bill": (sum(row.event_count for row in rows), self.events),
            "completion tokens on the bill": (
                sum(row.completion_tokens for row in rows),
                self.completion_tokens,
            ),
        }
        return unequal(counted)


def check_metrics(metrics: Metrics, answers: int) -> list[str]:
    """What in one proxy's metrics does not fit the number of answers its clients got, in words."""
    return unequal(
        {
            "admitted": (total(metrics, _ADMITTED), answers),
            "ended": (total(metrics, _ENDED), answers),
            "completed": (metrics[_ENDED, "completed"], answers),
            "delivered and stored": (metrics[_DELIVERED, "stored"], answers),
            "delivered": (total(metrics, _DELIVERED), answers),
            "left in the spool": (metrics[_WAITING, ""], 0),
        }
    )


def unequal(counted: dict[str, tuple[int, int]]) -> list[str]:
    """Names what was counted and is not what it should be."""
    return [
        f"{name}: {is_value}, should be {should_be}"
        for name, (is_value, should_be) in counted.items()
        if is_value != should_be
    ]


async def read_metrics_when_spool_is_empty(port: int) -> Metrics:
    """Reads a proxy's metrics; as long as events wait in its spool, again, up to SPOOL_TIMEOUT_S.

    BenchError if they can't be read.
    """
    deadline = time.monotonic() + SPOOL_TIMEOUT_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                response = await client.get(f"http://127.0.0.1:{port}/metrics")
                response.raise_for_status()
            except httpx.HTTPError as error:
                raise BenchError(f"the addon's metrics can't be read: {error}") from error
            metrics = parse_metrics(response.text)
            if not metrics[_WAITING, ""] or time.monotonic() > deadline:
                return metrics
            await asyncio.sleep(POLL_S)
