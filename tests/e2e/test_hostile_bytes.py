"""Whatever bytes come to the proxy's port: it lives, serves, and nothing reaches an engine without an event.

HOSTILE_ROUNDS says how often the random parts are tried. What fails is printed in the smallest form
found, with how to see it again.
"""

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import hostile_http1, hostile_http2
from tests.harness.events import EventRecorder
from tests.harness.hostile_http2 import IDENTITY as FIELDS
from tests.harness.hostile_http2 import PREFACE, REQUEST, frame, request
from tests.harness.hostile_stand import Stand, in_clear, in_tls, send_all
from tests.harness.tls_client import open_http2
from tests.harness.witness_engine import WitnessEngine

ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "12"))
MIB_GROWN_MAX = 40

hostile = settings(
    max_examples=ROUNDS, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def hostile_rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def stand(hostile_rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("stand"), hostile_rater, WitnessEngine())
    yield made
    made.close()


@hostile
@given(st.lists(hostile_http1.in_pieces(), min_size=1, max_size=8))
def test_no_http_1_bytes_break_the_proxy_or_pass_it_unmetered(stand: Stand, sent: list[list[bytes]]) -> None:
    send_all(stand, sent, in_clear(stand))
    stand.check()


@hostile
@given(st.lists(hostile_http2.connections(), min_size=1, max_size=4))
def test_no_http_2_bytes_break_the_proxy_or_pass_it_unmetered(stand: Stand, sent: list[bytes]) -> None:
    send_all(stand, [[each] for each in sent], in_tls(stand))
    stand.check()


GOOD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-Saturn-Auth-Id: a\r\nX-Saturn-Resource-Id: r\r\n"
BODY, SMUGGLED = hostile_http1.BODY, hostile_http1.SMUGGLED
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: 13\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (GOOD + LENGTH + b"\r\n" + BODY, 200),
        (GOOD + CHUNKED + b"\r\nd;a=b\r\n" + BODY + b"\r\n0\r\nX-Saturn-Auth-Id: b\r\n\r\n", 200),
        (GOOD + LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED, 400),
        (GOOD + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED, 400),
        (GOOD + LENGTH + LENGTH + b"\r\n" + BODY, 400),
        (GOOD + b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + BODY, 400),
        (GOOD + b"Content-Length: +13\r\n\r\n" + BODY, 400),
        (GOOD + b"Content-Length: -1\r\n\r\n" + BODY, 400),
        (GOOD + b"Content-Length : 13\r\n\r\n" + BODY, 400),
        (GOOD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (GOOD + b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED, 400),
        (GOOD + b"X-Any: a\r\n X-Saturn-Auth-Id: b\r\n" + LENGTH + b"\r\n" + BODY, 400),
        (GOOD + b"X-Any: a\rX-Saturn-Auth-Id: b\r\n" + LENGTH + b"\r\n" + BODY, 400),
        (GOOD + b"X-Any: a\x00\r\n" + LENGTH + b"\r\n" + BODY, 400),
        (GOOD + b"X-Any: 1\r\n" * 300 + LENGTH + b"\r\n" + BODY, 431),
        (GOOD.replace(b"completions", b"completions?\xff") + LENGTH + b"\r\n" + BODY, 400),
        (GOOD.replace(b"HTTP/1.1", b"HTTP/2.0") + LENGTH + b"\r\n" + BODY, 505),
        (GOOD.replace(b"HTTP/1.1", b"HTTP/1.9") + LENGTH + b"\r\n" + BODY, 505),
        (GOOD.replace(b" /v1", b" http://evil.invalid/v1") + LENGTH + b"\r\n" + BODY, 200),
        (GOOD.replace(b"Host: h\r\n", b"") + LENGTH + b"\r\n" + BODY, 200),
        (GOOD.replace(b"Host: h\r\n", b"Host: a\r\nHost: b\r\n") + LENGTH + b"\r\n" + BODY, 200),
        (GOOD.replace(b"\r\n", b"\n") + LENGTH + b"\r\n" + BODY, 200),
        (GOOD.replace(b"POST", b"post") + LENGTH + b"\r\n" + BODY, 405),
        (GOOD + b"Upgrade: h2c\r\n" + LENGTH + b"\r\n" + BODY, 501),
        (PREFACE + frame(4, 0, 0, b""), 400),
    ],
)
def test_what_two_parsers_could_read_in_two_ways_is_refused_or_made_plain(
    stand: Stand, sent: bytes, expected: int
) -> None:
    (answer,) = send_all(stand, [[sent]], in_clear(stand), answered=True)
    assert statuses(answer)[:1] == [expected]
    assert len(stand.engine.seen) == (expected == 200)
    if expected == 200:
        reached = stand.engine.seen[-1]
        assert (reached.method, reached.target) == ("POST", "/v1/chat/completions")
        assert reached.header(b"host") == [f"127.0.0.1:{stand.engine.port}".encode()]
        assert reached.header(b"content-length") == [b"13"]
        assert reached.body == BODY
    stand.check()


