"""The gRPC service that rates windows, quotes prices and lists rated usage."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceServicer
from rater_service.audit.audit import audit
from rater_service.bills.rated_usage import InvalidPageToken, RatedUsageFilter, list_rated_usage
from rater_service.database.database import Pool
from rater_service.errors import NoPriceBookError
from rater_service.events.validation import TEXT_LENGTH_MAX
from rater_service.hours import InvalidWindow
from rater_service.money import TOKENS_MAX, TokenCounts, cost, decimal_text
from rater_service.prices.history import Quote
from rater_service.prices.resolution import NoPrice
from rater_service.prices.shared_history import SharedHistory
from rater_service.service.audit_response import audit_request, audit_response
from rater_service.service.call_guard import caller_name
from rater_service.service.rating_queue import RatingQueue
from rater_service.service.rating_response import rate_request, rate_response
from rater_service.service.rpc_errors import RpcError, answering_errors, invalid
from rater_service.wire_time import to_datetime, to_timestamp

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000


class RatingService(RatingServiceServicer):
    """Answers with what the modules behind it compute. Its only state is a lock: one audit at a time."""

    def __init__(self, pool: Pool, runs: RatingQueue) -> None:
        self._pool = pool
        self._runs = runs
        self._prices = SharedHistory(pool)
        # An audit reads everything; several at once would only take longer, and keep others from the disk.
        self._one_audit = asyncio.Lock()

    @answering_errors
    async def RateWindow(  # noqa: N802 - the name in the contract
        self,
        request: pb.RateWindowRequest,
        _context: grpc.aio.ServicerContext[pb.RateWindowRequest, pb.RateWindowResponse],
    ) -> pb.RateWindowResponse:
        """Rate a window."""
        try:
            return rate_response(await self._runs.rate(rate_request(request, caller_name())))
        except InvalidWindow as error:
            code = grpc.StatusCode.INVALID_ARGUMENT
            raise RpcError(code, "INVALID_WINDOW", str(error), error.field) from error

    @answering_errors
    async def ResolvePrice(  # noqa: N802 - the name in the contract
        self,
        request: pb.ResolvePriceRequest,
        _context: grpc.aio.ServicerContext[pb.ResolvePriceRequest, pb.ResolvePriceResponse],
    ) -> pb.ResolvePriceResponse:
        """Quote a price."""
        if not request.model_id:
            raise invalid("model_id", "is required")
        _check_text("model_id", request.model_id)
        _check_text("base_model", request.base_model)
        counts = _token_counts(request)
        at = _bound(request.at, "at") if request.HasField("at") else datetime.now(UTC)
        history = await self._prices.at(at)
        if not history:
            raise NoPriceBookError
        quote = history.resolve(request.model_id, request.base_model or None, at)
        if isinstance(quote, NoPrice):
            raise RpcError(grpc.StatusCode.NOT_FOUND, quote.reason, quote.reason.explain(request.model_id))
        return _quote_response(quote, counts)

    @answering_errors
    async def ListRatedUsage(  # noqa: N802 - the name in the contract
        self,
        request: pb.ListRatedUsageRequest,
        _context: grpc.aio.ServicerContext[pb.ListRatedUsageRequest, pb.ListRatedUsageResponse],
    ) -> pb.ListRatedUsageResponse:
        """List a page of rollups."""
        if not 0 <= request.page_size <= PAGE_SIZE_MAX:
            raise invalid("page_size", f"must be 0 to {PAGE_SIZE_MAX}")
        page_size = request.page_size or PAGE_SIZE_DEFAULT
        try:
            page = await list_rated_usage(self._pool, _filter(request), page_size, request.page_token or None)
        except InvalidPageToken:
            fault = "does not come from a call with the same filters"
            raise invalid("page_token", fault, reason="INVALID_PAGE_TOKEN") from None
        return pb.ListRatedUsageResponse(
            rated_usage=[_rated_usage(row) for row in page.rows],
            next_page_token=page.next_page_token or "",
        )

    @answering_errors
    async def Audit(  # noqa: N802 - the name in the contract
        self,
        request: pb.AuditRequest,
        _context: grpc.aio.ServicerContext[pb.AuditRequest, pb.AuditResponse],
    ) -> pb.AuditResponse:
        """Audit a window."""
        try:
            wanted = audit_request(request)
            async with self._one_audit:
                return audit_response(await audit(self._pool, wanted, datetime.now(UTC)))
        except InvalidWindow as error:
            code = grpc.StatusCode.INVALID_ARGUMENT
            raise RpcError(code, "INVALID_WINDOW", str(error), error.field) from error


def _check_text(field: str, text: str) -> None:
    """Raise RpcError for what no event's field holds; a message would be too long that repeats it."""
    length_max = TEXT_LENGTH_MAX[field]
    if len(text) > length_max or "\0" in text:
        raise invalid(field, f"must be at most {length_max} characters, without NUL")


