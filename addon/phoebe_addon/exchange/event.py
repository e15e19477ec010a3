"""What is recorded of an exchange: its event, with its parts if it has any, and the outcome it states."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum, auto
from hashlib import blake2b
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_addon.answer.reader import Answer
from phoebe_addon.answer.resource_watch import Clues
from phoebe_addon.answer.usage_by_model import FurtherUsage
from phoebe_addon.apis.family import Family
from phoebe_addon.apis.usage import COUNT_NAMES, Usage
from phoebe_addon.exchange.admission import Admission
from phoebe_proto.v1.metering_pb2 import MeteringEvent

MODEL_LENGTH_MAX = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 24 * 60 * 60


class Ending(Enum):
    """How the HTTP exchange itself came to its end."""

    ANSWER_COMPLETE = auto()
    CLIENT_GONE = auto()
    ENGINE_FAILED = auto()
    PROXY_FAILED = auto()  # the engine was never asked
    PROXY_STOPPED = auto()


class Outcome(StrEnum):
    """The event's `outcome`."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    UPSTREAM_ERROR = "upstream_error"
    PROXY_ERROR = "proxy_error"


@dataclass(frozen=True, slots=True)
class AnswerSeen:
    """What was seen of an answer up to the end of its exchange.

    status_code, first_byte_time: None: it did not come so far. streamed: it was a stream. ends_with_body:
    nothing but the end of the body says that such an answer is whole. bytes_passed_on: of its body, to the
    client; None: it did not come so far. left_early: the client was gone when the rest of it came.
    """

    answer: Answer
    status_code: int | None
    streamed: bool
    ends_with_body: bool
    first_byte_time: datetime | None
    bytes_passed_on: int | None
    left_early: bool


def put_time(timestamp: Timestamp, time: datetime) -> None:
    """Write a time down, as `Timestamp.FromDatetime` does, which goes by the calendar and takes longer."""
    since = time - _EPOCH
    timestamp.seconds = since.days * _DAY_S + since.seconds
    timestamp.nanos = since.microseconds * 1000


def admission_event(admission: Admission) -> MeteringEvent:
    """Make the event of an exchange of which nothing but its admission is known.

    It is what remains if the proxy is killed: `proxy_error`, ended when it began. Producer id and number are
    the spool's to give.
    """
    identity = admission.identity
    event = MeteringEvent(
        request_id=admission.request_id,
        auth_id=identity.auth_id,
        resource_id=identity.resource_id,
        base_model=identity.base_model or "",
        user_id=identity.user_id or "",
        group_id=identity.group_id or "",
        resource_type=identity.resource_type or "",
        api=admission.api,
        outcome=Outcome.PROXY_ERROR.value,
        trace_id=admission.trace_id,
    )
    _put_text(event, "client_request_id", admission.client_request_id, 256)
    _put_text(event, "requested_model", admission.requested_model, MODEL_LENGTH_MAX)
    put_time(event.start_time, admission.start_time)
    put_time(event.event_time, admission.start_time)
    return event


def ended_events(
    admission: Admission,
    seen: AnswerSeen,
    ending: Ending,
    now: datetime,
    admitted: MeteringEvent | None = None,
) -> tuple[MeteringEvent, ...]:
    """Make the events of an exchange that ends now: its own, and one for each further model's usage.

    admitted: what `admission_event` has made of the same admission, if that is at hand.
    """
    answer = seen.answer
    begun = admitted or admission_event(admission)
    event = _common_event(begun, admission, seen, ending, now)
    _put_model(event, admission, answer)
    event.model_echoed = _may_be_echoed(event, admission, answer)
    _put_text(event, "finish_reason", answer.finish_reason, 64)
    _put_usage(event, admission.families[answer.format], answer.usage, answer.usage_raw)
    if seen.first_byte_time:
        put_time(event.first_byte_time, seen.first_byte_time)
    if seen.bytes_passed_on is not None:
        event.answer_bytes = seen.bytes_passed_on
    event.part_count = len(answer.further)
    parts = (_common_event(begun, admission, seen, ending, now) for _ in answer.further)
    return (
        event,
        *(
            _as_part(part, number, admission, further, answer)
            for number, (part, further) in enumerate(zip(parts, answer.further, strict=True), 1)
        ),
    )


def part_id(request_id: str, number: int) -> str:
    """Make the id of a part: a UUID of version 7 with the time of the exchange's own.

    They stand side by side wherever ids are in order, and the same exchange always has the same ones.
    """
    whole = UUID(request_id).bytes
    drawn = blake2b(whole + number.to_bytes(2), digest_size=10).digest()
    bits = int.from_bytes(whole[:6] + drawn)
    bits = bits & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return str(UUID(int=bits))


def _common_event(
    begun: MeteringEvent, admission: Admission, seen: AnswerSeen, ending: Ending, now: datetime
) -> MeteringEvent:
    """Make what all events of an exchange have in common. begun: of its admission."""
    event = MeteringEvent()
    event.CopyFrom(begun)
    event.api = admission.families[seen.answer.format].api
    event.outcome = outcome_of(seen, ending)
    # HTTP has no statuses beyond these, but engines might.
    if seen.status_code is not None and 100 <= seen.status_code <= 599:
        event.status_code = seen.status_code
    event.streamed = seen.streamed
    put_time(event.event_time, now)
    return event


