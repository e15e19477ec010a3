"""No exchange is answered with bytes that came before its request was sent."""

import pytest

from phoebe_addon.proxy.quiet_engines import LOOKS_BEHIND_TLS
from tests.harness.playbook import Playbook, admit_to_tls

pytestmark = pytest.mark.usefixtures("guard_in_place")

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


def asked_once() -> Playbook:
    """A client that has its first answer, and an engine that waits for the next request."""
    book = Playbook()
    book.sends(ASK)
    book.sends(ANSWER, book.engine)
    assert book.written().endswith(b"own")
    book.writes.clear()
    return book


def test_a_quiet_engine_is_asked_again_on_the_same_connection() -> None:
    book = asked_once()

    book.sends(ASK)

    assert len(book.engines) == 1
    assert book.written(book.engine).endswith(b"\r\n\r\n{}")


def test_what_waits_unread_on_a_connection_is_not_the_answer_to_the_next_request() -> None:
    book = asked_once()
    first = book.engine
    book.unread = {first}

    book.sends(ASK)

    assert len(book.engines) == 2
    assert book.written(first) == b""
    assert book.half_closed == [first]
    assert "engine_heard" not in book.hooks, "without TLS, whatever waits is said by the engine"
    book.sends(STOLEN, first)
    assert [(each.byte_count, each.status) for each in book.unasked] == [(len(STOLEN), 200)]
    assert book.closed == [first]
    book.sends(ANSWER, book.engine)
    assert book.written().endswith(b"own")


def test_a_connection_of_which_only_the_end_waits_unread_is_not_used() -> None:
    book = asked_once()
    first = book.engine
    book.unread = {first}

    book.sends(ASK)
    book.leaves(first)
    book.sends(ANSWER, book.engine)

    assert book.written().endswith(b"own")
    assert book.unasked == []


@pytest.mark.parametrize("shown", [True, False])
def test_an_engine_that_speaks_before_it_is_asked_is_not_asked(shown: bool) -> None:
    book = Playbook(speaks_first=STOLEN if shown else b"", all_unread=not shown)

    book.sends(ASK)
    if not shown:
        book.sends(STOLEN, book.engine)

    assert book.written(book.engine) == b""
    answer = book.written()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"stolen" not in answer
    assert len(book.engines) == 1
    assert [each.byte_count for each in book.unasked] == [len(STOLEN)]
    assert book.closed == [book.engine]
    assert "error" in book.hooks


def test_an_engine_that_closes_at_once_is_not_asked_again_and_again() -> None:
    book = Playbook(all_unread=True)

    book.sends(ASK)
    book.leaves(book.engine)

    assert book.written().startswith(b"HTTP/1.1 502 ")
    assert len(book.engines) == 1
    assert book.unasked == []


def test_a_client_goes_on_after_an_engine_that_spoke_first() -> None:
    book = Playbook(speaks_first=STOLEN)
    book.sends(ASK)
    book.written()
    book.speaks_first = b""

    book.sends(ASK)
    book.sends(ANSWER, book.engine)

    assert book.written().endswith(b"own")


def test_a_connection_that_can_not_be_closed_ends_the_exchange() -> None:
    book = asked_once()
    book.all_unread = True
    book.half_closes = False

    book.sends(ASK)

    assert book.written().startswith(b"HTTP/1.1 502 ")
    assert len(book.engines) == 1


def test_an_engine_of_http_2_may_say_something_at_any_time() -> None:
    book = Playbook(engine_alpn=b"h2", all_unread=True)

    book.sends(ASK)

    assert book.half_closed == []
    assert b"PRI * HTTP/2.0" in book.written(book.engine)


def over_tls() -> Playbook:
    return Playbook(actions={"request": admit_to_tls})


def test_what_tls_itself_says_behind_the_handshake_keeps_no_engine_from_being_asked() -> None:
    book = over_tls()

    book.sends(ASK)

    assert book.hooks.count("engine_heard") == 1, "nothing waited: the test tests nothing"
    assert book.written(book.engine).endswith(b"\r\n\r\n{}")
    book.sends(ANSWER, book.engine)
    assert book.written().endswith(b"own")
    assert len(book.engines) == 1


def test_tls_that_comes_in_many_records_is_read_to_its_end() -> None:
    book = over_tls()
    book.sends(ASK)
    book.sends(ANSWER, book.engine)
    book.writes.clear()
    book.waiting[book.engine].extend([b""] * LOOKS_BEHIND_TLS)

    book.sends(ASK)

    assert len(book.engines) == 1
    assert book.written(book.engine).endswith(b"\r\n\r\n{}")


def test_an_engine_on_which_bytes_keep_coming_behind_tls_is_not_asked() -> None:
    book = over_tls()
    book.sends(ASK)
    book.sends(ANSWER, book.engine)
    first = book.engine
    book.writes.clear()
    book.waiting[first].extend([b""] * (LOOKS_BEHIND_TLS + 1))

    book.sends(ASK)

    assert book.written(first) == b""
    assert book.half_closed == [first]
    assert book.written(book.engine).endswith(b"\r\n\r\n{}")
    assert len(book.engines) == 2


def test_an_answer_that_waits_behind_tls_is_not_the_answer_to_the_next_request() -> None:
    book = over_tls()
    book.sends(ASK)
    book.sends(ANSWER, book.engine)
    first = book.engine
    book.written()
    book.writes.clear()
    book.lets_wait(STOLEN, first)

    book.sends(ASK)

    assert book.written(first) == b""
    assert [(each.byte_count, each.status) for each in book.unasked] == [(len(STOLEN), 200)]
    assert first in book.closed
    book.sends(ANSWER, book.engine)
    assert book.written().endswith(b"own")
    assert len(book.engines) == 2
