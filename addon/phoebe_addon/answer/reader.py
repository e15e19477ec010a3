"""Reading what an answer says, by the facts of its family: model, usage, finish reason, errors, its end.

Nothing an engine sends makes it raise. Usage is read only where the format puts it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from phoebe_addon.answer.document import Document, parse, skimmed
from phoebe_addon.answer.relevance import relevance_of
from phoebe_addon.answer.usage_by_model import FurtherUsage, is_nothing
from phoebe_addon.answer.usage_ledger import USAGE_RAW_BYTES_MAX, ResultKey, UsageLedger, result_key
from phoebe_addon.answer.wanted import wanted_in_chunks, wanted_in_documents
from phoebe_addon.apis.engines import UNDECLARED, Engine
from phoebe_addon.apis.family import AnswerFormat, Fold, UsagePlace, counts_among, has_mark, value_at
from phoebe_addon.apis.usage import MalformedUsageError, Usage
from phoebe_addon.formats.json_members import element_texts
from phoebe_addon.formats.json_skimmer import Result

DONE = b"[DONE]"
_DONE_BYTES_MAX = 64  # with the whitespace around it


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer so far.

    model: the first the engine named, or the one that it handed over to. usage: of that model; None when it
    gave none that can be billed on. further: what other models used. usage_raw: the usage object as the
    engine sent it, also when malformed; several as a JSON array; None when there was none or it is longer
    than 16 KiB. malformed: a count in it is not a whole number. bad_details: counts that are taken as not
    reported, because the engine put something other than an object where they stand. finished: the engine
    said that it had finished, or all of a document was there. failed: it sent an error. unreadable: its
    content coding is not known, or its bytes are not what that says. garbled: something in it looks like a
    document and can't be read as one. format: which of the formats its path allows it has.
    """

    model: str | None = None
    usage: Usage | None = None
    usage_raw: str | None = None
    malformed: bool = False
    bad_details: frozenset[str] = frozenset()
    finish_reason: str | None = None
    finished: bool = False
    failed: bool = False
    unreadable: bool = False
    format: int = 0
    garbled: bool = False
    further: tuple[FurtherUsage, ...] = ()