def _as_part(
    event: MeteringEvent, number: int, admission: Admission, further: FurtherUsage, answer: Answer
) -> MeteringEvent:
    """Make the event of a further model's usage. Without its name it is stored and never billed."""
    event.ClearField("base_model")  # it is the answering model's
    event.part_of = event.request_id
    event.request_id = part_id(event.request_id, number)
    if further.model is not None:
        _put_reported_model(event, admission, further.model)
    _put_usage(event, admission.families[answer.format], further.usage, further.raw)
    return event


def _put_usage(event: MeteringEvent, family: Family, usage: Usage | None, raw: str | None) -> None:
    event.usage_raw = _clean(raw or "")
    if usage is None:
        return
    event.usage_found = True
    _put_counts(event, usage)
    was_generated = family.generates and event.outcome == Outcome.COMPLETED
    event.usage_partial = usage.prompt is None or (was_generated and usage.completion is None)


def is_without_usage(event: MeteringEvent) -> bool:
    """Whether an answer is complete, and its engine has reported no usage: it can't be billed."""
    return not event.usage_found and event.outcome == Outcome.COMPLETED


def is_unbilled_output(event: MeteringEvent) -> bool:
    """Whether a client was given a part of an answer and nobody knows the usage, so that it is not billed.

    An error is no output. A whole answer without usage is another matter: the engine or its set-up is wrong.
    """
    return (
        not event.usage_found
        and event.outcome != Outcome.COMPLETED
        and 200 <= event.status_code < 300
        and event.answer_bytes > 0
    )


def clues_of(event: MeteringEvent, admission: Admission, answer: Answer, refusal: bytes) -> Clues:
    """Tell what an ended exchange gives away about its resource.

    refusal: how the answer begins, if the engine refused the request; else empty.
    """
    return Clues(
        echoed=admission.requested_model if event.model_echoed else None,
        nameless=answer.usage is not None and not event.model_id,
        refused_asking=any(
            (switch.parent or switch.member).encode() in refusal
            for switch in admission.removal.usage_switches
        ),
    )


def outcome_of(seen: AnswerSeen, ending: Ending) -> Outcome:
    """Decide what an exchange came to."""
    if ending in {Ending.PROXY_FAILED, Ending.PROXY_STOPPED}:
        return Outcome.PROXY_ERROR
    answer, status = seen.answer, seen.status_code
    if answer.failed or (status is not None and not 200 <= status < 300):
        return Outcome.UPSTREAM_ERROR
    if ending is Ending.ANSWER_COMPLETE and (not seen.streamed or answer.unreadable or answer.garbled):
        return Outcome.COMPLETED  # the end may be in what could not be read
    if answer.finished and not seen.left_early:
        # Everything was there when the connection broke: clients hang up on reading `[DONE]`.
        return Outcome.COMPLETED
    if ending is Ending.CLIENT_GONE or seen.left_early:
        return Outcome.ABORTED
    # Over HTTP/1.0 a connection that breaks looks like the end of the body. A stream without a finish reason
    # was cut.
    may_end_here = answer.finish_reason is not None or seen.ends_with_body
    ended_well = ending is Ending.ANSWER_COMPLETE and may_end_here
    return Outcome.COMPLETED if ended_well else Outcome.UPSTREAM_ERROR


def _put_model(event: MeteringEvent, admission: Admission, answer: Answer) -> None:
    served, engine = admission.served_models, admission.request_facts.engine
    echoes = engine.echoes(event.api)
    only = served[0] if len(served) == 1 and answer.usage else None
    # If an engine repeats the client's word and the client named no model, nobody has named one.
    unsaid = answer.model is None or (admission.requested_model is None and echoes and only is not None)
    if admission.billed_model or unsaid:
        _put_text(event, "model_id", admission.billed_model or only, MODEL_LENGTH_MAX)
        return
    assert answer.model is not None
    _put_reported_model(event, admission, answer.model)


def _may_be_echoed(event: MeteringEvent, admission: Admission, answer: Answer) -> bool:
    """Whether the model's name is what the client asked for, and the engine may only repeat it."""
    if admission.served_models or answer.model is None:
        return False
    is_as_asked = answer.model == admission.requested_model
    return is_as_asked and admission.request_facts.engine.may_echo(event.api) and not event.model_untrusted


def _put_reported_model(event: MeteringEvent, admission: Admission, model: str) -> None:
    """Put the name of a model as the engine reports it, and mark it where it may be the client's own word."""
    served, engine = admission.served_models, admission.request_facts.engine
    declared = engine.declared_name(model, served)
    _put_text(event, "model_id", declared or model, MODEL_LENGTH_MAX)
    own_word = declared is not None if served else not engine.echoes(event.api)
    event.model_untrusted = not own_word or len(model) > MODEL_LENGTH_MAX


def _put_counts(event: MeteringEvent, usage: Usage) -> None:
    for name in COUNT_NAMES:
        count = getattr(usage, name)
        if count is not None:
            setattr(event, f"{name}_tokens", count)


def _put_text(event: MeteringEvent, name: str, text: str | None, length_max: int) -> None:
    """Put text of an engine's or a client's making into a field: bounded, and storable as UTF-8 text."""
    if text:
        setattr(event, name, _clean(text)[:length_max])


def _clean(text: str) -> str:
    """Replace what UTF-8 or PostgreSQL text can't hold (lone surrogates, NUL)."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
