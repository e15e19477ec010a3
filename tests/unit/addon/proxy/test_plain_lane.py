"""The plain lane: whether messages go through the layers in one piece or in parts, nobody can tell."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Any, override

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy import flow as mitmproxy_flow
from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import modes

from phoebe_addon.exchange.exchange import StageError
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.http1 import BoundedHttp1Client, BoundedHttp1Server
from phoebe_addon.proxy.lean_objects import LeanContext
from phoebe_addon.proxy.plain_lane import plain_http_in
from phoebe_addon.proxy.whole_messages import WholeAnswer, WholeRequest
from tests.harness.playbook import HookAction, guarded, options
from tests.unit.addon.proxy.test_fast_lane import without_times
from tests.unit.addon.proxy.test_leaving import DOCUMENT, Metered, chunk

BODY = b'{"model":"m"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
JSON = b"Content-Type: application/json\r\n"

REQUESTS = {
    "with a length": b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\n" + LENGTH + b"\r\n" + BODY,
    "spelt otherwise": b"POST /v1/a HTTP/1.1\nhost:p\ncontent-LENGTH:  13 \n\n" + BODY,
    "kept alive": b"POST /v1/a HTTP/1.1\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY,
    "closing": b"POST /v1/a HTTP/1.1\r\nConnection: close\r\n" + LENGTH + b"\r\n" + BODY,
    "without a body": b"GET /v1/models HTTP/1.1\r\nHost: p\r\n\r\n",
    "of the head alone": b"HEAD /v1/models HTTP/1.1\r\nHost: p\r\n\r\n",
    "in small letters": b"head /v1/models HTTP/1.1\r\nHost: p\r\n\r\n",
    "behind an empty line": b"\r\nGET /v1/models HTTP/1.1\r\nHost: p\r\n\r\n",
    "of HTTP/1.0": b"POST /v1/a HTTP/1.0\r\n" + LENGTH + b"\r\n" + BODY,
    "in chunks": b"POST /v1/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(BODY) + b"0\r\n\r\n",
    "expecting": b"POST /v1/a HTTP/1.1\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\n" + BODY,
    "with two lengths": b"POST /v1/a HTTP/1.1\r\nContent-Length: 13\r\nContent-Length: 14\r\n\r\n" + BODY,
    "with the same length twice": b"POST /v1/a HTTP/1.1\r\n" + LENGTH + LENGTH + b"\r\n" + BODY,
    "with no number": b"POST /v1/a HTTP/1.1\r\nContent-Length: +13\r\n\r\n" + BODY,
    "with a nought": b"POST /v1/a HTTP/1.1\r\nContent-Length: 013\r\n\r\n" + BODY,
    "with a length and chunks": b"POST /v1/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    + LENGTH
    + b"\r\n"
    + chunk(BODY)
    + b"0\r\n\r\n",
    "with a folded header": b"POST /v1/a HTTP/1.1\r\nX: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "with a length in a folded header": b"GET /v1/a HTTP/1.1\r\nX: a\r\n Content-Length: 5\r\n\r\n",
    "with a bad name": b"POST /v1/a HTTP/1.1\r\nX (y): a\r\n" + LENGTH + b"\r\n" + BODY,
    "for a tunnel": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "for a whole address": b"POST http://p/v1/a HTTP/1.1\r\nHost: p\r\n" + LENGTH + b"\r\n" + BODY,
    "of no known HTTP": b"GET /v1/a HTTP/2.0\r\nHost: p\r\n\r\n",
    "malformed": b"nonsense\r\n\r\n",
    "too large": b"POST /v1/a HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    "cut short": b"POST /v1/a HTTP/1.1\r\nContent-Length: 50\r\n\r\n" + BODY,
}

_OK = b"HTTP/1.1 200 OK\r\n"
_SIZED = b"Content-Length: %d\r\n" % len(DOCUMENT)
ANSWERS = {
    "with a length": _OK + JSON + _SIZED + b"\r\n" + DOCUMENT,
    "spelt otherwise": b"HTTP/1.1 200\ncontent-length:%d\n\n" % len(DOCUMENT) + DOCUMENT,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + _SIZED + b"\r\n" + DOCUMENT,
    "closing": _OK + b"Connection: close\r\n" + _SIZED + b"\r\n" + DOCUMENT,
    "kept alive": _OK + b"Connection: keep-alive\r\n" + _SIZED + b"\r\n" + DOCUMENT,
    "both": _OK + b"Connection: keep-alive\r\nConnection: close\r\n" + _SIZED + b"\r\n" + DOCUMENT,
    "up to the end": _OK + JSON + b"\r\n" + DOCUMENT,
    "in chunks": _OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(DOCUMENT) + b"0\r\n\r\n",
    "a stream": _OK + b"Content-Type: text/event-stream\r\nContent-Length: 13\r\n\r\ndata: [DONE]\n",
    "empty": _OK + b"Content-Length: 0\r\n\r\n",
    "with no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "an error": b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "behind an interim one": b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + _SIZED + b"\r\n" + DOCUMENT,
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "with more behind": _OK + _SIZED + b"\r\n" + DOCUMENT + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "with two lengths": _OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "with a bad name": _OK + b"X (y): a\r\n" + _SIZED + b"\r\n" + DOCUMENT,
    "with no number": _OK + b"Content-Length: x\r\n\r\n" + DOCUMENT,
    "malformed": b"nonsense\r\n\r\n",
    "cut short": _OK + b"Content-Length: 500\r\n\r\n" + DOCUMENT,
    "nothing": b"",
}


def _kill(flow: http.HTTPFlow) -> None:
    flow.error = mitmproxy_flow.Error(mitmproxy_flow.Error.KILLED_MESSAGE)


def _answer(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(418, b"by an addon", {"X": "y"})


def _stream(flow: http.HTTPFlow) -> None:
    (flow.response or flow.request).stream = True


def _change(flow: http.HTTPFlow) -> None:
    message = flow.response or flow.request
    message.headers["X-Changed"] = "é"
    message.content = b"changed"


def _chunk(flow: http.HTTPFlow) -> None:
    message = flow.response or flow.request
    message.headers.pop("content-length", None)
    message.headers["Transfer-Encoding"] = "chunked"


def _trail(flow: http.HTTPFlow) -> None:
    (flow.response or flow.request).trailers = http.Headers(a="b")


def _close(flow: http.HTTPFlow) -> None:
    (flow.response or flow.request).headers["Connection"] = "close"


def _empty(flow: http.HTTPFlow) -> None:
    (flow.response or flow.request).content = b""


DOES: dict[str, HookAction] = {
    each.__name__: each for each in (_kill, _answer, _stream, _change, _chunk, _trail, _close, _empty)
}
HOOKS = ("requestheaders", "request", "responseheaders", "response", "error")


@dataclass(frozen=True, slots=True)
class Told:
    """Exchanges on one connection of a client.

    asked, answered: the messages. cuts: where bytes are cut. does: what is done in a hook besides.
    held: a hook that is not over before everything else has come. leaves: who leaves, before which piece.
    together: whether all requests come at once. last: whether each answer is the last of its connection.
    refused: whether engines can't be connected to. unread: whether something waits behind an answer.
    """

    asked: tuple[str, ...] = ("with a length",)
    answered: tuple[str, ...] = ("with a length",)
    cuts: tuple[int, ...] = ()
    does: tuple[str, str] | None = None
    held: str | None = None
    leaves: tuple[str, int] | None = None
    together: bool = False
    last: bool = False
    refused: bool = False
    unread: bool = False


class Stand(Metered):
    """A client and its engines. commands: all that was done to connections, in order."""

    def __init__(self, told: Told, *, plain: bool) -> None:
        self.done: list[tuple[object, ...]] = []
        super().__init__(plain=plain)
        self.refused = told.refused
        self.actions = {hook: _as_addon(action) for hook, action in self.actions.items()}
        if told.does:
            hook, does = told.does
            first = self.actions.get(hook, lambda _flow: None)
            self.actions[hook] = _both(first, DOES[does])
        if told.held:
            self.held = {told.held}

    @override
    def _do(self, command: commands.Command) -> None:
        if isinstance(command, commands.ConnectionCommand):
            self.done.append((type(command).__name__, self._who(command.connection), _data(command)))
        elif isinstance(command, commands.StartHook | commands.Log):
            pass
        super()._do(command)

    @override
    def _work(self) -> None:
        try:
            super()._work()
        except (AssertionError, NotImplementedError) as error:
            # What mitmproxy does not do with what an addon asks for: the handler logs it and goes on.
            self.done.append((type(error).__name__, "", b""))

    def _who(self, connection: Connection) -> str:
        if connection is self.client:
            return "client"
        return f"engine {self.engines.index(connection)}" if connection in self.engines else "new engine"  # type: ignore[arg-type]


def _both(first: HookAction, then: HookAction) -> HookAction:
    def act(flow: http.HTTPFlow) -> None:
        first(flow)
        then(flow)

    return act


def _as_addon(action: HookAction) -> HookAction:
    """What a hook raises ends it, as in mitmproxy: the test's own know no answer that no engine gave."""

    def act(flow: http.HTTPFlow) -> None:
        with suppress(AssertionError, StageError):
            action(flow)

    return act


