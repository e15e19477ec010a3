"""HTTP/1: what is bounded, what is dropped, and after what a connection is not used again."""

import gc
import weakref
from dataclasses import replace

import pytest
from mitmproxy import http

from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.http1 import BoundedHttp1Server
from tests.harness.playbook import Playbook

pytestmark = pytest.mark.usefixtures("guard_in_place")

KIB = 1024


def ask(body: bytes = b"{}", method: bytes = b"POST", more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s /v1/chat/completions HTTP/1.1\r\nHost: p\r\n%s%s\r\n%s" % (method, more, length, body)


def answer(body: bytes = b"own", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


ASK, ANSWER, STOLEN = ask(), answer(), answer(b"stolen")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nown\r\n0\r\n%s\r\n"


def asked(sent: bytes = ASK) -> Playbook:
    """A client that waits for its answer."""
    book = Playbook()
    book.sends(sent)
    return book


@pytest.mark.parametrize("body", [b"{}", b"x" * 64 * KIB])
def test_a_request_reaches_its_engine_in_one_write(body: bytes) -> None:
    book = asked(ask(body))

    (written,) = book.writes[book.engine]
    assert written.endswith(b"\r\n\r\n" + body)


def test_a_request_without_a_body_reaches_its_engine_in_one_write() -> None:
    book = asked(ask(b"", b"GET"))

    (written,) = book.writes[book.engine]
    assert written.startswith(b"GET /v1/chat/completions HTTP/1.1\r\n")
    assert written.endswith(b"\r\n\r\n")


def test_a_buffered_answer_reaches_its_client_in_one_write() -> None:
    book = asked()
    book.sends(ANSWER, book.engine)

    (written,) = book.writes[book.client]
    assert written.endswith(b"\r\n\r\nown")


def test_of_a_long_answer_the_beginning_goes_out_with_the_head_and_the_rest_once() -> None:
    body = bytes(range(256)) * 1024
    book = asked()
    book.sends(answer(body), book.engine)

    first, rest = book.writes[book.client]
    head, _, begun = first.partition(b"\r\n\r\n")
    assert len(begun) == 64 * KIB
    assert begun + rest == body
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [b"204 No Content", b"200 OK"])
def test_an_answer_without_a_body_reaches_its_client_at_once(status: bytes) -> None:
    book = asked()
    book.sends(answer(b"", status), book.engine)

    (written,) = book.writes[book.client]
    assert written.startswith(b"HTTP/1.1 " + status)


def test_the_head_of_a_stream_does_not_wait_for_its_body() -> None:
    book = asked()
    book.actions["responseheaders"] = lambda flow: setattr(flow.response, "stream", True)
    book.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", book.engine)

    (written,) = book.writes[book.client]
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_waits_for_100_continue_gets_it_before_its_body() -> None:
    book = Playbook()
    head, body = ask(more=b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
    book.sends(head + b"\r\n\r\n")

    assert book.writes[book.client] == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    book.sends(body)
    book.sends(ANSWER, book.engine)
    assert book.writes[book.client][1].endswith(b"\r\n\r\nown")


def test_of_many_pieces_of_a_buffered_answer_with_chunks_the_client_gets_one() -> None:
    book = asked()
    book.sends(CHUNKED % b"", book.engine)

    head, end = book.writes[book.client]
    assert head.endswith(b"\r\n\r\n3\r\nown\r\n")
    assert end == b"0\r\n\r\n"


def test_a_stream_that_is_over_is_gone_at_once_with_all_that_it_holds() -> None:
    gc.disable()
    try:
        book = asked()
        stream = weakref.ref(book.layer.streams[1])
        assert stream()
        book.sends(ANSWER, book.engine)

        assert stream() is None
    finally:
        gc.enable()


def test_of_a_long_body_the_beginning_goes_out_with_the_head_and_the_rest_once() -> None:
    body = bytes(range(256)) * 1024
    book = asked(ask(body))

    first, rest = book.writes[book.engine]
    head, _, begun = first.partition(b"\r\n\r\n")
    assert len(begun) == 64 * KIB
    assert begun + rest == body
    assert b"POST" in head


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (ANSWER + STOLEN, len(STOLEN)),
        (ANSWER + b"\r\n", 2),
        (CHUNKED % b"" + STOLEN, len(STOLEN)),
        (CHUNKED % b"X-Trailer: 1\r\n" + STOLEN, len(STOLEN)),
        (answer(b"") + STOLEN, len(STOLEN)),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nown" + STOLEN, len(STOLEN)),
        (b"HTTP/1.1 204 No Content\r\n\r\n" + STOLEN, len(STOLEN)),
        (answer(b"no", b"400 Bad Request") + STOLEN, len(STOLEN)),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_what_comes_behind_an_answer_is_nobodys_and_ends_the_connection(
    reply: bytes, count: int, together: bool
) -> None:
    book = asked()
    first = book.engine

    cuts = [reply] if together else [reply[:-count], reply[-count:]]
    for piece in cuts:
        if first not in book.closed:
            book.sends(piece, first)

    assert first in book.closed
    assert b"stolen" not in book.written()
    assert not any("stolen" in line for line in book.logs)
    if together:
        (unasked,) = book.unasked
        assert (unasked.engine, unasked.byte_count) == ("engine:8000", count)
    if book.client not in book.closed:  # else: the engine's answer ended it too
        book.sends(ASK)
        book.sends(ANSWER, book.engine)
        assert len(book.engines) == 2
        assert book.written().endswith(b"own")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (STOLEN, 200),
        (b"HTTP/1.0 408 Request Timeout\r\n\r\n", 408),
        (b"HTTP/1.1 2000 No\r\n", None),
        (b"x", None),
    ],
)
def test_what_comes_while_nothing_is_asked_is_told_by_its_length_and_status(
    data: bytes, status: int | None
) -> None:
    book = asked()
    book.sends(ANSWER, book.engine)

    book.sends(data, book.engine)

    (unasked,) = book.unasked
    assert (unasked.byte_count, unasked.status) == (len(data), status)
    assert book.closed == [book.engine]


