"""The requests, made from Python's types. Raises ValueError for a time without a zone.

Rules that the service has (whole hours, at most 31 days, counts up to 2^53) are its own to check: it says
which field breaks which rule.
"""

from datetime import datetime
from typing import TypedDict

from phoebe_client.messages import timestamp
from phoebe_client.results import RateMode
from phoebe_proto.v1 import rating_pb2 as pb

PAGE_SIZE = 1_000
# How long a call may take, in seconds. A quote is made from memory; a run or an audit reads a month.
QUOTE_TIMEOUT_S = 5.0
PAGE_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 3_600.0


class EventFilters(TypedDict, total=False):
    """Which events are wanted: only those with these words. None: all."""

    auth_id: str | None
    user_id: str | None
    group_id: str | None
    resource_id: str | None
    model_id: str | None
    client_request_id: str | None
    trace_id: str | None


def rate_window(
    window_start: datetime, window_end: datetime, mode: RateMode, *, dry_run: bool, reprice: bool
) -> pb.RateWindowRequest:
    """Make the request for a run."""
    return pb.RateWindowRequest(
        window_start=timestamp("window_start", window_start),
        window_end=timestamp("window_end", window_end),
        mode=pb.RateMode.ValueType(mode),
        dry_run=dry_run,
        reprice=reprice,
    )


def resolve_price(  # noqa: PLR0913 - the parts of one question
    model_id: str,
    *,
    base_model: str | None,
    at: datetime | None,
    prompt_tokens: int | None,
    cached_tokens: int | None,
    completion_tokens: int | None,
) -> pb.ResolvePriceRequest:
    """Make the request for a price."""
    return pb.ResolvePriceRequest(
        model_id=model_id,
        base_model=base_model or "",
        at=timestamp("at", at),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=completion_tokens,
    )


def rated_usage(
    window_start: datetime | None, window_end: datetime | None, auth_id: str | None, resource_id: str | None
) -> pb.ListRatedUsageRequest:
    """Make the request for the first page of rated usage."""
    return pb.ListRatedUsageRequest(
        window_start=timestamp("window_start", window_start),
        window_end=timestamp("window_end", window_end),
        auth_id=auth_id or "",
        resource_id=resource_id or "",
        page_size=PAGE_SIZE,
    )


def get_event(request_id: str) -> pb.GetEventRequest:
    """Make the request for one event."""
    return pb.GetEventRequest(request_id=request_id)


def list_events(window_start: datetime, window_end: datetime, filters: EventFilters) -> pb.ListEventsRequest:
    """Make the request for the first page of events. filters: by the names of the request's fields."""
    return pb.ListEventsRequest(
        window_start=timestamp("window_start", window_start),
        window_end=timestamp("window_end", window_end),
        page_size=PAGE_SIZE,
        auth_id=filters.get("auth_id") or "",
        user_id=filters.get("user_id") or "",
        group_id=filters.get("group_id") or "",
        resource_id=filters.get("resource_id") or "",
        model_id=filters.get("model_id") or "",
        client_request_id=filters.get("client_request_id") or "",
        trace_id=filters.get("trace_id") or "",
    )


def list_runs(*, no_dry_runs: bool) -> pb.ListRunsRequest:
    """Make the request for the first page of runs."""
    return pb.ListRunsRequest(page_size=PAGE_SIZE, no_dry_runs=no_dry_runs)


def audit(
    window_start: datetime | None, window_end: datetime | None, producer_id: str | None
) -> pb.AuditRequest:
    """Make the request for a proof."""
    return pb.AuditRequest(
        window_start=timestamp("window_start", window_start),
        window_end=timestamp("window_end", window_end),
        producer_id=producer_id or "",
    )
