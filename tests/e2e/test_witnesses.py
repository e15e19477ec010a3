"""Engines that read HTTP otherwise than the proxy bear witness to what reaches them, whatever comes.

Each of them saw every exchange that was answered once, nothing that was not let through, and no body where a
request has none. HOSTILE_ROUNDS says how often the random parts are tried. `make test-witnesses` has
more engines.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import hostile_http1, hostile_http2
from tests.harness.events import EventRecorder
from tests.harness.hostile_http1 import BODY, SMUGGLED
from tests.harness.hostile_stand import Stand, in_clear, in_tls, send_all
from tests.harness.unread_bodies import UnreadBodiesEngine
from tests.harness.witnesses.process_witness import WITNESSES, NoWitnessError

ROUNDS = int(os.environ.get("HOSTILE_ROUNDS", "8"))

hostile = settings(
    max_examples=ROUNDS, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", params=["http.server", *WITNESSES])
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("witness")
    rater = EventRecorder()
    try:
        engine = UnreadBodiesEngine() if request.param == "http.server" else WITNESSES[request.param](folder)
    except NoWitnessError as missing:
        rater.close()
        pytest.skip(f"{request.param}: {missing}")
    made = Stand(folder, rater, engine)
    yield made
    made.check()  # of what came late
    made.close()
    rater.close()


@hostile
@given(st.lists(hostile_http1.in_pieces(), min_size=1, max_size=8))
def test_of_any_http_1_bytes_the_engine_sees_what_was_let_through(
    stand: Stand, sent: list[list[bytes]]
) -> None:
    send_all(stand, sent, in_clear(stand))
    stand.check()


@hostile
@given(st.lists(hostile_http2.connections(), min_size=1, max_size=4))
def test_of_any_http_2_bytes_the_engine_sees_what_was_let_through(stand: Stand, sent: list[bytes]) -> None:
    send_all(stand, [[each] for each in sent], in_tls(stand))
    stand.check()


IDENTITY = b"Host: h\r\nX-Saturn-Auth-Id: a\r\nX-Saturn-Resource-Id: r\r\n"
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n" + IDENTITY
FREE = b"POST /tokenize HTTP/1.1\r\n" + IDENTITY
LENGTH = b"Content-Length: %d\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"


def of_method(method: bytes, path: bytes = b"/v1/models") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\n" + IDENTITY


CARRIERS = [
    *(of_method(method) + LENGTH % len(SMUGGLED) + SMUGGLED for method in (b"GET", b"HEAD", b"OPTIONS")),
    of_method(b"GET", b"/health") + CHUNKED % (len(SMUGGLED), SMUGGLED),
    of_method(b"GET") + b"Expect: 100-continue\r\n" + LENGTH % len(SMUGGLED) + SMUGGLED,
    of_method(b"GET") + b"content_length: 5\r\n" + LENGTH % len(SMUGGLED) + SMUGGLED,
    of_method(b"DELETE", b"/v1/responses/r") + LENGTH % len(SMUGGLED) + SMUGGLED,
    FREE + LENGTH % len(SMUGGLED) + SMUGGLED,
    FREE + CHUNKED % (len(SMUGGLED), SMUGGLED),
    FREE + LENGTH % (len(BODY) + len(SMUGGLED)) + BODY + SMUGGLED,
    CHAT + LENGTH % (len(BODY) + len(SMUGGLED)) + BODY + SMUGGLED,
    CHAT + CHUNKED % (len(BODY), BODY),
    CHAT + b"Content-Length: 13\r\n" + CHUNKED % (len(SMUGGLED), SMUGGLED),
]
CLEAN = of_method(b"GET") + b"\r\n" + CHAT + LENGTH % len(BODY) + BODY + FREE + LENGTH % len(BODY) + BODY


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_no_request_is_carried_in_another(stand: Stand, pieces: int) -> None:
    """Behind each that tries to, a neighbour's come on the same connection, together or in pieces."""
    sent = []
    for carrier in CARRIERS:
        whole = carrier + CLEAN
        step = -(-len(whole) // pieces)
        sent.append([whole[start : start + step] for start in range(0, len(whole), step)])

    send_all(stand, sent, in_clear(stand))

    assert all(each.body in {b"", BODY} for each in stand.engine.seen)
    stand.check()