@pytest.mark.parametrize(
    ("sent", "reply", "kept"),
    [
        (ASK, ANSWER, True),
        (ASK, CHUNKED % b"", True),
        (ask(b"", b"GET"), ANSWER, True),
        (ask(b"", b"GET"), answer(b"no", b"404 Not Found"), True),
        (ASK, answer(b"no", b"399 Any"), True),
        # The body may be unread.
        (ASK, answer(b"no", b"400 Bad Request"), False),
        (ASK, answer(b"no", b"503 Busy"), False),
        # A body may follow where there is none.
        (ask(b"", b"GET"), b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (ask(b"", b"GET"), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n", False),
        (ask(b"", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", False),
        (ask(b"", b"HEAD"), b"HTTP/1.1 200 OK\r\n\r\n", False),
        # The engine goes, or HTTP itself says that it does.
        (ASK, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (ASK, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_a_connection_is_used_again_only_if_it_is_plain_where_the_next_answer_begins(
    sent: bytes, reply: bytes, kept: bool
) -> None:
    book = asked(sent)
    first = book.engine

    book.sends(reply, first)
    book.sends(ASK)

    assert (first not in book.closed) == kept
    assert len(book.engines) == (1 if kept or book.client in book.closed else 2)
    assert book.unasked == []


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_interim_answers_are_dropped_wherever_they_are_cut(cut: int) -> None:
    book = asked()
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"

    book.sends(interim[:cut], book.engine)
    book.sends(interim[cut:] + ANSWER, book.engine)

    written = book.written()
    assert written.startswith(b"HTTP/1.1 200 OK")
    assert written.endswith(b"own")
    assert book.unasked == []


def test_an_engine_whose_head_has_no_end_is_given_up() -> None:
    book = asked()

    book.sends(b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 64 * KIB, book.engine)

    assert book.written().startswith(b"HTTP/1.1 502 ")
    assert book.engine in book.closed


def test_the_trailers_of_an_answer_are_dropped_and_its_end_is_not() -> None:
    book = asked()

    book.sends(CHUNKED % b"X-Sum: 1\r\nX-More: 2\r\n", book.engine)

    assert b"X-Sum" not in book.written()
    assert book.flows[0].response
    assert book.flows[0].response.raw_content == b"own"
    assert book.layer.streams == {}


def test_a_head_without_end_is_refused_and_its_client_sent_away() -> None:
    book = Playbook()

    book.sends(b"GET / HTTP/1.1\r\nX-Endless: " + b"x" * 64 * KIB)

    assert book.written().startswith(b"HTTP/1.1 431 ")
    assert book.closed == [book.client]


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_whole_head_that_is_too_long_is_refused_however_it_comes(pieces: int) -> None:
    book = Playbook()
    head = b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 64 * KIB + b"\r\n\r\n"

    half = len(head) // pieces
    for start in range(0, len(head), half):
        book.sends(head[start : start + half])

    assert book.written().startswith(b"HTTP/1.1 431 ")
    assert book.flows == []


def test_a_head_of_all_the_bytes_that_it_may_have_is_taken() -> None:
    book = Playbook()
    start, end = b"GET / HTTP/1.1\r\nHost: p\r\nX-Long: ", b"\r\n\r\n"

    book.sends(start + b"x" * (64 * KIB - len(start + end)) + end + b"x" * 10)

    assert len(book.flows) == 1


def test_what_is_not_a_request_is_refused_and_not_told_to_the_log() -> None:
    book = Playbook()

    book.sends(b"GET secret\r\n\r\n")

    assert book.written().startswith(b"HTTP/1.1 400 ")
    assert book.logs == ["a client's request is not well-formed or is cut short"]


def test_a_client_that_leaves_within_a_head_is_not_told_to_the_log() -> None:
    book = Playbook()

    book.sends(b"GET /secret HTT")
    book.leaves()

    assert book.logs == ["a client's request is not well-formed or is cut short"]


def test_the_answer_to_what_is_not_a_request_is_json() -> None:
    book = Playbook()

    book.sends(b"rubbish\r\n\r\n")

    head, _, body = book.written().partition(b"\r\n\r\n")
    assert b"application/json" in head
    assert b"Connection: close" in head.replace(b"connection", b"Connection")
    assert b'"bad_http"' in body


def test_what_a_client_sends_before_its_answer_is_bounded() -> None:
    GuardRules.in_force = replace(GuardRules.in_force, body_bytes_max=1000)
    book = asked()

    book.sends(b"x" * (64 * KIB + 1000))
    assert book.closed == []
    book.sends(b"x")
    assert book.closed[0] is book.client


def test_requests_that_wait_are_answered_one_after_the_other() -> None:
    book = asked(ASK + ASK)
    assert book.writes[book.engine] == [book.writes[book.engine][0]]

    for _ in range(2):
        book.sends(ANSWER, book.engine)

    assert book.written().count(b"own") == 2
    assert len(book.engines) == 1


def test_the_chunks_of_a_stream_go_on_as_they_come() -> None:
    def stream(flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True

    book = Playbook()
    book.actions["responseheaders"] = stream
    book.sends(ASK)
    head, first, second, end = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"),
    )

    for piece in (head, first, second, end):
        book.sends(piece, book.engine)

    assert book.writes[book.client][1:] == [first, second, end]


def test_since_when_a_head_is_awaited_is_known_from_its_first_byte_to_its_last() -> None:
    book = Playbook()

    def awaits_head() -> bool:
        server = book.layer.connections[book.client]
        assert isinstance(server, BoundedHttp1Server)
        return server.head_began_s is not None

    awaited = [awaits_head()]
    for data, connection in ((ASK[:9], None), (ASK[9:], None), (ANSWER, "engine"), (b"P", None)):
        book.sends(data, book.engine if connection else None)
        awaited.append(awaits_head())

    assert awaited == [True, True, False, False, True]
