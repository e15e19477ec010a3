"""Whose turn it is on an exchange, and what becomes of it when that side is silent for too long."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from mitmproxy import http

from phoebe_addon.exchange.exchange import EngineFailure
from phoebe_addon.proxy.guard_rules import GuardRules
from tests.harness.playbook import Playbook

pytestmark = pytest.mark.usefixtures("guard_in_place")

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"


@pytest.fixture
def no_patience() -> Iterator[None]:
    """Limits that are over as soon as they begin."""
    before = GuardRules.in_force
    GuardRules.in_force = replace(before, engine_timeout_s=1e-9, request_timeout_s=1e-9)
    yield
    GuardRules.in_force = before


def streaming() -> Playbook:
    def stream(flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True

    book = Playbook()
    book.actions["responseheaders"] = stream
    return book


def turns(book: Playbook) -> tuple[bool, bool]:
    """Whether the client is awaited, and whether the engine is."""
    return book.stream.awaits_client(), book.stream.awaits_engine()


def test_the_turn_passes_from_the_client_to_the_engine() -> None:
    book = Playbook()

    book.sends(ASK[:-1])
    assert turns(book) == (True, False)
    book.sends(ASK[-1:])
    assert turns(book) == (False, True)
    book.sends(HEAD + b"ow", book.engine)
    assert turns(book) == (False, True)
    book.sends(b"n", book.engine)
    assert book.layer.streams == {}


def test_it_is_nobodys_turn_while_the_addon_is_at_work() -> None:
    book = Playbook(held={"request"})

    book.sends(ASK)
    assert turns(book) == (False, False)
    book.release()
    assert turns(book) == (False, True)
    book.held = {"responseheaders"}
    book.sends(HEAD, book.engine)
    assert turns(book) == (False, False)
    book.release()
    assert turns(book) == (False, True)


def test_an_engine_that_is_connected_to_is_awaited_with_its_connection() -> None:
    book = Playbook(connects_at_once=False)

    book.sends(ASK)

    assert turns(book) == (False, True)
    connection = book.stream.connecting()
    assert connection is not None
    assert connection.address == ("engine", 8000)


@pytest.mark.usefixtures("no_patience")
def test_an_engine_that_says_nothing_is_given_up_with_504() -> None:
    book = Playbook()
    book.sends(ASK)

    book.wakes(book.stream)

    assert book.written().startswith(b"HTTP/1.1 504 ")
    assert book.engine in book.closed
    assert book.exchange.engine_failure is EngineFailure.TIMED_OUT
    assert book.client not in book.closed


@pytest.mark.usefixtures("no_patience")
def test_an_engine_that_stops_within_its_answer_is_given_up_and_the_client_cut_off() -> None:
    book = streaming()
    book.sends(ASK)
    book.sends(STREAM, book.engine)

    book.wakes(book.stream)

    assert not book.written().endswith(b"0\r\n\r\n")
    assert {book.client, book.engine} <= set(book.closed)
    assert book.exchange.engine_failure is EngineFailure.TIMED_OUT


def test_an_engine_that_spoke_while_the_watchdog_waited_is_let_go_on() -> None:
    book = Playbook()
    book.sends(ASK)

    book.wakes(book.stream)
    book.sends(HEAD + b"own", book.engine)

    assert book.written().endswith(b"own")
    assert book.closed == []


@pytest.mark.usefixtures("no_patience")
def test_a_request_that_does_not_come_to_its_end_is_refused_and_its_client_sent_away() -> None:
    book = Playbook()
    book.sends(ASK[:-1])

    book.wakes(book.stream)

    written = book.written()
    assert written.startswith(b"HTTP/1.1 408 ")
    assert b"too_slow" in written
    assert book.closed == [book.client]
    assert book.engines == []


def test_a_client_that_takes_nothing_ends_its_exchange() -> None:
    blamed: list[EngineFailure | None] = []
    book = streaming()
    book.actions["error"] = lambda _flow: blamed.append(book.exchange.engine_failure)
    book.sends(ASK)
    book.sends(STREAM, book.engine)
    stream = book.stream
    stream.client_left = True

    book.wakes(stream)

    assert blamed == [None]
    assert {book.client, book.engine} <= set(book.closed)
