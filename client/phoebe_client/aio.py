"""The client for asyncio."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Self, Unpack

import grpc
from google.protobuf.message import Message

from phoebe_client import requests
from phoebe_client.connection import CHANNEL_OPTIONS, Connection, ConnectionOptions
from phoebe_client.errors import error_of
from phoebe_client.events import EventBill, StoredEvent
from phoebe_client.messages import read
from phoebe_client.requests import EventFilters
from phoebe_client.results import Audit, KeptRun, Price, RatedUsage, RateMode, Run
from phoebe_proto.v1 import rating_pb2_grpc


class AsyncClient:
    """Calls the rater from one event loop, which has to run when it is made. As `Client`, but its methods are
    awaited.
    """

    def __init__(self, address: str, **options: Unpack[ConnectionOptions]) -> None:
        self._connection = Connection(address, **options)
        self._channel = (
            grpc.aio.secure_channel(address, self._connection.credentials(), options=CHANNEL_OPTIONS)
            if self._connection.encrypted
            else grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        )
        self._service = rating_pb2_grpc.RatingServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the line."""
        await self.close()

    async def close(self) -> None:
        """Close the line. Calls that are under way end with an error."""
        await self._channel.close()

    async def rate_window(  # noqa: PLR0913 - the fields of the request
        self,
        window_start: datetime,
        window_end: datetime,
        *,
        mode: RateMode = RateMode.ROUTINE,
        dry_run: bool = False,
        reprice: bool = False,
        timeout_s: float = requests.RUN_TIMEOUT_S,
    ) -> Run:
        """Rate [window_start, window_end): whole UTC hours, at most 31 days. Again changes nothing."""
        request = requests.rate_window(window_start, window_end, mode, dry_run=dry_run, reprice=reprice)
        return read(Run, await self._call(self._service.RateWindow, request, timeout_s))

    async def resolve_price(  # noqa: PLR0913 - the fields of the request
        self,
        model_id: str,
        *,
        base_model: str | None = None,
        at: datetime | None = None,
        prompt_tokens: int | None = None,
        cached_tokens: int | None = None,
        completion_tokens: int | None = None,
        timeout_s: float = requests.QUOTE_TIMEOUT_S,
    ) -> Price:
        """Quote a price, and the cost where counts are given, as rating does it. Raises NoPriceError."""
        request = requests.resolve_price(
            model_id,
            base_model=base_model,
            at=at,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            completion_tokens=completion_tokens,
        )
        return read(Price, await self._call(self._service.ResolvePrice, request, timeout_s))

    async def rated_usage(
        self,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        *,
        auth_id: str | None = None,
        resource_id: str | None = None,
        timeout_s: float = requests.PAGE_TIMEOUT_S,
    ) -> AsyncIterator[RatedUsage]:
        """Go through all rollups that fit, as they were when the first was asked for. Pages are fetched on
        the way. None: no bound. timeout_s: for each page.
        """
        request = requests.rated_usage(window_start, window_end, auth_id, resource_id)
        async for message in self._rows(self._service.ListRatedUsage, request, "rated_usage", timeout_s):
            yield read(RatedUsage, message)

    async def get_event(self, request_id: str, *, timeout_s: float = requests.QUOTE_TIMEOUT_S) -> EventBill:
        """Lead from a request's id to its money. Raises NoSuchEventError."""
        request = requests.get_event(request_id)
        return read(EventBill, await self._call(self._service.GetEvent, request, timeout_s))

    async def list_events(
        self,
        window_start: datetime,
        window_end: datetime,
        *,
        timeout_s: float = requests.PAGE_TIMEOUT_S,
        **filters: Unpack[EventFilters],
    ) -> AsyncIterator[StoredEvent]:
        """Go through the events of at most a day that fit. timeout_s: for each page."""
        request = requests.list_events(window_start, window_end, filters)
        async for message in self._rows(self._service.ListEvents, request, "events", timeout_s):
            yield read(StoredEvent, message)

    async def list_runs(
        self, *, no_dry_runs: bool = False, timeout_s: float = requests.PAGE_TIMEOUT_S
    ) -> AsyncIterator[KeptRun]:
        """Go through the runs, the last one first. timeout_s: for each page."""
        request = requests.list_runs(no_dry_runs=no_dry_runs)
        async for message in self._rows(self._service.ListRuns, request, "runs", timeout_s):
            yield read(KeptRun, message)

    async def audit(
        self,
        window_start: datetime | None = None,
        window_end: datetime | None = None,
        *,
        producer_id: str | None = None,
        timeout_s: float = requests.RUN_TIMEOUT_S,
    ) -> Audit:
        """Prove that what was admitted was stored and what was stored was billed; None: over all there is."""
        request = requests.audit(window_start, window_end, producer_id)
        return read(Audit, await self._call(self._service.Audit, request, timeout_s))

    async def _rows(
        self, method: Callable[..., Any], request: Any, name: str, timeout_s: float
    ) -> AsyncIterator[Message]:
        """Go through the rows of all pages, which are in the field of this name."""
        while True:
            page = await self._call(method, request, timeout_s)
            for message in getattr(page, name):
                yield message
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _call[Request, Response](
        self, method: Callable[..., Awaitable[Response]], request: Request, timeout_s: float
    ) -> Response:
        try:
            return await method(request, timeout=timeout_s, metadata=self._connection.metadata)
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code(), error.details(), error.trailing_metadata()) from error
