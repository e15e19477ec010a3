"""One admitted exchange, from admission to the one event it makes.

    ADMITTED ──answer_began──► ANSWERING ──end──► ENDED
        └──────────────end────────────────────────▲

Pure: times are passed in, and what to do with the event is the caller's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto

from phoebe_addon.answer.body import AnswerBody, Removal, UnreadableBody, open_body
from phoebe_addon.answer.reader import Answer, AnswerReader, RequestFacts
from phoebe_addon.apis.family import Family
from phoebe_addon.apis.usage import COUNT_NAMES, Usage
from phoebe_addon.formats.content_coding import ContentCodingError
from phoebe_addon.gate.identity import Identity
from phoebe_proto.v1 import metering_pb2

MODEL_LENGTH_MAX = 256


class Ending(Enum):
    """How the HTTP exchange itself came to its end."""

    ANSWER_COMPLETE = auto()
    CLIENT_GONE = auto()
    ENGINE_FAILED = auto()
    PROXY_STOPPED = auto()


class Outcome(StrEnum):
    """The event's `outcome`."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    UPSTREAM_ERROR = "upstream_error"
    PROXY_ERROR = "proxy_error"


@dataclass(frozen=True, slots=True)
class Admission:
    """What was known when the exchange was admitted. Times are UTC.

    families: that of the request first, then others whose answers its path may give. served_models: the
    only models the resource is declared to serve; empty: any.
    """

    request_id: str
    client_request_id: str | None
    identity: Identity
    families: tuple[Family, ...]
    requested_model: str | None
    request_facts: RequestFacts
    removal: Removal
    served_models: tuple[str, ...]
    start_time: datetime

    @property
    def api(self) -> str:
        """The API family of the request."""
        return self.families[0].api