class ChunkUsage(Enum):
    """What usage a chunk of a stream carries."""

    NONE = auto()
    PLACEHOLDER = (
        auto()
    )  # zeros, with choices: an engine that is asked for usage may have none before the end
    RUNNING = auto()  # with choices
    FINAL = auto()  # without choices, or with empty ones behind the end, and without an error


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What was asked, and of which engine, as far as the answer is read by it.

    prompts: how many, 1 or more. samples: answers for each prompt, 1 or more.
    """

    prompts: int = 1
    samples: int = 1
    engine: Engine = UNDECLARED


class AnswerReader:
    """Collects what the documents of one answer say: one document, or the chunks of a stream.

    formats: those its path allows, the one the request was made for first. The answer's own shape decides.
    ends_with_body: whether nothing but the end of the body says that the answer is whole.
    """

    def __init__(self, formats: tuple[AnswerFormat, ...], request_facts: RequestFacts) -> None:
        self._readers = [_FormatReader(each, request_facts) for each in formats]
        self._relevances = [relevance_of(each) for each in formats]
        self.ends_with_body = formats[0].ends_with_body
        self.wanted_in_chunks = wanted_in_chunks(formats)
        self.wanted_in_documents = wanted_in_documents(formats)
        self._done = False
        self._failed = False
        self._unreadable = False
        self._garbled = False
        self._in_results = False  # some of a document's results are read, and the document is not whole
        self._unread: bytes | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come, by the end mark of a stream."""
        return self._done

    @property
    def is_finished(self) -> bool:
        """Whether all of the answer is there: the engine said so, or a document was whole."""
        return self._done or any(reader.is_finished for reader in self._readers)

    @property
    def has_last_words(self) -> bool:
        """Whether the engine of a stream has finished, or a text or a call and has begun no other."""
        return any(reader.has_last_words for reader in self._readers)

    def read_headers(self, headers: Mapping[str, str]) -> None:
        """Read what the answer's headers say. headers: by lower-case name."""
        for reader in self._readers:
            reader.read_headers(headers)

    def read_document(self, content: bytes) -> bool:
        """Read the whole answer of a request that was not streamed. Returns whether it is JSON."""
        self._read_what_is_left()
        document = parse(content)
        if document is None:
            return False
        for reader in self._readers:
            reader.read_document(document)
        self._done = True
        self._in_results = False
        return True

    def read_results(self, results: list[Result]) -> None:
        """Read results of a document. They count once `read_document` has read the rest of it."""
        self._read_what_is_left()
        for result in results:
            self._in_results = True
            document = parse(result.text)
            if document is not None:
                for reader in self._readers:
                    reader.read_result(document, result)

    def read_chunk(self, data: bytes) -> ChunkUsage:
        """Read the data of one event of a stream, or one line, and say what usage it carries."""
        self._read_what_is_left()
        if len(data) < _DONE_BYTES_MAX and data.strip() == DONE:
            self._done = True
            return ChunkUsage.NONE
        if self.is_irrelevant(data):
            return ChunkUsage.NONE
        document = parse(data) or self._skim_chunk(data)
        if document is None:
            self._garbled |= data.lstrip().startswith((b"{", b"["))
            return ChunkUsage.NONE
        usages = [reader.read_chunk(document) for reader in self._readers]
        return next((usage for usage in usages if usage is not ChunkUsage.NONE), ChunkUsage.NONE)

    @property
    def may_read_later(self) -> bool:
        """Whether nothing counts of the last chunk once one follows that differs in text and counts alone.

        True as long as no chunk has ended the answer, where each states the running usage of one result.
        """
        return len(self._readers) == 1 and self._readers[0].is_steady

    def read_later(self, data: bytes) -> None:
        """Take a chunk that differs from one that was read in text and counts alone, while `may_read_later`.

        It is read when something else comes, or somebody wants to know what is known. If another such chunk
        comes first, it need not be read.
        """
        self._unread = data

    def _read_what_is_left(self) -> None:
        unread, self._unread = self._unread, None
        if unread is not None:
            self.read_chunk(unread)

    def _skim_chunk(self, data: bytes) -> Document | None:
        short = skimmed(data, self.wanted_in_chunks).document()
        return parse(short) if short else None

    def is_irrelevant(self, data: bytes) -> bool:
        """Whether bytes of a stream repeat only what is known, wherever their events end."""
        for reader, relevance in zip(self._readers, self._relevances, strict=True):
            if reader.model is None or not relevance.is_irrelevant(data):
                return False
        return DONE not in data

    def read_garbled(self) -> None:
        """Take note of a document that is whole and can't be read."""
        self._garbled = True

    def read_error(self) -> None:
        """Take note of an error that no document states: an event of that name, a document that was cut."""
        self._failed = True

    def read_damage(self) -> None:
        """Take note that the body can't be decoded, or no further."""
        self._unreadable = True

    def answer(self) -> Answer:
        """Return what is known so far."""
        self._read_what_is_left()
        if self._in_results:
            return Answer(failed=self._failed, unreadable=self._unreadable, garbled=self._garbled)
        answers = [reader.answer() for reader in self._readers]
        telling = (
            number
            for number, each in enumerate(answers)
            if each.usage or each.usage_raw or each.malformed or each.further
        )
        best = next(telling, 0)
        return replace(
            answers[best],
            format=best,
            finished=self.is_finished,
            failed=self._failed or any(each.failed for each in answers),
            unreadable=self._unreadable,
            garbled=self._garbled,
        )