def _data(command: commands.Command) -> bytes:
    return bytes(command.data) if isinstance(command, commands.SendData) else b""


def played(told: Told, *, plain: bool) -> tuple[object, ...]:
    before = GuardRules.in_force
    GuardRules.in_force = replace(before, last_answers=told.last, body_bytes_max=4096)
    try:
        with guarded():
            stand = Stand(told, plain=plain)
            _play(told, stand)
            return (
                stand.done,
                stand.hooks,
                stand.logs,
                [without_times(event) for event in stand.events],
                [_state(flow) for flow in stand.flows],
                [each.byte_count for each in stand.unasked],
                list(stand.layer.streams),
            )
    finally:
        GuardRules.in_force = before


def _play(told: Told, stand: Stand) -> None:
    """Let each request come, and its answer once an engine was asked; who leaves does so on the way."""
    pieces = count()
    requests = [REQUESTS[name] for name in told.asked]
    for request in [b"".join(requests)] if told.together else requests:
        _come(told, stand, request, None, pieces)
        for answered in told.answered if told.together else told.answered[:1]:
            if stand.engines:
                _come(told, stand, ANSWERS[answered], stand.engine, pieces)
                stand.unread |= {stand.engine} if told.unread else set()
    stand.release()
    if stand.engines and _can_come(stand, stand.engine):
        stand.leaves(stand.engine)
    if _can_come(stand, None):
        stand.leaves()


