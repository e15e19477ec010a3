"""A model server that behaves as several real ones do, on the scripted engine. A token is a word.

Every answer has eight generated tokens. A prompt that comes again comes from the cache, in whole blocks.
"""

import gzip
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rig.chat_answers import CHAT, DONE, compact, event, usage_of
from tests.harness.engine import LAST_CHUNK, EngineRequest, Line

MODEL = "meta/llama"
GENERATED = 8
_BLOCK = 16

type Json = dict[str, Any]


@dataclass(slots=True)
class PretendEngine:
    """What an engine does.

    pages: what GET answers, by path. headers: of every answer. apis: the paths it serves. model: the name it
    answers with; None: none. echoes: it answers with the name it was asked for. open_to_all: it serves
    whatever model it is asked for. refuses: members of requests that it does not take.

    plain_usage, streams_usage (if asked), streams_unasked, continuous (if asked): where it reports usage.
    cached, cached_in_streams: whether that has the cached tokens. caches: whether there are any. spoiled,
    spoiled_in_streams: members of the usage that are otherwise.

    dies_after: so many chunks of a stream. never_ends: its streams have no end mark. key: it wants this one.
    status: what it answers to everything. compressed: its documents are, whatever was asked for. labels:
    media types it sends in place of others. named_coding: what it says that its streams are in.
    """

    pages: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    apis: frozenset[str] = frozenset({"/v1/chat/completions"})
    model: str | None = MODEL
    echoes: bool = False
    open_to_all: bool = False
    refuses: frozenset[str] = frozenset()
    plain_usage: bool = True
    streams_usage: bool = True
    streams_unasked: bool = False
    continuous: bool = False
    cached: bool = True
    cached_in_streams: bool = True
    caches: bool = True
    spoiled: Mapping[str, object] = field(default_factory=dict)
    spoiled_in_streams: Mapping[str, object] = field(default_factory=dict)
    dies_after: int | None = None
    never_ends: bool = False
    key: str | None = None
    compressed: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    named_coding: str | None = None
    status: str | None = None
    _seen: set[str] = field(default_factory=set)

    def __call__(self, request: EngineRequest, line: Line) -> None:
        """Answer a request."""
        # As real servers do: otherwise each stream waits for 40 ms.
        line.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            self._document(line, _error(f"Incorrect API key provided: {given}"), "401 Unauthorized")
        elif self.status:
            self._document(line, _error("not now"), self.status)
        elif request.method == "GET":
            self._page(request.path, line)
        elif request.path in self.apis:
            self._serve(request.path, json.loads(request.body), line)
        else:
            self._document(line, {"detail": "Not Found"}, "404 Not Found")

    def _page(self, path: str, line: Line) -> None:
        if path in self.pages:
            self._document(line, self.pages[path])
        else:
            self._document(line, {"detail": "Not Found"}, "404 Not Found")

    def _serve(self, path: str, body: Json, line: Line) -> None:
        asked = body.get("model")
        options = body.get("stream_options") or {}
        unknown = self.refuses & {*body, *options}
        if unknown:
            self._document(line, _error(f"Unknown parameter: {min(unknown)}"), "400 Bad Request")
            return
        if asked not in {MODEL, None} and not (self.echoes or self.open_to_all):
            self._document(line, _error(f"The model {asked} does not exist."), "404 Not Found")
            return
        model = asked if self.echoes else self.model
        prompt, cached = self._read(body)
        if path == "/v1/embeddings":
            usage = {"prompt_tokens": prompt, "total_tokens": prompt}
            self._document(line, {"object": "list", "model": model, "data": [], "usage": usage})
        elif path == "/v1/messages":
            self._messages(body, model, prompt, cached, line)
        elif path == "/api/chat":
            self._ollama(body, model, prompt, line)
        else:
            self._chat(body, model, prompt, cached, line)

    def _read(self, body: Json) -> tuple[int, int]:
        text = json.dumps(body.get("messages", body.get("input", body.get("prompt"))))
        prompt = len(text.split())
        cached = (prompt - 1) // _BLOCK * _BLOCK if text in self._seen and self.caches else 0
        self._seen.add(text)
        return prompt, cached

    def _usage(self, prompt: int, generated: int, cached: int, *, streamed: bool) -> Json:
        reported = self.cached and (self.cached_in_streams or not streamed)
        usage = usage_of(prompt, generated, cached if reported else None)
        return {**usage, **(self.spoiled_in_streams if streamed else self.spoiled)}

    def _chat(self, body: Json, model: str | None, prompt: int, cached: int, line: Line) -> None:
        head: Json = {"id": "c-1", **({"model": model} if model else {})}
        if body.get("stream"):
            self._stream(line, self._chunks(head, body.get("stream_options") or {}, prompt, cached))
            return
        choice = CHAT.choice("eight words", "length")
        usage = self._usage(prompt, GENERATED, cached, streamed=False)
        answer = {**head, "choices": [choice], "usage": usage}
        self._document(line, answer if self.plain_usage else {**head, "choices": [choice]})

    def _chunks(self, head: Json, options: Json, prompt: int, cached: int) -> Iterator[bytes]:
        asked = self.streams_unasked or (self.streams_usage and options.get("include_usage"))
        running = asked and self.continuous and options.get("continuous_usage_stats")
        for count in range(GENERATED + 1):
            reason = "length" if count == GENERATED else None
            choice = CHAT.piece("word ", reason)
            usage = {"usage": {"prompt_tokens": prompt, "completion_tokens": count}} if running else {}
            yield event({**head, "choices": [choice], **usage})
        if asked:
            yield event(
                {**head, "choices": [], "usage": self._usage(prompt, GENERATED, cached, streamed=True)}
            )
        if not self.never_ends:
            yield DONE

    def _messages(self, body: Json, model: str | None, prompt: int, cached: int, line: Line) -> None:
        cached = cached if "cache_control" in json.dumps(body) else 0
        counts = {"input_tokens": prompt - cached, "cache_read_input_tokens": cached}
        if not body["stream"]:
            usage = {**counts, "output_tokens": GENERATED}
            self._document(line, {"model": model, "stop_reason": "max_tokens", "usage": usage})
            return
        start = {"model": model, "usage": {**counts, "output_tokens": 1}}
        end = {"delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": GENERATED}}
        word = {"delta": {"type": "text_delta", "text": "word "}}
        events: list[tuple[str, Json]] = [
            ("message_start", {"message": start}),
            *[("content_block_delta", word)] * GENERATED,
            ("message_delta", end),
            ("message_stop", {}),
        ]
        self._stream(
            line, [f"event: {name}\n".encode() + event({"type": name, **data}) for name, data in events]
        )

    def _ollama(self, body: Json, model: str | None, prompt: int, line: Line) -> None:
        words = {"model": model, "message": {"role": "assistant", "content": "word "}, "done": False}
        counts = {"prompt_eval_count": prompt, "eval_count": GENERATED}
        last = {**words, "done": True, "done_reason": "length", **counts}
        if body.get("stream") is False:
            self._document(line, last)
            return
        lines = [json.dumps(each).encode() + b"\n" for each in (*[words] * GENERATED, last)]
        self._stream(line, lines, "application/x-ndjson")

    def _stream(self, line: Line, chunks: Iterable[bytes], content_type: str = "text/event-stream") -> None:
        coding = {"Content-Encoding": self.named_coding} if self.named_coding else {}
        headers = {"Content-Type": content_type, "Transfer-Encoding": "chunked", **coding}
        line.send(self._head("200 OK", headers))
        for number, chunk in enumerate(chunks):
            if number == self.dies_after:
                raise ConnectionError("the engine has crashed")
            line.send_chunk(chunk)
        line.send(LAST_CHUNK)

    def _document(self, line: Line, body: Mapping[str, object], status: str = "200 OK") -> None:
        content = compact(body)
        headers = {"Content-Type": "application/json"}
        if self.compressed:
            content, headers["Content-Encoding"] = gzip.compress(content), "gzip"
        line.send(self._head(status, {**headers, "Content-Length": str(len(content))}) + content)

    def _head(self, status: str, headers: Mapping[str, str]) -> bytes:
        sent = {**self.headers, **headers, "Content-Type": self._label(headers["Content-Type"])}
        lines = (f"{name}: {value}" for name, value in sent.items())
        return "\r\n".join((f"HTTP/1.1 {status}", *lines, "\r\n")).encode()

    def _label(self, content_type: str) -> str:
        return self.labels.get(content_type, content_type)


def models_of(owner: str, *names: str) -> Json:
    """Make the page that lists models."""
    data = [{"id": name, "object": "model", "owned_by": owner} for name in names or (MODEL,)]
    return {"object": "list", "data": data}


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error"}}
