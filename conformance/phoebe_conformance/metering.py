"""One request to an engine, metered by the addon's own code: what is seen here is what it would record."""

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from phoebe_addon.answer.body import Mislabel
from phoebe_addon.apis.engines import Engine
from phoebe_addon.apis.family import UsageSwitch
from phoebe_addon.exchange.admission import admission_of
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.gate import GateRules, Pass, check_body
from phoebe_addon.gate.identity import HeaderNames, Identity
from phoebe_addon.gate.refusal import Refusal
from phoebe_addon.gate.request_body import Asking, RequestBody, UsagePolicy
from phoebe_addon.gate.routes import Match, RouteTable
from phoebe_addon.gate.unbillable import unbillable_names
from phoebe_proto.v1.metering_pb2 import MeteringEvent

from .engine_line import EngineLine
from .questions import Question, Wording
from .report import UncheckedError

_BODY_BYTES_MAX = 16 * 1024 * 1024
_NOBODY = Identity("phoebe-conformance", "phoebe-conformance")
_JSON = "application/json"
_REFUSES = {
    401: "Give it what it asks for: --header 'Authorization: Bearer KEY'.",
    403: "Give it what it asks for: --header 'Authorization: Bearer KEY'.",
    407: "Check it directly, without a proxy that asks for credentials.",
    429: "It is too busy, or limits requests: try again later.",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the resource map says, or should say, of the engine.

    engine: UNDECLARED if it is not known. stated: whether the operator named it. models: those it declares;
    empty: none. asking: what it is asked for in streams.
    """

    engine: Engine
    stated: bool = False
    models: tuple[str, ...] = ()
    asking: Asking = Asking.AUTO

    @property
    def continuous(self) -> bool:
        """Whether usage on every chunk is wanted, of an engine that may be able to give it."""
        return UsagePolicy(self.engine, self.asking).continuous


@dataclass(frozen=True, slots=True)
class Metered:
    """One exchange. event: what the addon would record. seen: what the client would get.

    malformed: its usage has a count that is none. unasked: what the addon asked for in the client's name.
    hung_up: the client went away before the end. said: what the engine says in an error. mislabels: headers
    that do not say what the body is.
    """

    event: MeteringEvent
    seen: bytes
    malformed: bool
    added_switches: tuple[UsageSwitch, ...]
    hung_up: bool
    said: str
    mislabels: tuple[Mislabel, ...] = ()

    @property
    def served(self) -> bool:
        """Whether the engine did what it was asked to."""
        return 200 <= self.event.status_code < 300


class Meter:
    """Asks an engine and meters its answers."""

    def __init__(self, line: EngineLine, terms: Terms) -> None:
        self._line = line
        self._upstream = replace(line.upstream, engine=terms.engine, models=terms.models, asking=terms.asking)
        # What would be refused is asked for all the same: the point is to see what the engine answers.
        self._rules = GateRules(
            (),
            HeaderNames(),
            _BODY_BYTES_MAX,
            RouteTable(built_in_routes()),
            allowed_unbillable=frozenset(unbillable_names()),
        )

    def ask(
        self,
        question: Question,
        wording: Wording,
        *,
        streamed: bool = False,
        documents_max: int | None = None,
    ) -> Metered:
        """Ask once. documents_max: hang up when the stream has brought so many documents; None: never.

        Raises UncheckedError when the engine does not answer, or for reasons of its own refuses to.
        """
        match = self._rules.routes.find("POST", question.path)
        assert isinstance(match, Match)
        passed = Pass(_NOBODY, self._upstream, match, _JSON, "")
        body = self._checked(json.dumps(question.body(wording, streamed=streamed)).encode(), passed)
        admission = admission_of(
            passed,
            body,
            request_id=str(uuid.uuid4()),
            client_request_id=None,
            start_time=datetime.now(UTC),
        )
        metering = Metering(admission)
        headers = {**question.headers, "X-Request-Id": admission.request_id}
        seen = bytearray()
        with self._line.post(question.path, headers, body.content) as (head, pieces):
            metering.answer_began(head.status_code, head.headers)
            heard = Earshot(pieces, documents_max)
            for piece in heard:
                seen += metering.answer_bytes(piece, datetime.now(UTC))
            if not heard.hung_up:
                seen += metering.answer_complete()
        ending = Ending.CLIENT_GONE if heard.hung_up else Ending.ANSWER_COMPLETE
        event, *_ = metering.events(ending, datetime.now(UTC))
        served = 200 <= head.status_code < 300
        said = "" if served else self._line.said(bytes(seen))
        require_willing(head.status_code, f"POST {question.path}", said)
        return Metered(
            event,
            bytes(seen),
            metering.usage_malformed,
            body.added_switches,
            heard.hung_up,
            said,
            tuple(metering.mislabels),
        )

    def _checked(self, content: bytes, passed: Pass) -> RequestBody:
        body = at_once(check_body(content, passed, self._rules))
        if isinstance(body, Refusal):
            raise UncheckedError(f"Phoebe itself refuses the request: {body.message}")
        return body


class Earshot:
    """The bytes of a stream, line by line, up to the document after the first `documents_max`.

    hung_up: there was more. A document is a line with a JSON object; None: everything is heard.
    """

    def __init__(self, pieces: Iterable[bytes], documents_max: int | None) -> None:
        self._pieces = pieces
        self._documents_max = documents_max
        self.hung_up = False

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over what is heard."""
        if self._documents_max is None:
            yield from self._pieces
            return
        documents = 0
        for line in _lines(self._pieces):
            documents += b"{" in line
            if documents > self._documents_max:
                self.hung_up = True
                return
            yield line


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def require_willing(status_code: int, request: str, said: str) -> None:
    """Raise UncheckedError for a status that says nothing of the API or of the request.

    501 does: llama.cpp answers so for what its model can't do.
    """
    failing = status_code >= 500 and status_code != 501
    if failing or 300 <= status_code < 400 or status_code in _REFUSES:
        raise UncheckedError(
            f"The engine answers {status_code} to {request}{f': {said}' if said else ''}.",
            _REFUSES.get(status_code, "Look into its log, and check the URL."),
            everywhere=status_code in _REFUSES,
        )