class _FormatReader:
    """Reads the documents of one answer by the facts of one format."""

    def __init__(self, form: AnswerFormat, request_facts: RequestFacts) -> None:
        self._format = form
        self._asked = request_facts
        per_prompt = (
            None if form.fold is Fold.CHOICES and request_facts.prompts == 1 else request_facts.samples
        )
        self._ledgers = [
            UsageLedger(_place_for(place, request_facts.engine), form.fold, per_prompt)
            for place in form.usage
        ]
        self._unnamed_ledgers = [UsageLedger(place, Fold.MERGE, 1) for place in form.unnamed_usage]
        self._header_ledger: UsageLedger | None = None
        self._final_usages = 0
        self._next_model: str | None = None
        self.model: str | None = None
        self._finish_reason: str | None = None
        self.is_finished = False
        self._said_last_words = False
        self.failed = False

    @property
    def is_steady(self) -> bool:
        """Whether a chunk leaves nothing behind but the usage that it states of the one result there is."""
        form = self._format
        asks_more = form.ends or form.last_words or form.first_words or form.handover or form.unnamed_usage
        return (
            form.fold is Fold.CHOICES
            and not asks_more
            and self._asked.prompts == self._asked.samples == 1
            and self.model is not None
            and not (self.has_last_words or self.failed)
        )

    @property
    def has_last_words(self) -> bool:
        return self._said_last_words or self.is_finished or self._finish_reason is not None

    def read_headers(self, headers: Mapping[str, str]) -> None:
        counts = self._format.header_usage
        if counts:
            block = {name: _header_count(value) for name, value in headers.items()}
            self._header_ledger = UsageLedger(counts_among(counts, ""), Fold.LAST, 1)
            document = Document(block, json.dumps(block))
            self._state([self._header_ledger], document, result_key("", 0), final=True)
        for name in self._format.header_documents:
            stated = parse(headers.get(name, "").encode("utf-8", "surrogateescape"))
            if stated is not None:
                self.read_document(stated)

    def read_document(self, document: Document) -> None:
        for index, result in enumerate(self._results_of(document)):
            self._read_result(result, index)

    def read_result(self, document: Document, result: Result) -> None:
        if result.place in self._format.results:
            self._read_result(document, result.index)

    def _read_result(self, document: Document, index: int) -> None:
        self._read(document.value)
        self._state(self._ledgers, document, result_key("", index), final=True)
        self._state(self._unnamed_ledgers, document, result_key("", 0), final=True)

    def read_chunk(self, read: Document) -> ChunkUsage:
        document = read.value
        if not isinstance(document, dict):
            return ChunkUsage.NONE
        has_ended = self._finish_reason is not None
        error = self._read(document)
        self._state(self._unnamed_ledgers, read, result_key("", 0), final=False)
        if self._format.fold is not Fold.CHOICES:
            index = document.get("index") if self._format.fold is Fold.LAST else None
            self._state(self._ledgers, read, result_key("", index), final=False)
            return ChunkUsage.NONE
        found = [ledger.find(document) for ledger in self._ledgers]
        if not any(found):
            return ChunkUsage.NONE
        choices = document.get("choices")
        if has_ended and _add_nothing(choices):
            choices = None  # TensorX and OpenRouter put their final usage on a choice that is empty
        key = self._choice_key(document.get("id"), choices)
        stated = [
            usage is not None and ledger.state(usage, read.text, key, final=not choices)
            for ledger, usage in zip(self._ledgers, found, strict=True)
        ]
        if not found[0]:
            return ChunkUsage.NONE
        if choices:
            return ChunkUsage.RUNNING if stated[0] else ChunkUsage.PLACEHOLDER
        self._final_usages += 1
        # An error is for the client, whatever comes with it.
        return ChunkUsage.NONE if error else ChunkUsage.FINAL

    def _state(self, ledgers: list[UsageLedger], document: Document, key: ResultKey, *, final: bool) -> None:
        for ledger in ledgers:
            usage = ledger.find(document.value)
            if usage and ledger.state(usage, document.text, key, final=final) and self._next_model:
                self.model = self._next_model

    def answer(self) -> Answer:
        ledgers = [*self._ledgers, self._header_ledger] if self._header_ledger else self._ledgers
        model = self.model or next(filter(None, (ledger.own_name(None) for ledger in ledgers)), None)
        known = Answer(
            model=model or self._next_model,
            finish_reason=self._finish_reason,
            failed=self.failed,
            bad_details=frozenset(name for ledger in self._ledgers for name in ledger.bad_details),
            further=self._further(model),
        )
        usage: Usage | None = None
        raw: str | None = None
        for ledger in ledgers:
            raw = raw or _join(ledger.raw())
            try:
                stated = ledger.usage(model)
            except MalformedUsageError:
                if usage is None or not usage.is_billable():
                    return replace(known, malformed=True, usage_raw=raw)
                continue
            if stated is not None:
                usage = usage.filled_from(stated) if usage else stated
        return replace(known, usage=usage if usage and usage.is_billable() else None, usage_raw=raw)

    def _further(self, model: str | None) -> tuple[FurtherUsage, ...]:
        named = [each for ledger in self._ledgers for each in ledger.further(model)]
        unnamed = [_unnamed_usage(ledger) for ledger in self._unnamed_ledgers]
        return (*named, *(each for each in unnamed if each is not None))

    def _read(self, document: object) -> bool:
        """Read all but the usage. Returns whether it is an error."""
        form = self._format
        for place in form.models if self.model is None else ():
            model = value_at(document, place)
            if isinstance(model, str) and model:
                self.model = model
                break
        if form.handover and has_mark(document, (form.handover.mark,)):
            self._read_handover(value_at(document, form.handover.model))
        error = has_mark(document, form.failures)
        ended = has_mark(document, form.ends)
        self.failed |= error
        self.is_finished |= ended
        if has_mark(document, form.first_words):
            self._said_last_words = False
        self._said_last_words |= has_mark(document, form.last_words)
        if ended or error or not form.finish_reason_at_end:
            self._read_finish_reason(document)
        return error

    def _read_handover(self, model: object) -> None:
        if isinstance(model, str) and model:
            self._next_model = model

    def _read_finish_reason(self, document: object) -> None:
        for place in self._format.finish_reasons:
            reason = value_at(document, place)
            if isinstance(reason, str) and reason:
                self._finish_reason = reason
                return

    def _results_of(self, document: Document) -> list[Document]:
        for place in self._format.results:
            results = value_at(document.value, place)
            if isinstance(results, list):
                return list(map(Document, results, element_texts(document.text, place)))
        return [document]

    def _choice_key(self, chunk_id: object, choices: object) -> ResultKey:
        if not choices:
            return result_key(chunk_id, self._final_usages if self._asked.engine.usage_per_result else 0)
        first = choices[0] if isinstance(choices, list) else None
        index = first.get("index") if isinstance(first, dict) else None
        # One prompt's choices are told apart by their index alone, should every chunk have an id of its own.
        return result_key(chunk_id if self._asked.prompts > 1 else None, index)


