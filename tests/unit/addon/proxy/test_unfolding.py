"""Chunks that unfold to much: they are read in turns, and the answer goes on in order."""

import pytest
from mitmproxy import http

from phoebe_addon.answer.body import STEP_BYTES
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import Stage
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.proxy.watched_answer import read_buffered
from tests.harness.content_codings import encode
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.exchanges import admission
from tests.unit.addon.proxy.test_leaving import ASK, END, NOW, OK, Metered, chunk

pytestmark = pytest.mark.usefixtures("guard_in_place")

FILLER = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' * 1000
CODED = encode("gzip", FILLER + VLLM + VLLM_USAGE + DONE)
CODED_HEAD = (
    OK + b"Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
)
MIDDLE = len(CODED) - 60


def reading(first: bytes = CODED) -> Metered:
    """An exchange of which a chunk is being read."""
    book = Metered()
    book.held = {"long_reading"}
    book.asks_and_hears(CODED_HEAD + chunk(first))
    assert book.stream.reads_in_turns
    return book


def body_of(written: bytes) -> bytes:
    """What the chunks of an answer hold."""
    _, _, rest = written.partition(b"\r\n\r\n")
    body = b""
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(length, 16)], rest[int(length, 16) + 2 :]
    return body


def test_what_comes_meanwhile_waits_and_goes_on_in_order() -> None:
    book = reading(CODED[:MIDDLE])
    book.sends(chunk(CODED[MIDDLE:]) + END, book.engine)

    assert b"text/event-stream" in book.written()
    assert book.stream.waiting_bytes() == len(CODED) - MIDDLE
    assert not book.stream.awaits_engine()
    assert book.events == []

    book.release()
    assert body_of(b"\r\n\r\n" + book.written()) == CODED
    assert book.outcome() == ("completed", 3, len(CODED))


def test_a_stream_in_no_coding_waits_for_nothing() -> None:
    book = Metered()
    book.asks_and_hears(CODED_HEAD.replace(b"Content-Encoding: gzip\r\n", b"") + chunk(FILLER))

    assert "long_reading" not in book.hooks
    assert book.stream.exchange.stage is Stage.ANSWERING


def test_a_client_that_leaves_meanwhile_has_left_when_that_is_read() -> None:
    book = reading(encode("gzip", FILLER + VLLM)[:-8])
    book.leaves()
    assert book.events == []

    book.release()
    assert book.stream.reads_on
    assert book.stream.exchange.read_on


def test_what_is_read_without_the_client_is_read_in_turns_as_well() -> None:
    start = encode("gzip", VLLM)
    book = Metered()
    book.asks_and_hears(CODED_HEAD + chunk(start))
    book.leaves()
    assert book.stream.reads_on

    book.held = {"long_reading"}
    book.sends(chunk(encode("gzip", FILLER + VLLM_USAGE + DONE)) + END, book.engine)
    assert book.events == []
    book.release()

    assert book.outcome() == ("aborted", 3, len(start))


def test_a_document_that_comes_whole_is_read_in_steps_of_what_it_unfolds_to() -> None:
    document = b'{"model":"m","text":"%s","usage":{"prompt_tokens":17,"completion_tokens":3}}' % (
        b"x" * 10**6
    )
    metering = Metering(admission())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = http.Response.make(200, b"", headers)
    response.raw_content = encode("gzip", document)
    assert len(response.raw_content) < STEP_BYTES
    metering.answer_began(200, {name.lower(): value for name, value in headers.items()})

    steps = sum(1 for _ in read_buffered(metering, response))

    assert steps >= len(document) // STEP_BYTES
    assert response.raw_content == encode("gzip", document)
    assert metering.events(Ending.ANSWER_COMPLETE, NOW)[0].completion_tokens == 3


def test_a_request_behind_waits_until_all_is_read() -> None:
    book = reading()
    book.sends(END, book.engine)
    book.sends(ASK)
    assert len(book.events) == 0

    book.release()
    assert book.outcome() == ("completed", 3, len(CODED))
    assert book.written(book.engine).count(b"POST") == 2
