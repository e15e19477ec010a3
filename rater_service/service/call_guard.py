"""Lets a call reach its service only if its caller is known and has the right to make it."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import cast

import grpc

from phoebe_runtime.log_lines import told
from rater_service.limits import FIRST_MESSAGE_TIMEOUT_S
from rater_service.service.access_list import AccessList, Caller, Right
from rater_service.service.messages import Messages
from rater_service.service.methods import Handler
from rater_service.service.rpc_errors import RpcError, abort

logger = logging.getLogger(__name__)

ANONYMOUS = "anonymous"
"""Who calls where nobody is asked who they are."""

_ANY_RIGHT = frozenset(Right)
SUFFICIENT_RIGHTS: dict[str, frozenset[Right]] = {
    "/phoebe.v1.MeteringService/StreamEvents": frozenset({Right.PRODUCE}),
    "/phoebe.v1.RatingService/RateWindow": frozenset({Right.RATE}),
    "/phoebe.v1.RatingService/ResolvePrice": frozenset({Right.READ}),
    "/phoebe.v1.RatingService/ListRatedUsage": frozenset({Right.READ}),
    "/phoebe.v1.RatingService/Audit": frozenset({Right.READ}),
    "/phoebe.v1.RatingService/ListRuns": frozenset({Right.READ}),
    "/phoebe.v1.RatingService/ListEvents": frozenset({Right.EVENTS}),
    "/phoebe.v1.RatingService/GetEvent": frozenset({Right.EVENTS}),
    "/grpc.health.v1.Health/Watch": _ANY_RIGHT,
    "/grpc.health.v1.Health/List": _ANY_RIGHT,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY_RIGHT,
}
"""For each method the rights of which one is enough. A method that is not here is nobody's."""
OPEN_METHODS = frozenset({"/grpc.health.v1.Health/Check"})
"""What anyone may call: probes have no secrets, and the answer is one word."""

# Calls that change something, and calls that stay open, are logged. Streams of events once a minute for each
# caller: while the database is away, a proxy opens one after the other.
_LOUD_RIGHTS = frozenset({Right.PRODUCE, Right.RATE})
# A caller who is refused must not be able to fill the disk with log lines.
_REFUSAL_LOG_PAUSE_S = 1.0

# Every call is answered in a task of its own, so it has a value of its own.
_caller_name: ContextVar[str] = ContextVar("caller_name", default=ANONYMOUS)

type _Context = grpc.aio.ServicerContext[object, object]
type _Requests = AsyncIterator[object]
type _Behaviour = Callable[[object, _Context], Awaitable[object] | AsyncGenerator[object]]


def caller_name() -> str:
    """Return whose call is being answered: a name of the tokens file, or ANONYMOUS where nobody is asked."""
    return _caller_name.get()


