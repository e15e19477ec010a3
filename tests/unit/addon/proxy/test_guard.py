"""Nothing reaches an engine that was not admitted; what mitmproxy would answer in HTML comes as JSON."""

import json
from dataclasses import replace

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from phoebe_addon.exchange.exchange import EngineFailure
from phoebe_addon.gate.refusal import INTERNAL_ERROR
from phoebe_addon.proxy import guard
from phoebe_addon.proxy.guard_rules import GuardRules
from tests.harness.playbook import Playbook, admit

pytestmark = pytest.mark.usefixtures("guard_in_place")

LAST_WORD = "phoebe: a request was about to go to its engine while it was arrived; it was refused"
PATH = b"/v1/chat/completions"
ASK = b"POST %s HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}" % PATH
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"


def answered(book: Playbook) -> tuple[int, dict[str, object]]:
    """Read the status and the error of the one answer that a client got."""
    head, _, body = book.written().partition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.split()[1]), json.loads(body)["error"]


def test_what_was_admitted_is_asked_and_answered() -> None:
    book = Playbook()

    book.sends(ASK)
    book.sends(ANSWER, book.engine)

    assert book.hooks == ["requestheaders", "request", "responseheaders", "response"]
    assert book.written().endswith(b"own")


def test_what_no_hook_has_let_through_reaches_no_engine() -> None:
    book = Playbook(actions={})

    book.sends(ASK)

    assert book.engines == []
    status, error = answered(book)
    assert (status, error["code"]) == (500, "internal")
    assert LAST_WORD in book.logs
    assert book.exchange.refusal == INTERNAL_ERROR


def test_an_exchange_knows_what_its_client_asked_for() -> None:
    book = Playbook()

    book.sends(ASK.replace(PATH, PATH + b"?a=b"))

    assert book.exchange.path == "/v1/chat/completions"
    assert book.exchange.connection_id == book.client.id


def test_a_flow_that_is_sent_again_was_not_let_through() -> None:
    book = Playbook()
    book.sends(ASK)
    book.sends(ANSWER, book.engine)
    (flow,) = book.flows
    flow.response = None
    assert flow.metadata == {}

    for again in (flow, flow.copy()):
        replay = Playbook(actions={}, replayed=again)

        assert replay.engines == []
        assert replay.hooks == ["requestheaders", "request", "response"]
        assert LAST_WORD in replay.logs


def test_a_flow_that_no_client_sent_is_no_exchange() -> None:
    assert guard.exchange_of(tflow.tflow()) is None


def test_a_refusal_of_a_hook_goes_out_and_nothing_else() -> None:
    def refuse(flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(404, b"{}", {"Content-Type": "application/json"})

    book = Playbook(actions={"request": refuse})

    book.sends(ASK)

    assert book.engines == []
    assert book.written().startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"CONNECT engine:8000 HTTP/1.1\r\nHost: engine:8000\r\n\r\n", 405),
        (ASK.replace(b"HTTP/1.1", b"HTTP/2.0"), 505),
        (ASK.replace(b"HTTP/1.1", b"HTTP/1.2"), 505),
    ],
)
def test_what_is_not_spoken_here_is_refused_after_its_first_hook(sent: bytes, status: int) -> None:
    book = Playbook()

    book.sends(sent)

    assert book.engines == []
    assert book.hooks == ["requestheaders", "error"]
    assert answered(book)[0] == status


@pytest.mark.parametrize(
    "sent",
    [
        ASK.replace(b"Content-Length: 2", b"Content-Length: 101"),
        b"POST %s HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n%s" % (PATH, b"x" * 101),
    ],
)
def test_a_body_that_is_too_long_is_refused_at_once_and_not_kept(sent: bytes) -> None:
    GuardRules.in_force = replace(GuardRules.in_force, body_bytes_max=100)
    book = Playbook()

    book.sends(sent)

    status, error = answered(book)
    assert (status, error["code"]) == (413, "body_too_large")
    assert "100 bytes" in str(error["message"])
    assert book.layer.streams == {}
    assert book.engines == []


def test_a_body_of_just_the_limit_is_taken() -> None:
    GuardRules.in_force = replace(GuardRules.in_force, body_bytes_max=2)
    book = Playbook()

    book.sends(ASK)

    assert len(book.engines) == 1


def test_an_engine_that_can_not_be_reached_is_told_with_the_id_of_the_exchange() -> None:
    def admit_with_id(flow: http.HTTPFlow) -> None:
        admit(flow)
        flow.request.headers["X-Request-Id"] = "minted"

    book = Playbook(refused=True, actions={"request": admit_with_id})

    book.sends(ASK)

    written = book.written()
    assert written.startswith(b"HTTP/1.1 502 ")
    assert b"minted" in written
    assert b"connection refused" not in written
    assert book.exchange.engine_failure is EngineFailure.BROKE_OFF
    assert book.hooks[-1] == "error"


def test_a_client_keeps_its_connection_when_its_engine_fails_before_the_answer() -> None:
    book = Playbook()
    book.sends(ASK)
    book.leaves(book.engine)
    assert answered(book)[0] == 502

    book.sends(ASK)
    book.sends(ANSWER, book.engine)

    assert book.written().endswith(b"own")
    assert book.client not in book.closed


def test_a_client_that_has_begun_its_answer_is_cut_off_when_its_engine_fails() -> None:
    book = Playbook()
    book.actions["responseheaders"] = lambda flow: setattr(flow.response, "stream", True)
    book.sends(ASK)
    book.sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nown\r\n", book.engine)

    book.leaves(book.engine)

    assert not book.written().endswith(b"0\r\n\r\n")
    assert book.client in book.closed
    assert book.exchange.engine_failure is EngineFailure.BROKE_OFF


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: -3",
        b"Bad Name: 1\r\nContent-Length: 3",
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_a_failure_of_the_engine(head: bytes) -> None:
    book = Playbook()
    book.sends(ASK)

    book.sends(b"HTTP/1.1 200 OK\r\n%s\r\n\r\nown" % head, book.engine)

    assert answered(book)[0] == 502
    assert book.engine in book.closed
    assert book.exchange.engine_failure is EngineFailure.BROKE_OFF


def test_a_client_that_leaves_is_not_the_engines_failure() -> None:
    blamed: list[EngineFailure | None] = []
    book = Playbook()
    book.actions["error"] = lambda _flow: blamed.append(book.exchange.engine_failure)
    book.sends(ASK)

    book.leaves()

    assert blamed == [None]
    assert book.engine in book.closed


def test_an_engine_that_could_once_not_be_reached_is_tried_again() -> None:
    book = Playbook(refused=True)
    book.sends(ASK)
    assert answered(book)[0] == 502
    book.refused = False

    book.sends(ASK)
    book.sends(ANSWER, book.engine)

    assert book.written().endswith(b"own")


def test_connections_to_engines_that_are_over_are_forgotten() -> None:
    book = Playbook()
    for _ in range(3):
        book.sends(ASK)
        book.sends(ANSWER, book.engine)
        book.leaves(book.engine)

    book.sends(ASK)

    assert list(book.layer.connections) == [book.client, book.engine]


def test_the_trailers_of_a_request_do_not_go_on() -> None:
    book = Playbook()

    book.sends(b"POST %s HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH)
    book.sends(b"2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n")

    assert b"X-Trailer" not in book.written(book.engine)