def _add_nothing(choices: object) -> bool:
    """Whether the choices of a chunk have neither content nor a reason to finish."""
    return isinstance(choices, list) and all(
        isinstance(choice, dict)
        and not any(value for name, value in choice.items() if name not in {"index", "delta"})
        and _is_empty_delta(choice.get("delta"))
        for choice in choices
    )


def _is_empty_delta(delta: object) -> bool:
    return not delta or (isinstance(delta, dict) and not any(delta[name] for name in delta.keys() - {"role"}))


def _unnamed_usage(ledger: UsageLedger) -> FurtherUsage | None:
    """Return the usage of a model that the answer does not name; None: there is none."""
    raw = _join(ledger.raw())
    try:
        usage = ledger.usage()
    except MalformedUsageError:
        return FurtherUsage(None, None, raw)
    if usage is None or is_nothing(usage):
        return None
    return FurtherUsage(None, usage if usage.is_billable() else None, raw)


def _place_for(place: UsagePlace, engine: Engine) -> UsagePlace:
    """Adapt a place to an engine that counts cached tokens otherwise than the format says."""
    if not engine.cached_in_prompt:
        return place
    return replace(place, counts=place.counts.with_cached_in_prompt())


def _header_count(value: str) -> object:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else value


def _join(raws: list[str] | None) -> str | None:
    if not raws:
        return None
    joined = raws[0] if len(raws) == 1 else f"[{','.join(raws)}]"
    return joined if len(joined.encode()) <= USAGE_RAW_BYTES_MAX else None
