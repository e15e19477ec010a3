"""One admitted exchange, from admission to the one event it makes.

    ADMITTED ──answer_began──► ANSWERING ──end──► ENDED
        └──────────────end────────────────────────▲

Pure: times are passed in, and what to do with the event is the caller's affair.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto

from phoebe_proto.v1 import metering_pb2

from .answer_body import DocumentBody, EventStreamBody, Strip, open_body
from .identity import Identity
from .openai_answer import Answer
from .routes import Api


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
    """What was known when the exchange was admitted. Times are UTC."""

    request_id: str
    client_request_id: str | None
    identity: Identity
    api: Api
    requested_model: str | None
    prompt_count: int
    strip: Strip
    start_time: datetime


class Exchange:
    """The state of one admitted exchange.

    connection_id: the client connection it came on. only_model: the one model the resource is declared to
    serve; named where the engine's answer names none. usage_malformed: known once it has ended.
    """

    __slots__ = (
        "_admission",
        "_answer_body",
        "_ended",
        "_first_byte_time",
        "_only_model",
        "_status_code",
        "connection_id",
        "usage_malformed",
    )

    def __init__(self, admission: Admission, connection_id: str, only_model: str | None = None) -> None:
        self._admission = admission
        self.connection_id = connection_id
        self._only_model = only_model
        self._status_code: int | None = None
        self._answer_body: EventStreamBody | DocumentBody | None = None
        self._first_byte_time: datetime | None = None
        self._ended = False
        self.usage_malformed = False

    @property
    def request_id(self) -> str:
        """The id minted at admission."""
        return self._admission.request_id

    @property
    def streams(self) -> bool:
        """Whether the answer is an event stream."""
        return isinstance(self._answer_body, EventStreamBody)

    def answer_began(self, status_code: int, content_type: str) -> None:
        """The engine's status line and headers are here."""
        self._status_code = status_code
        self._answer_body = open_body(
            content_type,
            self._admission.prompt_count,
            self._admission.strip if status_code == 200 else Strip.NOTHING,
        )

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
        answer = self._answer_body.answer() if self._answer_body else Answer()
        self.usage_malformed = answer.malformed
        event = admission_event(self._admission)
        event.outcome = _outcome(ending, self._status_code, answer, streamed=self.streams)
        _put_text(event, "model_id", answer.model or (self._only_model if answer.usage else None), 256)
        _put_text(event, "finish_reason", answer.finish_reason, 64)
        event.usage_raw = _clean(answer.usage_raw or "")
        if answer.usage:
            event.usage_found = True
            _put_counts(event, answer)
        # HTTP has no statuses beyond these, but engines might.
        if self._status_code is not None and 100 <= self._status_code <= 599:
            event.status_code = self._status_code
        event.streamed = self.streams
        if self._first_byte_time:
            event.first_byte_time.FromDatetime(self._first_byte_time)
        event.event_time.FromDatetime(now)
        return event


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
        api=admission.api.value,
        outcome=Outcome.PROXY_ERROR.value,
    )
    _put_text(event, "client_request_id", admission.client_request_id, 256)
    _put_text(event, "requested_model", admission.requested_model, 256)
    event.start_time.FromDatetime(admission.start_time)
    event.event_time.FromDatetime(admission.start_time)
    return event


def _outcome(ending: Ending, status_code: int | None, answer: Answer, *, streamed: bool) -> Outcome:
    if ending is Ending.PROXY_STOPPED:
        return Outcome.PROXY_ERROR
    if answer.failed or (status_code is not None and not 200 <= status_code < 300):
        return Outcome.UPSTREAM_ERROR
    if ending is Ending.ANSWER_COMPLETE and not streamed:
        return Outcome.COMPLETED
    if answer.finished:
        # Everything was there when the connection broke: clients hang up on reading `[DONE]`.
        return Outcome.COMPLETED
    if ending is Ending.CLIENT_GONE:
        return Outcome.ABORTED
    # Over HTTP/1.0 a cut looks like an end; a stream whose last words are missing was cut.
    ended_well = ending is Ending.ANSWER_COMPLETE and answer.finish_reason is not None
    return Outcome.COMPLETED if ended_well else Outcome.UPSTREAM_ERROR


def _put_counts(event: metering_pb2.MeteringEvent, answer: Answer) -> None:
    assert answer.usage
    for name in ("prompt", "cached", "completion", "reasoning"):
        count = getattr(answer.usage, name)
        if count is not None:
            setattr(event, f"{name}_tokens", count)


def _put_text(event: metering_pb2.MeteringEvent, name: str, text: str | None, length_max: int) -> None:
    """Put text of an engine's or a client's making into a field: bounded, and storable as UTF-8 text."""
    if text:
        setattr(event, name, _clean(text)[:length_max])


def _clean(text: str) -> str:
    """Replace what UTF-8 or PostgreSQL text can't hold (lone surrogates, NUL)."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
