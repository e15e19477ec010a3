"""Reading answers of the OpenAI chat and completions APIs: model, usage, finish reason, errors.

How engines differ, and what is made of it:
- Usage on a chunk without choices is final for the chunk's `id`. TensorRT-LLM sends one for each prompt,
  each with an id of its own: they are added up.
- Usage on chunks with choices is cumulative for its choice (vLLM's continuous usage; TGI puts one on the last
  chunk of each prompt). It counts only if no final usage came: completion tokens are added over choices,
  prompt tokens only if the request had several prompts.
- An error may come inside a stream that began well; `[DONE]` after it means nothing.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto

from .json_members import document_members, last_member
from .usage import MalformedUsageError, Usage, add_usages, read_openai_usage

USAGE_RAW_BYTES_MAX = 16 * 1024
# More than any request asks for. Together they bound what an engine can make the proxy keep.
PARTS_MAX = 1024
_CHUNK_ID_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer so far.

    model: the first the engine named. usage: None when it gave none that can be billed on. usage_raw: the
    usage block as the engine sent it, also when malformed; several as a JSON array; None when there was none
    or it is longer than 16 KiB. finished: the engine said that it had finished. failed: it sent an error.
    """

    model: str | None = None
    usage: Usage | None = None
    usage_raw: str | None = None
    malformed: bool = False
    finish_reason: str | None = None
    finished: bool = False
    failed: bool = False


class ChunkUsage(Enum):
    """What usage a chunk of a stream carries: running (with choices) or final (with no choices, no error)."""

    NONE = auto()
    RUNNING = auto()
    FINAL = auto()


@dataclass(frozen=True, slots=True)
class _UsageBlock:
    """usage: None when malformed. document: a JSON object with it; None when it is too long to be kept."""

    usage: Usage | None
    document: str | None

    def raw(self) -> str | None:
        return None if self.document is None else _raw_usage(self.document)


def _usage_block(usage: dict[str, object], document: str) -> _UsageBlock:
    shortened: str | None = document
    if len(document) > USAGE_RAW_BYTES_MAX:
        raw = _raw_usage(document)
        shortened = f'{{"usage":{raw}}}' if len(raw) <= USAGE_RAW_BYTES_MAX else None
    try:
        return _UsageBlock(read_openai_usage(usage), shortened)
    except MalformedUsageError:
        return _UsageBlock(None, shortened)


def _raw_usage(document: str) -> str:
    member = last_member(document_members(document), "usage")
    assert member
    return document[member.start : member.end]


class OpenAIAnswerReader:
    """Collects what the JSON documents of one answer say: one document, or the chunks of a stream.

    prompt_count: prompts in the request, 1 or more. No document makes it raise.
    """

    def __init__(self, prompt_count: int) -> None:
        self._prompt_count = prompt_count
        self._model: str | None = None
        self._finish_reason: str | None = None
        self._finished = False
        self._failed = False
        self._final: dict[str, _UsageBlock] = {}  # by chunk id
        self._running: dict[tuple[str, int], _UsageBlock] = {}  # by chunk id and choice index

    def read_document(self, content: bytes) -> None:
        """Read the whole answer of a request that was not streamed."""
        document = self._read(content)
        if document is not None:
            usage = document.get("usage")
            if isinstance(usage, dict):
                self._final[""] = _usage_block(usage, content.decode())
            self._finished = not self._failed

    def read_chunk(self, data: bytes) -> ChunkUsage:
        """Read the data of one event of a stream and say what usage it carries."""
        if data.strip() == b"[DONE]":
            self._finished = True
            return ChunkUsage.NONE
        chunk = self._read(data)
        usage = chunk.get("usage") if chunk else None
        if chunk is None or not isinstance(usage, dict):
            return ChunkUsage.NONE
        block = _usage_block(usage, data.decode())
        chunk_id = chunk.get("id")
        key = chunk_id[:_CHUNK_ID_LENGTH_MAX] if isinstance(chunk_id, str) else ""
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            _put(self._final, key, block)
            # An error is for the client, whatever comes with it.
            return ChunkUsage.NONE if chunk.get("error") else ChunkUsage.FINAL
        index = choices[0].get("index") if isinstance(choices[0], dict) else None
        _put(self._running, (key, index if isinstance(index, int) else 0), block)
        return ChunkUsage.RUNNING

    def answer(self) -> Answer:
        """Return what is known so far."""
        known = Answer(
            model=self._model,
            finish_reason=self._finish_reason,
            finished=self._finished,
            failed=self._failed,
        )
        blocks = list((self._final or self._running).values())
        if not blocks:
            return known
        known = replace(known, usage_raw=_join([block.raw() for block in blocks]))
        usages = [block.usage for block in blocks if block.usage is not None]
        if len(usages) < len(blocks):
            return replace(known, malformed=True)
        try:
            usage = self._total(usages)
        except MalformedUsageError:
            return replace(known, malformed=True)
        return replace(known, usage=usage if usage.is_billable() else None)

    def _total(self, usages: list[Usage]) -> Usage:
        if len(usages) == 1:
            return usages[0]
        total = add_usages(usages)
        if self._final or self._prompt_count > 1:
            return total
        # Several choices of one prompt: each chunk repeats the prompt's counts.
        return replace(total, prompt=usages[-1].prompt, cached=usages[-1].cached)

    def _read(self, content: bytes) -> dict[str, object] | None:
        try:
            document = json.loads(content.decode())
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        model = document.get("model")
        if self._model is None and isinstance(model, str) and model:
            self._model = model
        if document.get("error"):
            self._failed = True
        self._read_choices(document.get("choices"))
        return document

    def _read_choices(self, choices: object) -> None:
        for choice in choices if isinstance(choices, list) else ():
            reason = choice.get("finish_reason") if isinstance(choice, dict) else None
            if isinstance(reason, str) and reason:
                self._finish_reason = reason


def _join(raws: list[str | None]) -> str | None:
    known = [raw for raw in raws if raw is not None]
    joined = known[0] if len(known) == 1 else f"[{','.join(known)}]"
    return joined if len(known) == len(raws) and len(joined.encode()) <= USAGE_RAW_BYTES_MAX else None


def _put[K](blocks: dict[K, _UsageBlock], key: K, block: _UsageBlock) -> None:
    if key in blocks or len(blocks) < PARTS_MAX:
        blocks[key] = block