def _come(
    told: Told, stand: Stand, data: bytes, connection: Connection | None, pieces: Iterator[int]
) -> None:
    """Let bytes come in pieces, on a connection to an engine or the client's."""
    for begin, end in pairwise([0, *sorted({cut % (len(data) + 1) for cut in told.cuts}), len(data)]):
        number = next(pieces)
        if told.leaves == ("client", number) and stand.client.connected:
            stand.leaves()
        if told.leaves == ("engine", number) and stand.engines and stand.engine.connected:
            stand.leaves(stand.engine)
        if begin < end and _can_come(stand, connection):
            stand.sends(data[begin:end], connection)


def _can_come(stand: Stand, connection: Connection | None) -> bool:
    each = connection or stand.client
    return bool(each.state & each.state.CAN_READ)


def _state(flow: http.HTTPFlow) -> dict[str, object]:
    state = flow.get_state()
    return {
        "request": _without_time(state["request"]),
        "response": _without_time(state["response"]),
        "error": (state["error"] or {}).get("msg"),
        "live": flow.live,
    }


def _without_time(message: dict[str, object] | None) -> dict[str, object] | None:
    return message and {
        name: value if not name.startswith("timestamp") else value is None for name, value in message.items()
    }


told = st.builds(
    Told,
    asked=st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=3).map(tuple),
    answered=st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=3).map(tuple),
    cuts=st.lists(st.integers(0, 400), max_size=3).map(tuple) | st.just(()),
    does=st.none() | st.tuples(st.sampled_from(HOOKS), st.sampled_from(sorted(DOES))),
    held=st.none() | st.sampled_from(HOOKS),
    leaves=st.none() | st.tuples(st.sampled_from(("client", "engine")), st.integers(0, 6)),
    together=st.booleans(),
    last=st.sampled_from((False, False, False, True)),
    refused=st.sampled_from((False, False, False, True)),
    unread=st.sampled_from((False, False, False, True)),
)