class CallGuard:
    """Checks every call before its first message is read, and a stream again at each message.

    access: gives the list in force, which may change.
    """

    def __init__(self, access: Callable[[], AccessList]) -> None:
        self._access = access
        self._refusals = RefusalLog()

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Put the check in front of the method.

        Every method becomes one with streams, because gRPC reads the message of another before it asks
        anyone. On the wire there is no difference.
        """
        guarded = _GuardedMethod(
            name=method,
            behaviour=cast(
                "_Behaviour",
                handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream,
            ),
            request_streaming=handler.request_streaming,
            response_streaming=handler.response_streaming,
            admit=self._admit,
        )
        return grpc.stream_stream_rpc_method_handler(
            guarded.answer, handler.request_deserializer, handler.response_serializer
        )

    def _admit(self, method: str, context: _Context) -> Caller | None:
        if method in OPEN_METHODS:
            return None
        try:
            return _caller(self._access(), method, context)
        except RpcError as error:
            self._refusals.note(method, context.peer(), error)
            raise


@dataclass(frozen=True, slots=True)
class _GuardedMethod:
    """A method as it is called once its caller is admitted."""

    name: str
    behaviour: _Behaviour
    request_streaming: bool
    response_streaming: bool
    admit: Callable[[str, _Context], Caller | None]

    async def answer(self, requests: _Requests, context: _Context) -> None:
        try:
            caller = self.admit(self.name, context)
            if caller:
                _caller_name.set(caller.name)
                rights = SUFFICIENT_RIGHTS[self.name]
                level = logging.INFO if rights & _LOUD_RIGHTS else logging.DEBUG
                again = (caller.name, self.name) if Right.PRODUCE in rights else None
                logger.log(level, "%s calls %s", caller.name, self.name, extra=told(again))
            await self._call(requests, context)
        except RpcError as error:
            await abort(context, error)

    async def _call(self, requests: _Requests, context: _Context) -> None:
        request: object
        if self.request_streaming:
            request = _WhileAdmitted(context, partial(self.admit, self.name, context))
        else:
            request = await _only_message(requests)
        answering = self.behaviour(request, context)
        if isinstance(answering, AsyncGenerator):
            async with aclosing(answering) as responses:
                async for response in responses:
                    await context.write(response)
            return
        response = await answering
        if not self.response_streaming:
            await context.write(response)


class _WhileAdmitted(Messages):
    """The messages of a stream for as long as its caller is admitted."""

    def __init__(self, context: _Context, admit: Callable[[], object]) -> None:
        super().__init__(context)
        self._admit = admit

    async def __anext__(self) -> object:
        message = await super().__anext__()
        self._admit()
        return message


async def _only_message(requests: _Requests) -> object:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT_S):
            return await anext(requests)
    except (TimeoutError, StopAsyncIteration):
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "the call came without its message"
        ) from None


def admitted(
    access: AccessList, method: str, token: str | None, certificate_names: Sequence[str] = ()
) -> Caller:
    """Find who calls a method ("/phoebe.v1.RatingService/ListRuns"). A token counts before a certificate.

    token: None: none was shown. Raises RpcError if they may not.
    """
    caller = (
        access.caller_of_certificate(certificate_names) if token is None else access.caller_of_token(token)
    )
    if caller is None:
        raise _unknown(token is not None, certificate_names)
    sufficient = SUFFICIENT_RIGHTS.get(method, frozenset())
    if not caller.rights & sufficient:
        raise RpcError(
            grpc.StatusCode.PERMISSION_DENIED,
            "RIGHT_MISSING",
            f"{caller.name} may not call {method}: "
            f"the right {' or '.join(sorted(sufficient)) or 'for it does not exist'} is missing",
        )
    return caller


def bearer_token(values: Sequence[str]) -> str | None:
    """Read the token of the values of `authorization`; None: there are none.

    Anything else in its place counts as a token that nobody has.
    """
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() if len(values) == 1 and scheme.lower() == "bearer" else ""


def _caller(access: AccessList, method: str, context: _Context) -> Caller:
    metadata = context.invocation_metadata() or ()
    token = bearer_token([str(value) for key, value in metadata if key == "authorization"])
    names = [name.decode("utf-8", "replace") for name in context.peer_identities() or ()]
    return admitted(access, method, token, names)


def _unknown(has_token: bool, certificate_names: Sequence[str]) -> RpcError:
    code = grpc.StatusCode.UNAUTHENTICATED
    if has_token:
        return RpcError(code, "TOKEN_UNKNOWN", "the bearer token is not one of those that are let in")
    if certificate_names:
        names = ", ".join(certificate_names)
        return RpcError(
            code, "CERTIFICATE_UNKNOWN", f"no token, and the certificate of {names} is not let in without one"
        )
    return RpcError(code, "TOKEN_MISSING", "a token is needed: metadata `authorization: Bearer TOKEN`")


class RefusalLog:
    """Tells of calls that were refused: at most one line a second."""

    def __init__(self) -> None:
        self._quiet_until_s = 0.0
        self._left_out = 0

    def note(self, method: str, peer: str, error: RpcError) -> None:
        """Tell of one."""
        now_s = time.monotonic()
        if now_s < self._quiet_until_s:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last such line)" if self._left_out else ""
        logger.warning(
            "refused %s, calling %s: %s: %s%s",
            *(peer, method, error.reason, error.message, more),
            extra=told(("refused", error.reason), reason=error.reason, method=method),
        )
        self._quiet_until_s = now_s + _REFUSAL_LOG_PAUSE_S
        self._left_out = 0
