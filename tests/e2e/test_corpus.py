"""Every answer of the corpus, cut in every way, through a real mitmdump."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import httpx
import pytest
from mitmproxy.net import encoding

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.corpus.case import Answer, Case, Form, Framing, Free, Metered, Part, Refused, Tokens
from tests.corpus.catalog import CASES
from tests.corpus.pieces import ways_to_cut
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

TAG = "x-corpus"
RESOURCES = {
    resource: f"corpus-{number}" for number, resource in enumerate({case.resource: 0 for case in CASES})
}
COUNTS = (
    *("prompt", "completion", "cached", "reasoning"),
    *("cache_write", "prompt_audio", "completion_audio"),
)


def encoded(body: bytes, coding: str | None) -> bytes:
    """Put a body into a content coding."""
    return encoding.encode(body, coding) if coding else body


@dataclass
class Play:
    """One answer, as it is to be played, and the request that asked for it."""

    answer: Answer
    pieces: list[bytes]
    framing: Framing
    requests: list[EngineRequest] = field(default_factory=list)

    def head(self) -> bytes:
        answer = self.answer
        headers = [("Content-Type", answer.content_type), *answer.headers]
        coding = answer.named_coding or answer.coding
        if coding:
            headers.append(("Content-Encoding", coding))
        if self.framing is Framing.CHUNKED:
            headers.append(("Transfer-Encoding", "chunked"))
        elif self.framing is Framing.LENGTH:
            headers.append(("Content-Length", str(sum(map(len, self.pieces)))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"HTTP/1.1 {answer.status} Corpus\r\n{lines}\r\n".encode()

    def run(self, request: EngineRequest, line: Line) -> None:
        self.requests.append(request)
        if self.framing is Framing.CHUNKED:
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in self.pieces)
            line.send(self.head() + chunks + (b"" if self.answer.cut else LAST_CHUNK))
        else:
            line.send(self.head() + b"".join(self.pieces))
        if self.answer.cut or self.framing is Framing.CLOSE:
            raise ConnectionAbortedError  # the engine's server closes the connection


class Player:
    """An engine that plays what it was given under the tag of the request.

    admitted: how many exchanges the proxy had admitted when it was last asked.
    """

    def __init__(self) -> None:
        self.plays: dict[str, Play] = {}
        self.admitted = 0.0
        self._numbers = count()
        self.engine = Engine()
        self.engine.script = lambda request, line: self.plays[request.headers[TAG]].run(request, line)

    def prepare(self, play: Play) -> str:
        """Make a play ready and return its tag."""
        tag = f"corpus-{next(self._numbers)}"
        self.plays[tag] = play
        return tag


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    made = Player()
    yield made
    made.engine.close()


@pytest.fixture(scope="module")
def proxy(player: Player, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a resource for every entry that a case needs, all with the same engine."""
    folder = tmp_path_factory.mktemp("corpus")
    resources = folder / "resources.yaml"
    entries = {name: resource.entry(player.engine.url) for resource, name in RESOURCES.items()}
    resources.write_text(json.dumps(entries))
    options = {
        "phoebe_upstream": str(resources),
        "phoebe_rater": f"127.0.0.1:{rater.port}",
        # Cases say where running usage is asked for: a resource's own `usage`.
        "phoebe_usage": "final",
    }
    started = Proxy(folder, options=options, from_nothing=True)
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=20) as opened:
        yield opened


def ways_to_play(case: Case) -> Iterator[tuple[str, Play]]:
    answer = case.answer
    framing = answer.framing or (Framing.CHUNKED if answer.is_stream else Framing.LENGTH)
    for way, pieces in ways_to_cut(encoded(answer.sent, answer.coding)).items():
        if way == "whole":
            yield way, Play(answer, pieces, framing)
        elif framing is not Framing.CLOSE:
            yield way, Play(answer, pieces, Framing.CHUNKED)


@dataclass(frozen=True)
class Received:
    """What the client got. content: without its framing, up to where the connection broke, if it did."""

    status: int
    headers: httpx.Headers
    content: bytes
    broken: bool


def ask(client: httpx.Client, case: Case, tag: str) -> Received:
    request = case.request
    identity = {**IDENTITY, "X-Saturn-Resource-Id": RESOURCES[case.resource]}
    headers = [*identity.items(), ("X-Request-Id", tag), (TAG, tag), *request.headers]
    if request.body:
        headers.append(("Content-Type", request.content_type))
    if request.coding:
        headers.append(("Content-Encoding", request.coding))
    body = encoded(request.body, request.coding)
    content, broken = b"", False
    with client.stream(request.method, request.path, headers=headers, content=body) as response:
        try:
            for piece in response.iter_raw():
                content += piece
        except httpx.RemoteProtocolError:
            broken = True
    return Received(response.status_code, response.headers, content, broken)


def event_as_expected(event: MeteringEvent, expected: Metered) -> Metered:
    """Say what an event is in the words of a case."""
    return Metered(
        api=event.api,
        model_id=event.model_id,
        tokens=tokens_of(event),
        finish_reason=event.finish_reason,
        outcome=event.outcome,
        streamed=event.streamed,
        status=event.status_code,
        usage_raw=None if expected.usage_raw is None else event.usage_raw,
        model_untrusted=event.model_untrusted,
        usage_partial=event.usage_partial,
    )