def test_a_body_of_http_2_that_says_no_length_goes_on_with_one_and_only_where_there_may_be_one(
    stand: Stand,
) -> None:
    models = ((b":method", b"GET"), *REQUEST[1:3], (b":path", b"/v1/models"), *FIELDS)
    tokens = (*REQUEST[:3], (b":path", b"/tokenize"), *FIELDS)
    asked = (request(1, SMUGGLED, models), request(3, SMUGGLED, tokens), request(5))
    stand.check()
    send_all(stand, [[PREFACE + frame(4, 0, 0, b"") + b"".join(asked)]], in_tls(stand))
    (seen,) = stand.engine.seen
    assert (seen.target, seen.body, seen.header(b"content-length")) == (
        "/v1/chat/completions",
        BODY,
        [b"13"],
    )
    stand.check()


@pytest.mark.parametrize("cut", [10, 100, 150, 200, 250])
def test_a_stream_that_is_reset_at_any_moment_is_metered_once_or_not_at_all(stand: Stand, cut: int) -> None:
    whole = request(1)
    reset = frame(3, 0, 1, (8).to_bytes(4, "big"))
    parts = (whole[:cut], reset) if cut >= len(whole) else (whole, reset)
    send_all(stand, [[PREFACE + frame(4, 0, 0, b""), *parts]] * 10, in_tls(stand))
    stand.check()


def flood_of(frames: bytes) -> bytes:
    return PREFACE + frame(4, 0, 0, b"") + frames


FLOODS = {
    "settings": flood_of(frame(4, 0, 0, b"\x00\x04\x00\x00\xff\xff") * 20_000),
    "pings": flood_of(frame(6, 0, 0, bytes(8)) * 20_000),
    "continuations": flood_of(frame(1, 0, 1, b"") + frame(9, 0, 1, b"") * 20_000),
    "empty data": flood_of(
        frame(1, 4, 1, hostile_http2.block((*REQUEST, *FIELDS))) + frame(0, 0, 1, b"") * 20_000
    ),
    "priorities": flood_of(b"".join(frame(2, 0, 2 * n + 1, bytes(5)) for n in range(1, 20_000))),
    "unknown frames": flood_of(frame(200, 0, 0, b"x" * 100) * 20_000),
    "windows": flood_of(request(1) + frame(8, 0, 1, (1).to_bytes(4, "big")) * 20_000),
    "header bomb": flood_of(frame(1, 5, 1, b"\x40\x01a\x7f\x81\x1e" + b"a" * 4000 + b"\xbe" * 12_000)),
    "heads": flood_of(
        b"".join(frame(1, 4, 2 * n + 1, hostile_http2.block((*REQUEST, *FIELDS))) for n in range(2_000))
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_frames_costs_no_memory_and_nobody_else_their_answer(stand: Stand, name: str) -> None:
    send_all(stand, [[FLOODS[name]]], in_tls(stand))
    stand.check()
    before = stand.memory_mib()
    for _ in range(3):
        send_all(stand, [[FLOODS[name]]] * 2, in_tls(stand))
    stand.check()
    assert stand.memory_mib() - before < MIB_GROWN_MAX


def test_a_client_that_only_opens_streams_to_reset_them_loses_its_connection(stand: Stand) -> None:
    head = hostile_http2.block((*REQUEST, *FIELDS))
    streams = (
        frame(1, 4, 2 * n + 1, head) + frame(3, 0, 2 * n + 1, (8).to_bytes(4, "big")) for n in range(600)
    )
    with open_http2(stand.proxy) as connection:
        connection.sendall(flood_of(b"".join(streams)))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"opens streams only to reset them" in answer
    stand.check()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\x16\x03\x01\xff\xff" + bytes(5), *[bytes(30_000)] * 4],
        [b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", *[bytes(30_000)] * 4],
        [
            b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16_380),
            *[b"\x16\x03\x01\x40\x00" + bytes(16_384)] * 30,
        ],
    ],
    ids=["no hello", "damaged hello", "endless hello"],
)
def test_a_tls_handshake_that_is_none_ends_without_a_crash_and_without_its_bytes_in_the_log(
    stand: Stand, pieces: list[bytes]
) -> None:
    logged = len(stand.proxy.log())
    send_all(stand, [pieces] * 20, in_clear(stand))
    stand.check()
    assert "TLS handshake failed" in stand.proxy.log()  # once a minute
    assert len(stand.proxy.log()) - logged < 40_000


def test_thousands_of_hostile_connections_leave_no_memory_behind(stand: Stand) -> None:
    shapes = [
        [GOOD + b"X-Any: "],
        [b"\x16\x03\x01"],
        [GOOD + b"Content-Length: 99\r\n\r\nx"],
        [b"GET /"],
        [b"\x00"],
    ]
    for _ in range(20):
        send_all(stand, shapes * 4, in_clear(stand))
    stand.check()
    before = stand.memory_mib()
    for _ in range(40):
        send_all(stand, shapes * 8, in_clear(stand))
    stand.check()
    assert stand.memory_mib() - before < MIB_GROWN_MAX
