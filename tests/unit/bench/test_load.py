"""What the benchmarks' clients send, and how they read what comes."""

import json

from bench import engine
from bench.engine import CHUNKS_AROUND, plain_answer, stream_writes
from bench.load import AnswerReader, Work, request_bytes

PLAIN = Work(connections=3, tokens=50, seconds=0.05)
STREAMED = Work(connections=4, tokens=2, seconds=None)


def test_the_same_request_goes_to_both_sides_and_names_no_port() -> None:
    head, _, body = request_bytes(STREAMED, 7).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Host: 127.0.0.1\r\n" in head
    request = json.loads(body)
    assert (request["stream"], request["max_tokens"], request["seed"]) == (True, 2, 7)
    assert "stream" not in json.loads(request_bytes(PLAIN, 7).partition(b"\r\n\r\n")[2])


def test_an_answer_is_complete_however_it_is_cut() -> None:
    answer = engine.STREAM_HEAD + b"".join(stream_writes(2))
    for cut in range(1, len(answer)):
        reader = AnswerReader()
        assert not reader.feed(answer[:cut])
        assert reader.feed(answer[cut:])
        assert reader.events == 2 + CHUNKS_AROUND


def test_a_head_that_ends_like_a_body_is_not_taken_for_one() -> None:
    reader = AnswerReader()
    assert not reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-Id: 10\r\n\r\n")
    assert reader.feed(b"0\r\n\r\n")


def test_a_body_with_a_length_is_complete_with_its_last_byte() -> None:
    answer = plain_answer(50)
    reader = AnswerReader()
    assert not reader.feed(answer[:-1])
    assert reader.feed(answer[-1:])
