"""Clients that leave within an answer: which engine is cut off, which is read on, and what the event says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from mitmproxy import http

from phoebe_addon.answer.abort import Abort
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import EngineFailure
from phoebe_addon.proxy.guard import exchange_of
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.watched_answer import open_answer, read_buffered
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.hostile_http2 import block, frame
from tests.harness.playbook import Playbook, admit
from tests.unit.addon.proxy.test_http2 import Peer

pytestmark = pytest.mark.usefixtures("guard_in_place")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\n"
STREAM_HEAD = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DOCUMENT = b'{"model":"m","data":[0.1],"usage":{"prompt_tokens":17,"completion_tokens":3}}'
HALF, REST = DOCUMENT[:30], DOCUMENT[30:]
FIRST_WORD = VLLM.split(b"\n\n")[0] + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# How a document is framed, and its end.
FRAMINGS = {
    "length": (OK + b"Content-Length: %d\r\n\r\n" % len(DOCUMENT) + HALF, REST),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(HALF), chunk(REST) + END),
    "close": (OK + b"Connection: close\r\n\r\n" + HALF, REST),
}


class Metered(Playbook):
    """A connection whose exchanges are metered as the addon does. events: what came of them."""

    def __init__(self, **given: bytes | bool) -> None:
        self.events: list[MeteringEvent] = []
        actions = {
            "request": admit,
            "responseheaders": self._opened,
            "response": self._answered,
            "error": lambda flow: self._ended(flow, Ending.CLIENT_GONE),
        }
        super().__init__(actions=actions, **given)  # type: ignore[arg-type]

    def _opened(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        assert exchange
        assert exchange.metering
        assert flow.response
        exchange.answer_began()
        open_answer(flow, flow.response, exchange.metering)

    def _answered(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        assert exchange
        assert exchange.metering
        assert flow.response
        if not flow.response.stream:
            list(read_buffered(exchange.metering, flow.response))
        self._ended(flow, Ending.ANSWER_COMPLETE)

    def _ended(self, flow: http.HTTPFlow, ending: Ending) -> None:
        exchange = exchange_of(flow)
        assert exchange
        self.events += exchange.end(ending, NOW)

    def asks_and_hears(self, answer: bytes) -> None:
        self.sends(ASK)
        self.sends(answer, self.engine)

    def outcome(self) -> tuple[str, int | None, int]:
        """The one event's outcome, its generated tokens if there is usage, and its answer's bytes."""
        (event,) = self.events
        return event.outcome, event.completion_tokens if event.usage_found else None, event.answer_bytes


@pytest.fixture
def rules() -> Iterator[Callable[..., None]]:
    """Change what is done about clients that leave."""
    before = GuardRules.in_force

    def change(policy: Abort = Abort.FINISH, timeout_s: float = 60.0, bytes_max: int = 10**6) -> None:
        abort = replace(before.abort, policy=policy, timeout_s=timeout_s, bytes_max=bytes_max)
        GuardRules.in_force = replace(before, abort=abort)

    yield change
    GuardRules.in_force = before


def test_an_engine_that_still_works_is_cut_off_at_once() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(FIRST_WORD))

    book.leaves()

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", None, len(FIRST_WORD))
    assert book.layer.streams == {}


def test_what_a_finished_engine_still_says_is_read_without_the_client() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.written()

    book.leaves()
    assert book.closed == [book.client]
    assert book.events == []
    book.sends(chunk(VLLM_USAGE) + chunk(DONE) + END, book.engine)

    assert book.outcome() == ("aborted", 3, len(VLLM))
    assert book.written() == b""
    assert book.layer.streams == {}


def test_nothing_is_left_to_read_behind_the_end_mark() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM + VLLM_USAGE + DONE))

    book.leaves()

    assert book.engine in book.closed
    assert book.outcome()[:2] == ("completed", 3)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_document_is_read_to_its_end_once_its_head_is_there(framing: str) -> None:
    began, rest = FRAMINGS[framing]
    book = Metered()
    book.asks_and_hears(began)

    book.leaves()
    assert book.engine not in book.closed
    book.sends(rest, book.engine)
    if framing == "close":
        book.leaves(book.engine)

    # A short document of known length is held back until it is whole.
    assert book.outcome() == ("aborted", 3, 0 if framing == "length" else len(HALF))
    assert book.layer.streams == {}


def test_what_was_held_back_for_a_client_is_read_in_turns_and_in_order() -> None:
    document = b'{"model":"m","data":["%s"],%s' % (b"x" * 50_000, DOCUMENT[DOCUMENT.index(b'"usage"') :])
    book = Metered()
    book.asks_and_hears(OK + b"Content-Length: %d\r\n\r\n" % len(document) + document[:-20])

    book.leaves()
    book.sends(document[-20:], book.engine)
    assert book.events == []
    turns = 0
    while not book.events:
        book.rings()
        turns += 1

    assert turns == 3
    assert book.outcome() == ("aborted", 3, 0)


def test_a_document_that_a_client_has_whole_is_complete_though_its_end_was_outstanding() -> None:
    book = Metered()
    book.asks_and_hears(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(DOCUMENT))

    book.leaves()
    book.sends(END, book.engine)

    assert book.outcome() == ("completed", 3, len(DOCUMENT))


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{",
        OK
        + b"Content-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk(b"ID3\x04" + bytes(40)),
    ],
    ids=["an error", "audio"],
)
def test_an_answer_that_can_have_no_usage_is_not_read(said: bytes) -> None:
    book = Metered()
    book.asks_and_hears(said)

    book.leaves()

    assert book.engine in book.closed
    assert book.events[0].usage_found is False


def test_an_engine_that_was_not_heard_is_cut_off() -> None:
    book = Metered()
    book.sends(ASK)

    book.leaves()

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", None, 0)
    assert not book.events[0].HasField("answer_bytes")


def test_drain_reads_every_answer_that_has_begun(rules: Callable[..., None]) -> None:
    rules(Abort.DRAIN)
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(FIRST_WORD))

    book.leaves()
    book.sends(chunk(VLLM.removeprefix(FIRST_WORD)) + chunk(VLLM_USAGE), book.engine)
    assert book.events == []
    book.sends(chunk(DONE) + END, book.engine)

    assert book.outcome() == ("aborted", 3, len(FIRST_WORD))


def test_cut_reads_nothing(rules: Callable[..., None]) -> None:
    rules(Abort.CUT)
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))

    book.leaves()

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", None, len(VLLM))


def test_no_more_is_read_than_may_be(rules: Callable[..., None]) -> None:
    rules(bytes_max=len(VLLM_USAGE))
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))

    book.leaves()
    book.sends(chunk(VLLM_USAGE), book.engine)
    assert book.engine not in book.closed
    book.sends(chunk(b": and so on\n\n"), book.engine)

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", 3, len(VLLM))
    book.sends(chunk(DONE) + END, book.engine)
    assert len(book.events) == 1


def test_no_longer_is_read_than_may_be(rules: Callable[..., None]) -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.leaves()

    book.rings()
    assert book.engine not in book.closed
    rules(timeout_s=1e-9)
    book.rings()

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", None, len(VLLM))
    assert book.layer.streams == {}


def test_a_timer_that_goes_off_later_does_nothing() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.leaves()
    book.sends(chunk(VLLM_USAGE + DONE) + END, book.engine)
    ended = list(book.closed)

    book.rings()

    assert book.closed == ended
    assert len(book.events) == 1


@pytest.mark.parametrize("broken", [b"", b"zz\r\n"])
def test_an_engine_that_breaks_off_meanwhile_ends_it(broken: bytes) -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.leaves()

    if broken:
        book.sends(broken, book.engine)
    else:
        book.leaves(book.engine)

    assert book.outcome() == ("aborted", None, len(VLLM))
    assert book.layer.streams == {}


def test_an_engine_that_is_silent_meanwhile_is_given_up() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.leaves()
    stream = book.stream
    assert stream.awaits_engine()

    GuardRules.in_force = replace(GuardRules.in_force, engine_timeout_s=1e-9)
    book.wakes(stream)

    assert book.engine in book.closed
    assert book.outcome() == ("aborted", None, len(VLLM))


def test_an_engine_that_falls_silent_after_its_client_took_nothing_is_given_up_for_its_own_silence() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    stream = book.stream
    stream.client_left = True  # as the watchdog says it
    book.wakes(stream)
    assert stream.reads_on

    GuardRules.in_force = replace(GuardRules.in_force, engine_timeout_s=1e-9)
    book.wakes(stream)

    assert book.engine in book.closed
    assert stream.exchange.engine_failure is EngineFailure.TIMED_OUT
    assert book.outcome() == ("aborted", None, len(VLLM))


@pytest.mark.parametrize(("answer", "is_read"), [(FRAMINGS["chunks"][0], True), (STREAM_HEAD, False)])
def test_a_client_that_leaves_while_the_addon_is_at_the_head_has_left_an_answer(
    answer: bytes, is_read: bool
) -> None:
    book = Metered()
    book.held = {"responseheaders"}
    book.asks_and_hears(answer)
    book.leaves()

    book.release()

    assert (book.engine in book.closed) is not is_read
    assert len(book.events) == (not is_read)


def test_an_exchange_is_under_way_until_its_event_is_written() -> None:
    book = Metered()
    book.held = {"error"}
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.leaves()
    book.sends(chunk(VLLM_USAGE + DONE) + END, book.engine)

    stream = book.stream
    assert stream.client_state == stream.state_done
    book.release()

    assert book.layer.streams == {}
    assert len(book.events) == 1


def test_a_request_that_was_sent_behind_is_never_asked() -> None:
    book = Metered()
    book.asks_and_hears(STREAM_HEAD + chunk(VLLM))
    book.sends(ASK)
    asked = book.written(book.engine)

    book.leaves()
    book.sends(chunk(VLLM_USAGE + DONE) + END, book.engine)

    assert book.outcome() == ("aborted", 3, len(VLLM))
    assert asked.count(b"POST") == 1
    assert book.written(book.engine) == b""
    assert len(book.engines) == 1


def test_a_stream_of_http_2_that_is_reset_is_read_on_beside_the_others() -> None:
    book = Metered(alpn=b"h2")
    peer = Peer(book)
    left = peer.asks()
    engine_left = book.engine
    book.sends(STREAM_HEAD + chunk(VLLM), engine_left)
    peer.hears()

    peer.resets(left)
    assert book.events == []
    peer.asks()
    book.sends(STREAM_HEAD + chunk(VLLM + VLLM_USAGE + DONE) + END, book.engine)
    book.sends(chunk(VLLM_USAGE + DONE) + END, engine_left)

    assert [(event.outcome, event.completion_tokens) for event in book.events] == [
        ("completed", 3),
        ("aborted", 3),
    ]
    assert book.client not in book.closed


def test_a_connection_of_http_2_that_is_gone_leaves_what_is_finished() -> None:
    book = Metered(alpn=b"h2")
    peer = Peer(book)
    peer.asks()
    working = book.engine
    book.sends(STREAM_HEAD + chunk(FIRST_WORD), working)
    peer.asks()
    finished = book.engine
    book.sends(STREAM_HEAD + chunk(VLLM), finished)

    book.leaves()
    assert working in book.closed
    assert finished not in book.closed
    book.sends(chunk(VLLM_USAGE + DONE) + END, finished)

    assert [event.usage_found for event in book.events] == [False, True]
    assert book.layer.streams == {}


def test_of_an_engine_of_http_2_only_the_stream_is_broken_off(rules: Callable[..., None]) -> None:
    rules(timeout_s=1e-9)
    book = Metered(engine_alpn=b"h2")
    book.sends(ASK)
    stream_head = block([(b":status", b"200"), (b"content-type", b"text/event-stream")])
    book.sends(frame(4, 0, 0, b"") + frame(1, 4, 1, stream_head) + frame(0, 0, 1, VLLM), book.engine)
    book.written(book.engine)

    book.leaves()

    assert book.written(book.engine) == frame(3, 0, 1, (8).to_bytes(4, "big"))
    assert book.closed == [book.client]
    assert book.outcome() == ("aborted", None, len(VLLM))