class Exchange:
    """The state of one admitted exchange.

    connection_id: the client connection it came on. usage_malformed, answer_unreadable: known
    once it has ended.
    """

    __slots__ = (
        "_admission",
        "_answer_body",
        "_ended",
        "_first_byte_time",
        "_reader",
        "_status_code",
        "answer_unreadable",
        "connection_id",
        "usage_malformed",
    )

    def __init__(self, admission: Admission, connection_id: str) -> None:
        self._admission = admission
        self.connection_id = connection_id
        self._status_code: int | None = None
        self._reader = AnswerReader(
            tuple(family.answer for family in admission.families), admission.request_facts
        )
        self._answer_body: AnswerBody | None = None
        self._first_byte_time: datetime | None = None
        self._ended = False
        self.usage_malformed = False
        self.answer_unreadable = False

    @property
    def request_id(self) -> str:
        """The id minted at admission."""
        return self._admission.request_id

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream of events or of lines."""
        return self._answer_body is not None and self._answer_body.streamed

    def answer_began(self, status_code: int, headers: Mapping[str, str]) -> bool:
        """The engine's status line and headers are here.

        headers: by lower-case name. Returns whether the body comes out decoded, without its content coding.
        """
        self._status_code = status_code
        self._reader.read_headers(headers)
        removal = self._admission.removal if status_code == 200 else Removal()
        content_type = headers.get("content-type", "")
        coding = headers.get("content-encoding", "")
        try:
            self._answer_body = open_body(content_type, coding, self._reader, removal)
        except ContentCodingError:
            self._reader.read_damage()
            self._answer_body = UnreadableBody()
            return False
        return bool(coding) and bool(removal)

    def answer_bytes(self, chunk: bytes, now: datetime) -> bytes:
        """Take the next bytes of the answer's body; return those to pass on to the client."""
        assert self._answer_body
        if self._first_byte_time is None:
            self._first_byte_time = now
        return self._answer_body.feed(chunk)

    def answer_complete(self) -> bytes:
        """Take the end of the answer's body; return what is left to pass on to the client."""
        assert self._answer_body
        return self._answer_body.finish()

    def end(self, ending: Ending, now: datetime) -> metering_pb2.MeteringEvent | None:
        """End the exchange. Returns its event the first time, None ever after."""
        if self._ended:
            return None
        self._ended = True
        return self._event(ending, now)

    def _event(self, ending: Ending, now: datetime) -> metering_pb2.MeteringEvent:
        answer = self._reader.answer()
        self.usage_malformed = answer.malformed
        self.answer_unreadable = answer.unreadable
        event = admission_event(self._admission)
        event.outcome = self._outcome(ending, answer)
        self._put_model(event, answer)
        _put_text(event, "finish_reason", answer.finish_reason, 64)
        event.usage_raw = _clean(answer.usage_raw or "")
        if answer.usage:
            event.usage_found = True
            _put_counts(event, answer.usage)
        # HTTP has no statuses beyond these, but engines might.
        if self._status_code is not None and 100 <= self._status_code <= 599:
            event.status_code = self._status_code
        event.streamed = self.streams
        if self._first_byte_time:
            event.first_byte_time.FromDatetime(self._first_byte_time)
        event.event_time.FromDatetime(now)
        return event

    def _outcome(self, ending: Ending, answer: Answer) -> Outcome:
        if ending is Ending.PROXY_STOPPED:
            return Outcome.PROXY_ERROR
        status = self._status_code
        if answer.failed or (status is not None and not 200 <= status < 300):
            return Outcome.UPSTREAM_ERROR
        if ending is Ending.ANSWER_COMPLETE and not self.streams:
            return Outcome.COMPLETED
        if answer.finished:
            # Everything was there when the connection broke: clients hang up on reading `[DONE]`.
            return Outcome.COMPLETED
        if ending is Ending.CLIENT_GONE:
            return Outcome.ABORTED
        # Over HTTP/1.0 a cut looks like an end; a stream whose last words are missing was cut.
        has_last_words = answer.finish_reason is not None or self._reader.ends_with_body()
        ended_well = ending is Ending.ANSWER_COMPLETE and has_last_words
        return Outcome.COMPLETED if ended_well else Outcome.UPSTREAM_ERROR

    def _put_model(self, event: metering_pb2.MeteringEvent, answer: Answer) -> None:
        served = self._admission.served_models
        if answer.model is None:
            only = served[0] if len(served) == 1 and answer.usage else None
            _put_text(event, "model_id", only, MODEL_LENGTH_MAX)
            return
        _put_text(event, "model_id", answer.model, MODEL_LENGTH_MAX)
        echoed = not served and self._admission.request_facts.engine.echoes(self._admission.api)
        undeclared = bool(served) and answer.model not in served
        event.model_untrusted = echoed or undeclared or len(answer.model) > MODEL_LENGTH_MAX


def admission_event(admission: Admission) -> metering_pb2.MeteringEvent:
    """Make the event of an exchange of which nothing but its admission is known.

    It is what remains if the proxy is killed: `proxy_error`, ended when it began. Producer id and number are
    the spool's to give.
    """
    identity = admission.identity
    event = metering_pb2.MeteringEvent(
        request_id=admission.request_id,
        auth_id=identity.auth_id,
        resource_id=identity.resource_id,
        base_model=identity.base_model or "",
        user_id=identity.user_id or "",
        group_id=identity.group_id or "",
        resource_type=identity.resource_type or "",
        api=admission.api,
        outcome=Outcome.PROXY_ERROR.value,
    )
    _put_text(event, "client_request_id", admission.client_request_id, 256)
    _put_text(event, "requested_model", admission.requested_model, MODEL_LENGTH_MAX)
    event.start_time.FromDatetime(admission.start_time)
    event.event_time.FromDatetime(admission.start_time)
    return event


def _put_counts(event: metering_pb2.MeteringEvent, usage: Usage) -> None:
    for name in COUNT_NAMES:
        count = getattr(usage, name)
        if count is not None:
            setattr(event, f"{name}_tokens", count)


def _put_text(event: metering_pb2.MeteringEvent, name: str, text: str | None, length_max: int) -> None:
    """Put text of an engine's or a client's making into a field: bounded, and storable as UTF-8 text."""
    if text:
        setattr(event, name, _clean(text)[:length_max])


def _clean(text: str) -> str:
    """Replace what UTF-8 or PostgreSQL text can't hold (lone surrogates, NUL)."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
