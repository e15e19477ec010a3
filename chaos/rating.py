"""Rating meanwhile: RateWindow over all the hours there are, twice at once, again and again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from chaos.plan import CLOCK_BEHIND_MAX_S
from chaos.relay import OPTIONS
from phoebe_proto.v1.rating_pb2 import RATE_MODE_ROUTINE, RateWindowRequest, RateWindowResponse
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from phoebe_runtime.counts import counted

HOUR = timedelta(hours=1)
PAUSE_S = 0.4
RATE_TIMEOUT_S = 60.0
# What a rater or a database that goes away, or takes too long, may look like.
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@dataclass(frozen=True, slots=True)
class DrawnWindow:
    """A half-open span of whole UTC hours."""

    start: datetime
    end: datetime


def whole_window(now: datetime) -> DrawnWindow:
    """The hours in which events of a run can be, up to and with the running one."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return DrawnWindow(hour - timedelta(seconds=CLOCK_BEHIND_MAX_S) - HOUR, hour + HOUR)


async def rate(target: str, window: DrawnWindow, *, dry_run: bool = False) -> RateWindowResponse:
    """Rate a window once. AioRpcError as gRPC raises it."""
    request = RateWindowRequest(
        window_start=_timestamp(window.start),
        window_end=_timestamp(window.end),
        mode=RATE_MODE_ROUTINE,
        dry_run=dry_run,
    )
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        return await RatingServiceStub(channel).RateWindow(request, timeout=RATE_TIMEOUT_S)


class Rating:
    """Rates until cancelled. target: of the rater, which may change.

    runs: how many came through. problems: what they said that can't be, in words.
    """

    def __init__(self) -> None:
        self.target: str | None = None
        self.runs = 0
        self.problems: list[str] = []
        self._events = 0

    async def run(self) -> None:
        """Rate, twice at once, again and again."""
        while True:
            await asyncio.sleep(PAUSE_S)
            if self.target is None:
                continue
            window = whole_window(datetime.now(UTC))
            known = self._events
            answers = await asyncio.gather(
                *(rate(self.target, window) for _ in range(2)), return_exceptions=True
            )
            self._check(answers, known)

    def _check(self, answers: Sequence[RateWindowResponse | BaseException], known: int) -> None:
        for answer in answers:
            if isinstance(answer, grpc.aio.AioRpcError):
                if answer.code() not in _PASSING:
                    self.problems.append(f"RateWindow: {answer.code().name}: {answer.details()}")
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self.runs += 1
                self._events = max(self._events, answer.events_in_window)
                self.problems += unaccounted(answer)
                if answer.events_in_window < known:
                    self.problems.append(
                        f"RateWindow found {counted(answer.events_in_window, 'event')}, and {known} before"
                    )


def unaccounted(run: RateWindowResponse) -> list[str]:
    """What a run counted and its parts do not add up to, in words."""
    parts = (
        run.events_rated
        + run.unpriced_events
        + run.unattributable_events
        + run.ambiguous_base_events
        + run.missing_usage_events
        + run.zero_charge_events
    )
    if parts == run.events_in_window:
        return []
    return [f"RateWindow: {counted(run.events_in_window, 'event')} in the window, but {parts} accounted for"]


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