@given(told)
@example(Told(asked=("closing", "with a length"), together=True))
@example(Told(cuts=(100,), does=("response", "_stream"), held="response", leaves=("client", 2)))
def test_nobody_can_tell_whether_messages_went_in_one_piece(told: Told) -> None:
    assert played(told, plain=True) == played(told, plain=False)


@pytest.mark.parametrize("plain", [True, False])
def test_messages_go_in_one_piece_where_nobody_watches(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[type] = []
    for kind in (WholeRequest, WholeAnswer):
        monkeypatch.setattr(kind, "behind_head", _noting(kind, gone))
    sent: list[type] = []
    for speaker, kind in ((BoundedHttp1Client, WholeRequest), (BoundedHttp1Server, WholeAnswer)):
        monkeypatch.setattr(speaker, "send_whole", _noting_sent(speaker.send_whole, kind, sent))

    played(Told(("with a length", "without a body")), plain=plain)

    assert gone == sent == ([WholeRequest, WholeAnswer] * 2 if plain else [])


def _noting(kind: type[WholeRequest | WholeAnswer], gone: list[type]) -> Callable[..., Any]:
    behind_head = kind.behind_head

    def noted(whole: Any) -> Iterator[Any]:
        gone.append(kind)
        return behind_head(whole)

    return noted


def _noting_sent(send: Callable[..., Any], kind: type, sent: list[type]) -> Callable[..., Any]:
    def noted(speaker: object, whole: object) -> Any:
        sent.append(kind)
        return send(speaker, whole)

    return noted


@pytest.mark.parametrize("asked", REQUESTS)
def test_no_request_of_any_form_can_tell(asked: str) -> None:
    for then in ("with a length", "without a body"):
        told = Told((asked, then))
        assert played(told, plain=True) == played(told, plain=False)


@pytest.mark.parametrize("answered", ANSWERS)
def test_no_answer_of_any_form_can_tell(answered: str) -> None:
    for asked in (("with a length",) * 2, ("of the head alone", "with a length")):
        told = Told(asked, (answered,))
        assert played(told, plain=True) == played(told, plain=False)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("does", DOES)
def test_nothing_that_is_done_in_a_hook_can_tell(hook: str, does: str) -> None:
    for held in (None, hook):
        for leaves in (None, ("client", 1), ("engine", 2)):
            told = Told(("with a length",) * 2, does=(hook, does), held=held, leaves=leaves)
            assert played(told, plain=True) == played(told, plain=False)


def test_events_go_to_http_at_once_only_where_a_reverse_proxy_alone_stands_around_it() -> None:
    layers = LeanContext(Metered().client, options())
    around = modes.ReverseProxy(layers)
    assert plain_http_in(layers.layers) is None
    inside = http_layers.HttpLayer(layers, http_layers.HTTPMode.transparent)
    assert plain_http_in(layers.layers) is inside
    assert plain_http_in([modes.HttpProxy(layers), inside]) is None
    assert plain_http_in([around, inside, inside]) is None
    around.debug = "  "

    assert plain_http_in([around, inside]) is None
