"""The reads of the API as JSON over HTTP, for programs that have no gRPC: `/v1/…`.

It is the same implementation: a method of the service is called with a context that gRPC would give it, and
tells its errors to. Callers show a token with each call, as in gRPC; cookies do not count.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Never

import grpc
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_runtime.background import spawn
from rater_service.console.json_messages import error_json, message_json, read_message
from rater_service.service.access_list import AccessList
from rater_service.service.call_guard import RefusalLog, admitted, bearer_token
from rater_service.service.rating import AS_OF_KEY, RatingReads
from rater_service.service.rpc_errors import RpcError, status_of

PREFIX = "/v1/"
CALLS_AT_ONCE = 8
"""More wait, and no longer than a call may take."""
CALL_TIMEOUT_S = 30.0
AUDIT_TIMEOUT_S = 3600.0
AS_OF_HEADER = "Phoebe-As-Of"
_HEADERS = {AS_OF_KEY: AS_OF_HEADER}
_STATUS_DETAILS = "grpc-status-details-bin"
_MEDIA_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """A method of phoebe.v1.RatingService at a path. timeout_s: how long it may take, waiting included."""

    path: str
    method: str
    request: type[Message]
    timeout_s: float = CALL_TIMEOUT_S


CALLS = (
    Call("/v1/price", "ResolvePrice", pb.ResolvePriceRequest),
    Call("/v1/rated-usage", "ListRatedUsage", pb.ListRatedUsageRequest),
    Call("/v1/events", "ListEvents", pb.ListEventsRequest),
    Call("/v1/events/{request_id}", "GetEvent", pb.GetEventRequest),
    Call("/v1/runs", "ListRuns", pb.ListRunsRequest),
    Call("/v1/audit", "Audit", pb.AuditRequest, AUDIT_TIMEOUT_S),
)


class JsonCalls:
    """Answers calls. access: gives the tokens in force; None: nobody is asked who they are."""

    def __init__(
        self,
        service: RatingReads,
        access: Callable[[], AccessList] | None,
        calls: Sequence[Call] = CALLS,
    ) -> None:
        self._service = service
        self._calls = calls
        self._access = access
        self._refusals = RefusalLog()
        self._room = asyncio.Semaphore(CALLS_AT_ONCE)

    def routes(self) -> list[Route]:
        """Give the paths."""
        return [Route(call.path, self._endpoint(call), methods=["GET"]) for call in self._calls]

    def _endpoint(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._admit(call, request)
                parameters = [*request.path_params.items(), *request.query_params.multi_items()]
                message, context = read_message(call.request(), parameters), _Context()
                answer = message_json(await self._call(call, message, context, request))
                return Response(answer, headers=context.headers(), media_type=_MEDIA_TYPE)
            except RpcError as error:
                return _error(status_of(error))
            except _AbortedError as aborted:
                return _error(aborted.status)

        return answer

    def _admit(self, call: Call, request: Request) -> None:
        if self._access is None:
            return
        method = f"/phoebe.v1.RatingService/{call.method}"
        token = bearer_token(request.headers.getlist("authorization"))
        try:
            admitted(self._access(), method, token)
        except RpcError as error:
            self._refusals.note(method, request.client.host if request.client else "?", error)
            raise

    async def _call(self, call: Call, message: Message, context: "_Context", request: Request) -> Message:
        """Call the method, for as long as the caller waits and the time allows. Raises RpcError."""
        calling = spawn(self._in_turn(call, message, context), call.method)
        leaving = spawn(_until_gone(request), "caller of a call")
        try:
            await asyncio.wait(
                {calling, leaving}, timeout=call.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if calling.done():
                return calling.result()
        finally:
            # A statement that nobody waits for is cancelled, too.
            for task in (calling, leaving):
                task.cancel()
            await asyncio.gather(calling, leaving, return_exceptions=True)
        raise RpcError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            f"that took longer than {call.timeout_s:.0f} s; ask for less, or a shorter window",
        )

    async def _in_turn(self, call: Call, message: Message, context: "_Context") -> Message:
        method: Callable[[Message, Any], Awaitable[Message]] = getattr(self._service, call.method)
        if call.method == "Audit":
            # The service itself lets one in at a time, and who waits for it keeps nobody else waiting.
            return await method(message, context)
        async with self._room:
            return await method(message, context)


def no_such_call(status: int) -> Response:
    """Answer to a path under the prefix that is none (404), or that is called otherwise than by GET (405)."""
    if status == 405:
        error = RpcError(grpc.StatusCode.UNIMPLEMENTED, "NO_SUCH_METHOD", "calls only read: GET")
        body, _ = error_json(status_of(error), 405)
        return Response(body, 405, {"Allow": "GET, HEAD"}, _MEDIA_TYPE)
    known = ", ".join(call.path for call in CALLS)
    error = RpcError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_METHOD", f"no such path; there are {known}")
    return _error(status_of(error))


class _AbortedError(Exception):
    """A method ended its call with this status."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status


class _Context:
    """What a method is given in place of gRPC's context: it is told how a call ends, and as of when it is."""

    def __init__(self) -> None:
        self._told: tuple[tuple[str, str], ...] = ()

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._told

    def set_trailing_metadata(self, told: tuple[tuple[str, str], ...]) -> None:
        self._told = told

    def headers(self) -> dict[str, str]:
        """Give what was told as headers of HTTP."""
        return {_HEADERS[key]: value for key, value in self._told if key in _HEADERS}

    async def abort(
        self, _code: grpc.StatusCode, _details: str, trailing_metadata: Sequence[tuple[str, str | bytes]]
    ) -> Never:
        packed = dict(trailing_metadata)[_STATUS_DETAILS]
        raise _AbortedError(Status.FromString(packed if isinstance(packed, bytes) else packed.encode()))


def _error(status: Status) -> Response:
    body, http = error_json(status)
    headers = {"WWW-Authenticate": "Bearer"} if http == 401 else None
    return Response(body, http, headers, _MEDIA_TYPE)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