def tokens_of(event: MeteringEvent) -> Tokens | None:
    counts = {
        name: getattr(event, f"{name}_tokens")
        for name in COUNTS
        if event.HasField(f"{name}_tokens")  # type: ignore[arg-type]
    }
    return Tokens(**counts) if event.usage_found or counts else None


def parts_as_expected(own: MeteringEvent, rater: EventRecorder, expected: tuple[Part, ...]) -> list[str]:
    """Wait for the parts that an event says it has, and say how they differ from what they must be."""
    parts = [
        rater.wait_for(lambda event: event.part_of == own.request_id and event.producer_seq == number)  # noqa: B023
        for number in range(own.producer_seq + 1, own.producer_seq + 1 + own.part_count)
    ]
    found = tuple(
        Part(
            model_id=part.model_id,
            tokens=tokens_of(part),
            usage_raw=part.usage_raw,
            model_untrusted=part.model_untrusted,
        )
        for part in parts
    )
    wanted = tuple(
        replace(part, usage_raw=is_now.usage_raw) if part.usage_raw is None else part
        for part, is_now in zip(expected, found, strict=False)
    )
    faults = (
        [] if found == wanted and len(found) == len(expected) else [f"the parts are {found}, not {expected}"]
    )
    for part in parts:
        own_ids = (part.auth_id, part.resource_id, part.outcome, part.event_time, part.producer_id)
        if own_ids != (own.auth_id, own.resource_id, own.outcome, own.event_time, own.producer_id):
            faults.append(f"a part is not of its exchange: {part}")
    return faults


def differences(event: Metered, expected: Metered) -> list[str]:
    pairs = [
        *(
            (name, getattr(event, name), getattr(expected, name))
            for name in Metered.__slots__
            if name not in {"tokens", "parts"}
        ),
        *(
            (name, getattr(event.tokens, name, None), getattr(expected.tokens, name, None))
            for name in Tokens.__slots__
        ),
    ]
    differing = [f"{name} is {was!r}, not {should!r}" for name, was, should in pairs if was != should]
    if (event.tokens is None) != (expected.tokens is None):
        differing.append(f"usage is {'not ' if event.tokens is None else ''}found")
    return differing


def faults_of_answer(case: Case, received: Received) -> list[str]:
    answer = case.answer
    untouched = answer.passed_on == answer.sent
    content = encoded(answer.sent, answer.coding) if untouched else answer.passed_on
    # Out of a body that is not what its label says, what is taken out goes without it, or with it.
    coding = (answer.named_coding or answer.coding) if untouched else None
    faults = []
    if received.status != answer.status:
        faults.append(f"the client got status {received.status}")
    if received.broken != answer.cut:
        faults.append(f"the client saw {'a' if received.broken else 'no'} broken connection")
    if received.content != content:
        faults.append(f"the client got {received.content[-300:]!r}, not {content[-300:]!r}")
    if received.headers.get("content-encoding") != coding:
        faults.append(f"the client got Content-Encoding {received.headers.get('content-encoding')}")
    return faults


def form_fields(body: bytes) -> list[tuple[bytes, bytes]]:
    parts = body.split(f"--{Form.BOUNDARY}".encode())[1:-1]
    return sorted(_form_field(part) for part in parts)


def _form_field(part: bytes) -> tuple[bytes, bytes]:
    head, _, value = part.partition(b"\r\n\r\n")
    name = re.search(rb'name="([^"]*)"', head)
    assert name
    return name[1], value


def is_forwarded(case: Case, body: bytes) -> bool:
    """Whether the engine got the client's body, or one of those that are to take its place."""
    wanted = case.request.forwarded
    if not wanted:
        return body == case.request.body
    forms = [form_fields(form.encode()) for form in wanted if isinstance(form, Form)]
    return form_fields(body) in forms if forms else json.loads(body) in wanted


def faults_of(case: Case, play: Play, tag: str, received: Received, rater: EventRecorder) -> list[str]:
    if isinstance(case.expected, Refused):
        refused = received.status == case.expected.status and not play.requests
        return [] if refused else [f"status {received.status}, {len(play.requests)} requests to the engine"]
    if len(play.requests) != 1:
        return [
            f"status {received.status}, {len(play.requests)} requests to the engine: {received.content!r}"
        ]
    faults = faults_of_answer(case, received)
    body = play.requests[0].body
    if not is_forwarded(case, body):
        faults.append(f"the engine got {body!r}")
    if isinstance(case.expected, Metered):
        event = rater.wait_for(lambda event: event.client_request_id == tag and not event.part_of)
        faults += differences(event_as_expected(event, case.expected), case.expected)
        faults += parts_as_expected(event, rater, case.expected.parts)
    return faults


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_answer_makes_its_event_however_it_is_cut(
    case: Case, player: Player, proxy: Proxy, client: httpx.Client, rater: EventRecorder
) -> None:
    asked: list[tuple[str, Play, str, Received]] = []
    for way, play in ways_to_play(case):
        tag = player.prepare(play)
        asked.append((way, play, tag, ask(client, case, tag)))
    admitted = proxy.metric("phoebe_exchanges_admitted_total")
    before, player.admitted = player.admitted, admitted
    # Only now: an event comes a moment after its answer, and all of these come in that same moment.
    faults = [
        f"{way}: {fault}"
        for way, play, tag, received in asked
        for fault in faults_of(case, play, tag, received, rater)
    ]
    assert not faults, "\n".join(faults)
    events = 0 if isinstance(case.expected, Free | Refused) else len(asked)
    assert admitted == before + events
