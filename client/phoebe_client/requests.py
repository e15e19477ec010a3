"""The requests, made from Python's types. Raises ValueError for a time without a zone.

Rules that the service has (whole hours, at most 31 days, counts up to 2^53) are its own to check: it says
which field breaks which rule.
"""

from datetime import datetime

from phoebe_client.messages import timestamp
from phoebe_client.results import RateMode
from phoebe_proto.v1 import rating_pb2 as pb

PAGE_SIZE = 1_000
# How long a call may take, in seconds. A quote is made from memory; a run or an audit reads a month.
QUOTE_TIMEOUT_S = 5.0
PAGE_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 3_600.0


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


def audit(
    window_start: datetime | None, window_end: datetime | None, producer_id: str | None
) -> pb.AuditRequest:
    """Make the request for a proof."""
    return pb.AuditRequest(
        window_start=timestamp("window_start", window_start),
        window_end=timestamp("window_end", window_end),
        producer_id=producer_id or "",
    )