def _bound(wire: Timestamp, field: str) -> datetime:
    try:
        return to_datetime(wire)
    except ValueError as error:
        raise invalid(field, f"is not a time: {error}") from error


def _token_counts(request: pb.ResolvePriceRequest) -> TokenCounts | None:
    given = {
        "prompt_tokens": request.HasField("prompt_tokens"),
        "cached_tokens": request.HasField("cached_tokens"),
        "completion_tokens": request.HasField("completion_tokens"),
    }
    for field in given:
        if not 0 <= getattr(request, field) <= TOKENS_MAX:
            raise invalid(field, "must be 0 to 2^53")
    if not any(given.values()):
        return None
    return TokenCounts(request.prompt_tokens, request.cached_tokens, request.completion_tokens)


def _quote_response(quote: Quote, counts: TokenCounts | None) -> pb.ResolvePriceResponse:
    price = quote.price
    return pb.ResolvePriceResponse(
        prompt_rate=decimal_text(price.billed.prompt),
        cached_rate=decimal_text(price.billed.cached),
        completion_rate=decimal_text(price.billed.completion),
        source=pb.PriceSource.Value(f"PRICE_SOURCE_{price.source}"),
        derived_from=price.derived_from or "",
        price_book=quote.book.content_hash,
        effective_from=_optional_timestamp(quote.effective_from),
        effective_until=_optional_timestamp(quote.effective_until),
        cost="" if counts is None else decimal_text(cost(counts, price.billed)),
        exact_prompt_rate=decimal_text(price.exact.prompt),
        exact_cached_rate=decimal_text(price.exact.cached),
        exact_completion_rate=decimal_text(price.exact.completion),
        premium=price.premium.describe() if price.premium else "",
    )


def _optional_timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else to_timestamp(moment)


def _filter(request: pb.ListRatedUsageRequest) -> RatedUsageFilter:
    _check_text("auth_id", request.auth_id)
    _check_text("resource_id", request.resource_id)
    return RatedUsageFilter(
        window_start=_bound(request.window_start, "window_start")
        if request.HasField("window_start")
        else None,
        window_end=_bound(request.window_end, "window_end") if request.HasField("window_end") else None,
        auth_id=request.auth_id or None,
        resource_id=request.resource_id or None,
    )


def _rated_usage(row: asyncpg.Record) -> pb.RatedUsage:
    return pb.RatedUsage(
        id=row["id"],
        auth_id=row["auth_id"],
        resource_id=row["resource_id"],
        model_id=row["model_id"],
        window_start=to_timestamp(row["window_start"]),
        window_end=to_timestamp(row["window_end"]),
        prompt_tokens=row["prompt_tokens"],
        cached_tokens=row["cached_tokens"],
        completion_tokens=row["completion_tokens"],
        billable_prompt_tokens=row["billable_prompt_tokens"],
        cost=decimal_text(row["cost"]),
        applied_prompt_rate=decimal_text(row["applied_prompt_rate"]),
        applied_cached_rate=decimal_text(row["applied_cached_rate"]),
        applied_completion_rate=decimal_text(row["applied_completion_rate"]),
        event_count=row["event_count"],
        base_model=row["base_model"] or "",
        price_book=row["price_book"],
        run=row["run"],
        rated_at=to_timestamp(row["rated_at"]),
    )
