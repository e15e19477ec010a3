"""The metering of one admitted exchange: follows the answer on its way to the client, makes its events."""

from collections.abc import Mapping
from datetime import datetime

from phoebe_addon.answer.abort import Abort
from phoebe_addon.answer.body import CodedBody, Mislabel, PlainBody, open_body
from phoebe_addon.answer.reader import AnswerReader
from phoebe_addon.answer.removal import Removal
from phoebe_addon.answer.resource_watch import NO_CLUES
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import AnswerSeen, Ending, clues_of, ended_events
from phoebe_addon.formats.body_form import Form
from phoebe_addon.formats.steps import Steps
from phoebe_proto.v1.metering_pb2 import MeteringEvent

# An engine that refuses a member of a request names it in its first words.
_REFUSAL_READ_BYTES = 4096


class Metering:
    """What is recorded of an admitted exchange.

    admitted: the event of its admission, if that is at hand.

    is_complete: whether the end of the answer's body has come.
    usage_malformed, bad_details (counts whose details the engine stated and that are no object),
    answer_unreadable, unnamed_or_unread (how many further models' usages lack a name or can't be read) and
    clues: known once its events are made.
    """

    __slots__ = (
        "_admitted",
        "_answer_body",
        "_bytes_passed_on",
        "_bytes_read_on",
        "_first_byte_time",
        "_left_early",
        "_reader",
        "_refusal",
        "_status_code",
        "admission",
        "answer_unreadable",
        "bad_details",
        "clues",
        "is_complete",
        "unnamed_or_unread",
        "usage_malformed",
    )

    def __init__(self, admission: Admission, admitted: MeteringEvent | None = None) -> None:
        self.admission = admission
        self._admitted = admitted
        self._status_code: int | None = None
        self._reader = AnswerReader(
            tuple(family.answer for family in admission.families), admission.request_facts
        )
        self._answer_body: PlainBody | CodedBody | None = None
        self._bytes_passed_on = 0
        self._bytes_read_on = 0
        self._left_early = False
        self.is_complete = False
        self._first_byte_time: datetime | None = None
        self._refusal: bytearray | None = None
        self.clues = NO_CLUES
        self.usage_malformed = False
        self.bad_details: frozenset[str] = frozenset()
        self.answer_unreadable = False
        self.unnamed_or_unread = 0

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream of events or of lines, as far as is known."""
        return self._answer_body is not None and self._answer_body.form in {Form.EVENTS, Form.LINES}

    @property
    def mislabels(self) -> list[Mislabel]:
        """The headers of the answer that do not say what its body is, as far as is known."""
        return self._answer_body.mislabels() if self._answer_body else []

    def answer_began(self, status_code: int, headers: Mapping[str, str]) -> bool:
        """The engine's status line and headers are here.

        headers: by lower-case name. Returns whether the body comes out decoded, without its content coding.
        """
        self._status_code = status_code
        if status_code in {400, 422} and self.admission.removal:
            self._refusal = bytearray()
        self._reader.read_headers(headers)
        removal = self.admission.removal if status_code == 200 else Removal()
        body = open_body(
            headers.get("content-type", ""),
            headers.get("content-encoding", ""),
            self._reader,
            removal,
            length_known="content-length" in headers or "transfer-encoding" in headers,
        )
        self._answer_body = body
        return isinstance(body, CodedBody) and body.decoded

    @property
    def unfolds(self) -> bool:
        """Whether the next bytes of the answer may unfold to many more: they are to be taken in steps."""
        return self._answer_body is not None and self._answer_body.unfolds

    def answer_bytes(self, chunk: bytes, now: datetime) -> bytes:
        """Take the next bytes of the answer's body; return those to pass on to the client."""
        assert self._answer_body
        self._note_came(chunk, now)
        return self.pass_on(self._answer_body.feed(chunk))

    def answer_steps(self, chunk: bytes, now: datetime) -> Steps[bytes]:
        """Do what `answer_bytes` does, in steps."""
        assert self._answer_body
        self._note_came(chunk, now)
        return self.pass_on((yield from self._answer_body.steps(chunk)))

    def _note_came(self, chunk: bytes, now: datetime) -> None:
        if self._first_byte_time is None:
            self._first_byte_time = now
        if self._refusal is not None:
            self._refusal += chunk[: _REFUSAL_READ_BYTES - len(self._refusal)]

    def answer_complete(self) -> bytes:
        """Take the end of the answer's body; return what is left to pass on to the client."""
        assert self._answer_body
        self.is_complete = True
        return self.pass_on(self._answer_body.finish())

    def pass_on(self, data: bytes) -> bytes:
        """Take note of bytes that the client gets. Returns them."""
        self._bytes_passed_on += len(data)
        return data

    def is_worth_reading(self, abort: Abort) -> bool:
        """Whether the rest of the answer is to be read although its client has gone."""
        body = self._answer_body
        if abort is Abort.CUT or body is None or not body.is_read or self._reader.is_over:
            return False
        if self._status_code is None or not 200 <= self._status_code < 300:
            return False
        return abort is Abort.DRAIN or not self.streams or self._reader.has_last_words

    def read_on(self, chunk: bytes) -> Steps[int]:
        """Take the next bytes of the answer's body, which nobody gets. Returns how many these are by now."""
        assert self._answer_body
        self._left_early |= not self._reader.is_finished
        self._bytes_read_on += len(chunk)
        yield from self._answer_body.steps(chunk)
        return self._bytes_read_on

    def read_to_end(self) -> None:
        """Take the end of an answer that nobody gets."""
        assert self._answer_body
        self.is_complete = True
        self._answer_body.finish()

    def events(self, ending: Ending, now: datetime) -> tuple[MeteringEvent, ...]:
        """Make the events of the exchange, which ends now: its own first, then its parts.

        Once: a body that broke off is read to its end.
        """
        if self._answer_body and not self.is_complete and ending is not Ending.ANSWER_COMPLETE:
            self._answer_body.cut_off()
        answer = self._reader.answer()
        self.usage_malformed = answer.malformed
        self.bad_details = answer.bad_details
        self.answer_unreadable = answer.unreadable or (answer.garbled and answer.usage is None)
        seen = AnswerSeen(
            answer,
            self._status_code,
            streamed=self.streams,
            ends_with_body=self._reader.ends_with_body,
            first_byte_time=self._first_byte_time,
            bytes_passed_on=self._bytes_passed_on if self._answer_body else None,
            left_early=self._left_early,
        )
        events = ended_events(self.admission, seen, ending, now, self._admitted)
        self.clues = clues_of(events[0], self.admission, answer, bytes(self._refusal or b""))
        self.unnamed_or_unread = sum(not part.usage_found or not part.model_id for part in events[1:])
        return events
