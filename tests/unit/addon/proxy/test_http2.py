"""HTTP/2: streams that are opened only to be reset, and answers that nobody asked for."""

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from phoebe_addon.proxy import http2
from tests.harness.hostile_http2 import PREFACE, block, frame
from tests.harness.playbook import Playbook

pytestmark = pytest.mark.usefixtures("guard_in_place")

FIELDS = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "proxy"),
    (":path", "/v1/chat/completions"),
    ("content-length", "2"),
]
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"
EMPTY_SETTINGS = frame(4, 0, 0, b"")


class Peer:
    """A client of HTTP/2 at a playbook."""

    def __init__(self, book: Playbook) -> None:
        self.book = book
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if data := self.connection.data_to_send():
            self.book.sends(data)

    def asks(self, *, resets: bool = False) -> int:
        """Send a request. resets: it is reset in the same bytes as it ends in."""
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, FIELDS)
        self.flush()
        self.connection.send_data(stream_id, b"{}", end_stream=True)
        if resets:
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        self.flush()
        return stream_id

    def resets(self, stream_id: int) -> None:
        self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def hears(self) -> list[h2.events.Event]:
        return self.connection.receive_data(self.book.written())


def test_each_exchange_has_a_connection_of_its_own_to_an_engine_of_http_1() -> None:
    book = Playbook(alpn=b"h2")
    peer = Peer(book)

    for _ in range(2):
        peer.asks()
        book.sends(ANSWER, book.engine)

    answers = [event.data for event in peer.hears() if isinstance(event, h2.events.DataReceived)]
    assert b"".join(answers) == b"ownown"
    assert book.closed == book.engines
    assert len(book.engines) == 2
    assert all(len(book.writes[engine]) == 1 for engine in book.engines)


@pytest.mark.parametrize("at_once", [True, False], ids=["with its end", "after its end"])
def test_a_request_that_is_reset_before_it_is_admitted_is_not_asked(at_once: bool) -> None:
    book = Playbook(alpn=b"h2", held={"request"})
    peer = Peer(book)
    stream_id = peer.asks(resets=at_once)
    if not at_once:
        peer.resets(stream_id)
    assert book.hooks == ["requestheaders", "request"]

    book.release()

    assert book.engines == []
    assert "error" in book.hooks
    assert book.layer.streams == {}


def test_a_request_that_is_reset_while_its_engine_is_connected_to_is_not_asked() -> None:
    book = Playbook(alpn=b"h2", connects_at_once=False)
    peer = Peer(book)
    left, stays = peer.asks(), peer.asks()
    peer.resets(left)

    book.connects()

    assert sorted(len(book.written(engine)) > 0 for engine in book.engines) == [False, True]
    assert list(book.layer.streams) == [stays]
    assert book.hooks.count("error") == 1


def opened_and_reset(peer: Peer, count: int) -> None:
    for _ in range(count):
        if peer.book.client in peer.book.closed:
            return
        stream_id = peer.connection.get_next_available_stream_id()
        peer.connection.send_headers(stream_id, FIELDS)
        peer.resets(stream_id)


@pytest.fixture
def five_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are not counted, for there to be less to do."""
    monkeypatch.setattr(http2, "_RESETS_MAX", 5)


@pytest.mark.usefixtures("five_resets")
def test_a_client_that_only_resets_what_it_opens_is_sent_away() -> None:
    book = Playbook(alpn=b"h2")
    peer = Peer(book)

    opened_and_reset(peer, 5)
    assert book.closed == []
    opened_and_reset(peer, 1)

    assert book.closed == [book.client]
    (end,) = (event for event in peer.hears() if isinstance(event, h2.events.ConnectionTerminated))
    assert end.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.usefixtures("five_resets")
def test_a_client_may_reset_as_many_as_it_lets_be_answered() -> None:
    book = Playbook(alpn=b"h2")
    peer = Peer(book)
    for _ in range(8):
        peer.asks()
        book.sends(ANSWER, book.engine)
        peer.hears()

    opened_and_reset(peer, 8)

    assert book.client not in book.closed
    opened_and_reset(peer, 1)
    assert book.client in book.closed


@pytest.mark.usefixtures("five_resets")
def test_what_is_reset_once_it_is_answered_is_not_counted() -> None:
    book = Playbook(alpn=b"h2")
    book.actions["responseheaders"] = lambda flow: setattr(flow.response, "stream", True)
    peer = Peer(book)

    for _ in range(6):
        stream_id = peer.asks()
        book.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", book.engine)
        peer.hears()
        peer.resets(stream_id)

    assert book.client not in book.closed


class Engine:
    """An engine of HTTP/2 at a playbook, which writes its own frames."""

    def __init__(self, book: Playbook) -> None:
        self.book = book
        self.config = h2.config.H2Configuration(client_side=False)

    def sends(self, *frames: bytes) -> None:
        self.book.sends(b"".join(frames), self.book.engine)


OK = block([(b":status", b"200"), (b"content-length", b"6")])


def head(stream_id: int) -> bytes:
    return frame(1, 4, stream_id, OK)


def body(stream_id: int) -> bytes:
    return frame(0, 1, stream_id, b"stolen")


@pytest.mark.parametrize(
    "frames",
    [
        head(3) + body(3),
        head(2) + body(2),
        frame(1, 4, 2, block([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")])),
        body(3),
        frame(5, 4, 1, (2).to_bytes(4, "big") + block([(b":method", b"GET")])),
        frame(8, 0, 0, bytes(4)),
    ],
    ids=["an answer to come", "an answer of its own", "a request", "a body", "a promise", "no window"],
)
def test_an_engine_of_http_2_that_says_what_nobody_asked_for_is_closed_and_told(frames: bytes) -> None:
    book = Playbook(engine_alpn=b"h2")
    engine = Engine(book)
    book.sends(ASK)
    engine.sends(EMPTY_SETTINGS, head(1), frame(0, 1, 1, b"stolen"))
    assert book.written().endswith(b"stolen")
    first = book.engine

    engine.sends(frames)

    assert book.closed == [first]
    (unasked,) = book.unasked
    assert (unasked.engine, unasked.byte_count) == ("engine:8000", len(frames))
    book.sends(ASK)
    assert book.engine is not first
    assert book.written() == b""


def test_an_answer_of_http_2_that_comes_before_its_request_is_nobodys() -> None:
    book = Playbook(engine_alpn=b"h2", speaks_first=EMPTY_SETTINGS + head(1) + body(1))

    book.sends(ASK)

    assert book.engine in book.closed
    answer = book.written()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"stolen" not in answer


def test_settings_and_pings_of_an_engine_that_is_not_asked_are_fine() -> None:
    book = Playbook(engine_alpn=b"h2")
    engine = Engine(book)
    book.sends(ASK)
    engine.sends(EMPTY_SETTINGS, head(1), body(1))

    engine.sends(EMPTY_SETTINGS, frame(6, 0, 0, bytes(8)))

    assert book.closed == book.unasked == []


def test_what_a_client_sends_that_is_not_http_2_is_not_an_engines() -> None:
    book = Playbook(alpn=b"h2")

    book.sends(PREFACE[:-1] + b"x" * 40)

    assert book.closed == [book.client]
    assert book.unasked == []
