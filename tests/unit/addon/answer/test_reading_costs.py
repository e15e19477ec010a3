"""What reading an answer costs: memory is bounded and work is linear, whatever an engine sends."""

import gzip
import itertools
import json
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest

from phoebe_addon.answer import document, event_stream, json_body
from phoebe_addon.answer.body import AnswerBody, open_body
from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.answer.usage_ledger import USAGE_RAW_BYTES_MAX
from phoebe_addon.apis.usage import Usage
from tests.harness.known import family

# They look at costs, and tracing every line is one.
pytestmark = pytest.mark.untraced

SSE = "text/event-stream"
LINES = "application/x-ndjson"
JSON = "application/json"
LIMIT = 16 * 1024
# What a limit bounds may be held more than once: as bytes, as text, as parts.
HELD_BYTES_MAX = 12 * LIMIT
SENT_BYTES = 30 * LIMIT
CHUNK_BYTES = 1024
ALL_ASKS = Removal(family("openai.chat").request.usage_switches)


def opened(
    content_type: str, removal: Removal = ALL_ASKS, api: str = "openai.chat", coding: str = ""
) -> tuple[AnswerBody, AnswerReader]:
    reader = AnswerReader((family(api).answer,), RequestFacts())
    return open_body(content_type, coding, reader, removal), reader


def repeated(part: bytes, start: bytes = b"") -> Iterator[bytes]:
    """Yield many times the limit in chunks as they come from sockets."""
    yield start
    chunk = part * (CHUNK_BYTES // len(part))
    for _ in range(SENT_BYTES // len(chunk)):
        yield chunk


def peak_bytes(body: AnswerBody, chunks: Iterable[bytes]) -> int:
    """Feed chunks and return how much memory was held at most."""
    tracemalloc.start()
    try:
        for chunk in chunks:
            body.feed(chunk)
        body.finish()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that the tests need not send many megabytes."""
    for module in (document, event_stream, json_body):
        monkeypatch.setattr(module, "WHOLE_BYTES_MAX", LIMIT)
    for module in (event_stream, json_body):
        assert module.HELD_BACK_BYTES_MAX <= 64 * 2**20
        monkeypatch.setattr(module, "HELD_BACK_BYTES_MAX", LIMIT)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("content_type", "start", "part"),
    [
        (SSE, b"data: ", b"x"),
        (SSE, b"data: x\n", b"data: x\n"),
        (SSE, b"", b"data\n"),
        (SSE, b"event: x", b"y"),
        (SSE, b"", b": comment\n"),
        (SSE, b"", b": comment\r\r"),
        (LINES, b"", b"x"),
        (JSON, b'{"data":"', b"x"),
        (JSON, b'{"data":[', b"-0.25,"),
        (JSON, b'{"usage":"', b"x"),
        (JSON, b"", b"["),
        (JSON, b"", b'{"usage":'),
        (JSON, b'{"data":', b"["),
        (JSON, b"{", b'"":0,'),
        (JSON, b"[", b'{"usage":{"prompt_tokens":1}},'),
        (JSON, b"", b"\\"),
        (JSON, b"", b"\n"),
        ("", b"", b"\0"),
        ("", b"data: ", b"x"),
    ],
)
def test_a_body_without_end_is_not_kept(content_type: str, start: bytes, part: bytes) -> None:
    for removal in (ALL_ASKS, Removal()):
        body, _ = opened(content_type, removal)

        assert peak_bytes(body, repeated(part, start)) < HELD_BYTES_MAX


@pytest.mark.usefixtures("limits")
def test_a_body_that_expands_is_not_kept() -> None:
    coded = gzip.compress(b"data: " + b"x" * (10 * SENT_BYTES))
    for removal in (ALL_ASKS, Removal()):
        body, _ = opened(SSE, removal, coding="gzip")
        peak = peak_bytes(body, [coded[place : place + 100] for place in range(0, len(coded), 100)])

        assert peak < 4 * HELD_BYTES_MAX  # the decoder holds a piece of its own


def test_documents_with_usage_are_not_all_kept() -> None:
    """Each as long as can be kept for the raw usage, of more results than it is kept of."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    text = "x" * (USAGE_RAW_BYTES_MAX - 200)
    events = (
        b"data: %s\n\n"
        % json.dumps({"choices": [{"index": index % 500}], "text": text, "usage": usage}).encode()
        for index in range(1000)
    )

    body, reader = opened(SSE, Removal())

    assert peak_bytes(body, events) < 80 * USAGE_RAW_BYTES_MAX
    assert reader.answer().usage == Usage(prompt=1, completion=500)


BIG = 1_000_000


@pytest.mark.parametrize(
    ("content_type", "start", "end"),
    [
        (SSE, b'data: {"choices":[],"x":"', b'","usage":{"prompt_tokens":1}}\n\n'),
        (SSE, b'data: {"choices":[{}],"x":"', b'","usage":{"prompt_tokens":1}}\r\n\r\n'),
        (JSON, b'{"x":"', b'","usage":{"prompt_tokens":1}}'),
        ("", b'data: {"choices":[],"x":"', b'","usage":{"prompt_tokens":1}}\n\n'),
    ],
)
def test_a_megabyte_that_comes_byte_by_byte_is_read(content_type: str, start: bytes, end: bytes) -> None:
    """To look at all of it again for every byte would take hours."""
    body, reader = opened(content_type)

    for byte in itertools.chain(start, b"x" * BIG, end):
        body.feed(bytes((byte,)))
    body.finish()

    assert reader.answer().usage == Usage(prompt=1)


def test_a_megabyte_of_lines_that_comes_byte_by_byte_is_read() -> None:
    body, reader = opened(LINES, Removal(), "ollama.chat")
    content = b'{"x":"' + b"x" * BIG + b'"}\n' + b'{"done":true,"eval_count":2}\n'

    for byte in content:
        body.feed(bytes((byte,)))

    assert reader.answer().usage == Usage(completion=2)


def test_fifty_thousand_events_in_one_piece_are_read() -> None:
    """To move what follows for every event would take minutes."""
    event = b'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    body, reader = opened(SSE)

    passed = body.feed(event * 50_000)

    assert passed == b'data: {"choices":[{"index":0}]}\n\n' * 50_000
    assert reader.answer().usage == Usage(prompt=3, completion=2)


def test_the_results_of_a_large_batch_are_added_up() -> None:
    """To read the whole document for every result would take hours."""
    results = [{"text": "x" * 50, "meta_info": {"prompt_tokens": 2, "completion_tokens": 3}}] * 20_000
    reader = AnswerReader((family("sglang.generate").answer,), RequestFacts(prompts=20_000))

    reader.read_document(json.dumps(results).encode())

    assert reader.answer().usage == Usage(prompt=40_000, completion=60_000)
    assert reader.answer().usage_raw is None
