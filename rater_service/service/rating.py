"""The gRPC service that rates windows, quotes prices and lists rated usage."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceServicer
from rater_service.audit.audit import audit
from rater_service.bills.event import NoSuchEventError, account_for
from rater_service.bills.events import EventFilter, list_stored_events
from rater_service.bills.page_tokens import InvalidPageToken
from rater_service.bills.rated_usage import RatedUsageFilter, list_rated_usage
from rater_service.bills.runs import list_runs
from rater_service.database.database import Pool
from rater_service.database.source import Source
from rater_service.errors import NoPriceBookError
from rater_service.events.validation import TEXT_LENGTH_MAX, TRACE_ID_FORM, UUID_FORM
from rater_service.hours import InvalidWindow, utc_text
from rater_service.money import TOKENS_MAX, TokenCounts, decimal_text
from rater_service.prices.resolution import NoPrice
from rater_service.prices.shared_history import SharedHistory
from rater_service.service.audit_response import audit_request, audit_response
from rater_service.service.call_guard import caller_name
from rater_service.service.event_response import account_message, event_message, run_message
from rater_service.service.quote_response import QuoteResponses
from rater_service.service.rating_queue import RatingQueue
from rater_service.service.rating_response import rate_request, rate_response
from rater_service.service.reads import Reads
from rater_service.service.rpc_errors import RpcError, answering_errors, invalid
from rater_service.wire_time import to_datetime, to_timestamp

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
_COUNTS: tuple[Literal["prompt_tokens", "cached_tokens", "completion_tokens"], ...] = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)
AS_OF_KEY: Final = "phoebe-as-of"
"""Metadata behind an answer that was read from a standby: what was committed by then is in it."""
_RUN_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class RatingReads:
    """The methods that only read. They answer with what the modules behind them compute.

    Its only state is a lock, for one audit at a time, and what need not be computed again. reads: where all
    but prices is read; None: in the database.
    """

    def __init__(self, pool: Pool, reads: Reads | None = None) -> None:
        self._reads = reads or Reads(pool)
        self._prices = SharedHistory(pool)
        self._responses = QuoteResponses()
        # An audit reads everything; several at once would only take longer, and keep others from the disk.
        self._one_audit = asyncio.Lock()

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
        history = self._prices.known(at)
        if history is None:
            history = await self._prices.at(at)
        if not history:
            raise NoPriceBookError
        quote = history.resolve(request.model_id, request.base_model or None, at)
        if isinstance(quote, NoPrice):
            raise RpcError(grpc.StatusCode.NOT_FOUND, quote.reason, quote.reason.explain(request.model_id))
        return self._responses.of(quote, counts)

    @answering_errors
    async def ListRatedUsage(  # noqa: N802 - the name in the contract
        self,
        request: pb.ListRatedUsageRequest,
        context: grpc.aio.ServicerContext[pb.ListRatedUsageRequest, pb.ListRatedUsageResponse],
    ) -> pb.ListRatedUsageResponse:
        """List a page of rollups."""
        wanted, size, token = _filter(request), _page_size(request.page_size), request.page_token or None
        source = await self._source(context)
        try:
            page = await source.read(lambda: list_rated_usage(source.pool, wanted, size, token))
        except InvalidPageToken:
            raise _invalid_page_token() from None
        return pb.ListRatedUsageResponse(
            rated_usage=[_rated_usage(row) for row in page.rows],
            next_page_token=page.next_page_token or "",
        )

    @answering_errors
    async def Audit(  # noqa: N802 - the name in the contract
        self,
        request: pb.AuditRequest,
        context: grpc.aio.ServicerContext[pb.AuditRequest, pb.AuditResponse],
    ) -> pb.AuditResponse:
        """Audit a window."""
        try:
            wanted = audit_request(request)
            async with self._one_audit:
                source = await self._source(context)
                return audit_response(await source.read(lambda: audit(source.pool, wanted, source.now)))
        except InvalidWindow as error:
            raise _invalid_window(error) from error

    @answering_errors
    async def GetEvent(  # noqa: N802 - the name in the contract
        self,
        request: pb.GetEventRequest,
        context: grpc.aio.ServicerContext[pb.GetEventRequest, pb.GetEventResponse],
    ) -> pb.GetEventResponse:
        """Account for one event."""
        if not UUID_FORM.fullmatch(request.request_id):
            raise invalid("request_id", "must be a UUID, of 36 characters")
        wanted = UUID(request.request_id)
        source = await self._source(context)
        try:
            try:
                account = await source.read(lambda: account_for(source.pool, wanted))
            except NoSuchEventError:
                if not source.is_standby:
                    raise
                # It may have been stored since.
                account = await account_for(self._reads.primary.pool, wanted)
        except NoSuchEventError as error:
            raise RpcError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_EVENT", str(error)) from error
        return account_message(account)

    @answering_errors
    async def ListEvents(  # noqa: N802 - the name in the contract
        self,
        request: pb.ListEventsRequest,
        context: grpc.aio.ServicerContext[pb.ListEventsRequest, pb.ListEventsResponse],
    ) -> pb.ListEventsResponse:
        """List a page of events."""
        size, token = _page_size(request.page_size), request.page_token or None
        source = await self._source(context)
        try:
            wanted = _event_filter(request)
            page = await source.read(lambda: list_stored_events(source.pool, wanted, size, token))
        except InvalidWindow as error:
            raise _invalid_window(error) from error
        except InvalidPageToken:
            raise _invalid_page_token() from None
        return pb.ListEventsResponse(
            events=[event_message(event) for event in page.events],
            next_page_token=page.next_page_token or "",
        )

    @answering_errors
    async def ListRuns(  # noqa: N802 - the name in the contract
        self,
        request: pb.ListRunsRequest,
        context: grpc.aio.ServicerContext[pb.ListRunsRequest, pb.ListRunsResponse],
    ) -> pb.ListRunsResponse:
        """List a page of runs."""
        size, before = _page_size(request.page_size), request.page_token or None
        if before is not None and not _RUN_NUMBER.fullmatch(before):
            raise invalid("page_token", "was not given out by this method", reason="INVALID_PAGE_TOKEN")
        last, dry_runs = None if before is None else int(before), not request.no_dry_runs
        source = await self._source(context)
        page = await source.read(lambda: list_runs(source.pool, size, before=last, dry_runs=dry_runs))
        return pb.ListRunsResponse(
            runs=[run_message(run) for run in page.runs],
            next_page_token=str(page.runs[-1].id) if page.has_more else "",
        )

    async def _source(self, context: grpc.aio.ServicerContext[Any, Any]) -> Source:
        """Give what to read from, and tell the caller as of when it is, if that is a standby."""
        source = await self._reads.source()
        if source.is_standby:
            told = context.trailing_metadata() or ()
            context.set_trailing_metadata((*told, (AS_OF_KEY, utc_text(source.now))))
        return source


class RatingService(RatingReads, RatingServiceServicer):
    """All methods: the reads, and runs."""

    def __init__(self, pool: Pool, runs: RatingQueue, reads: Reads | None = None) -> None:
        super().__init__(pool, reads)
        self._runs = runs

    @answering_errors
    async def RateWindow(  # noqa: N802 - the name in the contract
        self,
        request: pb.RateWindowRequest,
        _context: grpc.aio.ServicerContext[pb.RateWindowRequest, pb.RateWindowResponse],
    ) -> pb.RateWindowResponse:
        """Rate a window."""
        try:
            result = await self._runs.rate(rate_request(request, caller_name()))
            self._reads.note_run()
            return rate_response(result)
        except InvalidWindow as error:
            raise _invalid_window(error) from error


def _page_size(wanted: int) -> int:
    if not 0 <= wanted <= PAGE_SIZE_MAX:
        raise invalid("page_size", f"must be 0 to {PAGE_SIZE_MAX}")
    return wanted or PAGE_SIZE_DEFAULT


def _invalid_window(error: InvalidWindow) -> RpcError:
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_WINDOW", str(error), error.field)


def _invalid_page_token() -> RpcError:
    return invalid(
        "page_token", "does not come from a call with the same filters", reason="INVALID_PAGE_TOKEN"
    )


def _event_filter(request: pb.ListEventsRequest) -> EventFilter:
    for field in ("window_start", "window_end"):
        if not request.HasField(field):
            raise InvalidWindow(field, "is required")
    names = ("auth_id", "user_id", "group_id", "resource_id", "model_id", "client_request_id")
    for name in names:
        _check_text(name, getattr(request, name))
    if request.trace_id and not TRACE_ID_FORM.fullmatch(request.trace_id):
        raise invalid("trace_id", "must be 32 lower-case hexadecimal digits, not all zero")
    return EventFilter(
        _bound(request.window_start, "window_start"),
        _bound(request.window_end, "window_end"),
        **{name: getattr(request, name) or None for name in (*names, "trace_id")},
    )


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
    counts = TokenCounts(request.prompt_tokens, request.cached_tokens, request.completion_tokens)
    if min(counts) < 0 or max(counts) > TOKENS_MAX:
        wrong = next(field for field in _COUNTS if not 0 <= getattr(request, field) <= TOKENS_MAX)
        raise invalid(wrong, "must be 0 to 2^53")
    return counts if any(counts) or any(map(request.HasField, _COUNTS)) else None


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
