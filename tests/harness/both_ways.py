"""The same call of a client, straight to the engine and through the proxy: both must come to the same."""

import json
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.harness.engine import Engine, EngineRequest
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

type Open[ClientT] = Callable[[str, Mapping[str, str]], AbstractContextManager[ClientT]]
"""Opens a client by the URL of a server and the headers of every request."""
type OpenAsync[ClientT] = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[ClientT]]

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP, which would otherwise read the machine's certificates each time one is made."""

_BOUNDARY = re.compile(r"boundary=(\S+)")
_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What an event says of an exchange. Counts: None: not reported."""

    api: str
    model: str = ""
    requested: str = "m"
    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cache_write: int | None = None
    prompt_audio: int | None = None
    completion_audio: int | None = None
    finish_reason: str = ""
    outcome: str = "completed"
    status: int | None = 200
    streamed: bool = False
    untrusted: bool = False


def metered(event: MeteringEvent) -> Metered:
    """Read an event."""
    counts = {
        name.removesuffix("_tokens"): getattr(event, name) if event.HasField(name) else None  # type: ignore[arg-type]
        for name in _COUNTS
    }
    assert event.usage_found == any(count is not None for count in counts.values())
    return Metered(
        api=event.api,
        model=event.model_id,
        requested=event.requested_model,
        finish_reason=event.finish_reason,
        outcome=event.outcome,
        status=event.status_code if event.HasField("status_code") else None,
        streamed=event.streamed,
        untrusted=event.model_untrusted,
        **counts,
    )


class BothWays:
    """Makes calls both ways, and finds the events of those that went through the proxy.

    resource: the one the calls through the proxy are for.
    """

    def __init__(self, engine: Engine, proxy: Proxy, rater: EventRecorder) -> None:
        self.engine = engine
        self.proxy = proxy
        self.resource = "undeclared"
        self._rater = rater
        self._tag = uuid.uuid4().hex
        self._admitted_before = self._admitted()

    @property
    def identity(self) -> dict[str, str]:
        """The headers of a trusted edge, and one by which the events are found again."""
        return {
            "X-Saturn-Auth-Id": "auth-1",
            "X-Saturn-Resource-Id": self.resource,
            "X-Request-Id": self._tag,
        }

    def call[ClientT, ResultT](self, opened: Open[ClientT], call: Callable[[ClientT], ResultT]) -> ResultT:
        """Make a call both ways and return what came of it, which is the same."""
        with opened(self.engine.url, {}) as client:
            direct = call(client)
        heard = self.call_proxy(opened, call)
        _assert_same(heard, direct)
        return heard

    def call_proxy[ClientT, ResultT](
        self, opened: Open[ClientT], call: Callable[[ClientT], ResultT]
    ) -> ResultT:
        """Make a call through the proxy alone."""
        with opened(self.proxy.url, self.identity) as client:
            return call(client)

    async def call_async[ClientT, ResultT](
        self, opened: OpenAsync[ClientT], call: Callable[[ClientT], Awaitable[ResultT]]
    ) -> ResultT:
        """Make a call of an asynchronous client both ways and return what came of it."""
        async with opened(self.engine.url, {}) as client:
            direct = await call(client)
        async with opened(self.proxy.url, self.identity) as client:
            heard = await call(client)
        _assert_same(heard, direct)
        return heard

    def requests(self) -> tuple[EngineRequest, EngineRequest]:
        """Return the two requests the engine got: straight from the client, and from the proxy."""
        direct, proxied = self.engine.requests
        assert (direct.method, direct.path) == (proxied.method, proxied.path)
        return direct, proxied

    def added_to_body(self) -> object:
        """Return what the proxy added to the request's JSON; None: the body is the same, byte for byte."""
        direct, proxied = self.requests()
        if proxied.body == direct.body:
            return None
        before, after = json.loads(direct.body), json.loads(proxied.body)
        assert before.items() <= after.items() or set(before) == set(after)
        return {name: value for name, value in after.items() if before.get(name) != value}

    def event(self) -> Metered:
        """Return the one event."""
        (only,) = self.events(1)
        return only

    def events(self, count: int) -> list[Metered]:
        """Wait for so many events, in the order in which their exchanges began; more is a failure."""
        return [metered(event) for event in self.recorded(count)]

    def recorded(self, count: int) -> list[MeteringEvent]:
        """Wait for so many events as they were recorded."""
        found = self._rater.wait_for_all(lambda event: event.client_request_id == self._tag, count)
        assert self._admitted() - self._admitted_before == count
        return sorted(found, key=lambda event: event.request_id)

    def no_event(self) -> None:
        """Check that nothing was admitted to be metered."""
        assert self._admitted() == self._admitted_before

    def _admitted(self) -> float:
        return self.proxy.metric("phoebe_exchanges_admitted_total")


def without_boundary(request: EngineRequest) -> bytes:
    """Return a form's body without the boundary, which clients choose at random."""
    boundary = _BOUNDARY.search(request.headers["content-type"])
    assert boundary
    return request.body.replace(boundary[1].encode(), b"")


def fails[ClientT, ErrorT: Exception](
    error_type: type[ErrorT], call: Callable[[ClientT], object]
) -> Callable[[ClientT], ErrorT]:
    """Make a call that must fail into one that returns its error. What it returns must not be lazy."""

    def failing(client: ClientT) -> ErrorT:
        with pytest.raises(error_type) as caught:
            call(client)
        return caught.value

    return failing


def _assert_same(heard: object, direct: object) -> None:
    assert plain(heard) == plain(direct), f"through the proxy: {heard!r}, from the engine: {direct!r}"


def plain(value: object) -> object:
    """Turn what a client returned or raised into something that can be compared."""
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    if isinstance(value, Exception):
        return type(value), str(value), getattr(value, "status_code", None), getattr(value, "body", None)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    assert not isinstance(value, Iterator | AsyncIterator)
    return value
