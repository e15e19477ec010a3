from dataclasses import replace

import pytest

from phoebe_addon.apis.engines import UNDECLARED, find_engine
from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.apis.family import UsageSwitch
from phoebe_addon.gate.request_body import Asking
from phoebe_conformance.case import Case
from phoebe_conformance.metering import Earshot, Metered, Terms
from phoebe_conformance.questions import QUESTIONS
from phoebe_conformance.report import Result
from phoebe_conformance.stream_judgement import judge_aborted, judge_refused, judge_streamed
from phoebe_proto.v1.metering_pb2 import MeteringEvent

EVENT = MeteringEvent(
    status_code=200,
    outcome="completed",
    usage_found=True,
    prompt_tokens=11,
    completion_tokens=8,
    streamed=True,
    model_id="m",
)
CASE = Case(QUESTIONS[0], "m", Terms(UNDECLARED))
STREAM = b': hi\n\ndata: {"n":1}\n\nevent: x\ndata: {"n":2}\n\ndata: {"n":3}\n\ndata: [DONE]\n\n'


def metered(seen: bytes, *added_switches: UsageSwitch) -> Metered:
    return Metered(EVENT, seen, malformed=False, added_switches=added_switches, hung_up=False, said="")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_client_that_leaves_hears_whole_lines_up_to_the_next_document(size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    heard = Earshot(pieces, 2)

    assert b"".join(heard) == STREAM[: STREAM.index(b'data: {"n":3}')]
    assert heard.hung_up


@pytest.mark.parametrize("documents_max", [3, None])
def test_a_client_that_stays_hears_everything(documents_max: int | None) -> None:
    heard = Earshot([STREAM, b"no line end"], documents_max)

    assert b"".join(heard) == STREAM + b"no line end"
    assert not heard.hung_up


@pytest.mark.parametrize(
    ("seen", "added_switches", "shown"),
    [
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', (STREAM_USAGE,), True),
        (b'{"usage":{"prompt_tokens":1}}', (STREAM_USAGE,), True),
        (b'{"choices":[{}],"usage":{"prompt_tokens":1}}', (STREAM_USAGE,), False),
        (b'{"choices":[{}],"usage":{"prompt_tokens":1}}', (STREAM_USAGE, CONTINUOUS_USAGE), True),
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', (), False),
        (b'{"choices":[],"usage":null}', (STREAM_USAGE, CONTINUOUS_USAGE), False),
        (b"[DONE]", (STREAM_USAGE,), False),
        (b"[]", (STREAM_USAGE,), False),
    ],
)
@pytest.mark.parametrize("end", [b"\n\n", b""])
def test_usage_that_a_client_sees_without_having_asked_fails(
    seen: bytes, added_switches: tuple[UsageSwitch, ...], shown: bool, end: bytes
) -> None:
    stream = metered(b"data: " + seen + end, *added_switches)
    finding = judge_streamed(CASE, stream, metered(b""))

    assert finding.result is (Result.FAILED if shown else Result.OK)
    assert ("clients would see it" in finding.message) is shown


def test_a_stream_is_not_compared_with_a_plain_answer_that_has_no_usage() -> None:
    plain = replace(metered(b""), event=MeteringEvent(status_code=200, outcome="completed"))

    assert judge_streamed(CASE, metered(b""), plain).result is Result.OK


def left(*added_switches: UsageSwitch, malformed: bool = False, **counts: int) -> Metered:
    """Make a stream that the client left."""
    event = MeteringEvent(status_code=200, outcome="aborted", streamed=True, **counts)  # type: ignore[arg-type]
    return Metered(event, b"", malformed, added_switches, hung_up=True, said="")


@pytest.mark.parametrize(
    ("stream", "result", "said"),
    [
        (left(prompt_tokens=11, completion_tokens=2), Result.OK, "completion 2"),
        (left(CONTINUOUS_USAGE, prompt_tokens=11, completion_tokens=0), Result.WARNING, "did not come"),
        (left(STREAM_USAGE, prompt_tokens=11, completion_tokens=0), Result.OK, "only the prompt"),
        (left(STREAM_USAGE), Result.OK, "not billed"),
        (left(malformed=True), Result.FAILED, "none of it is billed"),
    ],
)
def test_a_stream_that_a_client_left_is_billed_by_what_was_known(
    stream: Metered, result: Result, said: str
) -> None:
    finding = judge_aborted(CASE, stream)

    assert finding.result is result
    assert said in finding.message


@pytest.mark.parametrize(
    ("engine", "continuous", "said"),
    [
        ("vLLM", False, "check it with --usage auto"),
        ("llama.cpp", True, "can't report usage before the end"),
        ("llama.cpp", False, None),
        (None, False, None),
    ],
)
def test_only_what_can_be_done_about_streams_that_clients_leave_is_advised(
    engine: str | None, continuous: bool, said: str | None
) -> None:
    known = find_engine(engine)
    assert known
    finding = judge_aborted(
        Case(QUESTIONS[0], "m", Terms(known, asking=Asking.CONTINUOUS if continuous else Asking.FINAL)),
        left(),
    )

    assert (said in (finding.hint or "")) if said else finding.hint is None


def answered(status: int, said: str = "", *, usage: bool = False) -> Metered:
    event = MeteringEvent(status_code=status, streamed=True, usage_found=usage)
    return Metered(event, b"", malformed=False, added_switches=(), hung_up=False, said=said)


REFUSED = answered(400, "unknown member")


@pytest.mark.parametrize(
    ("engine", "continuous", "unasked", "said", "hint"),
    [
        (
            None,
            False,
            answered(400),
            "({refused}).",
            "Use an engine that knows `stream_options.include_usage`",
        ),
        ("vLLM", False, answered(400), "({refused}).", "--enable-force-include-usage"),
        (None, True, answered(200, usage=True), "({refused}).", "check it with --usage final"),
        (None, False, answered(200, usage=True), "reports usage without being asked.", "`usage: none`"),
        ("vLLM", True, answered(200, usage=True), "reports usage without being asked.", "`usage: none`"),
        (None, False, answered(200), "its streams would not be billed.", "Use an engine that knows"),
        ("SGLang", True, answered(200), "its streams would not be billed.", "--stream-response-default"),
    ],
)
def test_an_engine_that_refuses_to_be_asked_for_usage_fails_with_what_helps(
    engine: str | None, continuous: bool, unasked: Metered, said: str, hint: str
) -> None:
    known = find_engine(engine)
    assert known
    terms = Terms(known, asking=Asking.CONTINUOUS if continuous else Asking.FINAL)
    finding = judge_refused(Case(QUESTIONS[0], "m", terms), REFUSED, unasked)

    assert finding.result is Result.FAILED
    assert "(400: unknown member)" in finding.message
    assert finding.message.endswith(said.format(refused="400: unknown member"))
    assert hint in (finding.hint or "")


def test_a_refusal_without_words_is_told_by_its_status() -> None:
    assert "asks (422)." in judge_refused(CASE, answered(422), answered(422)).message
