from dataclasses import replace
from datetime import UTC, datetime

from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.families.openai_chat import STREAM_USAGE
from phoebe_addon.exchange.admission import Admission, admission_of
from phoebe_addon.gate.request_body import RequestBody
from phoebe_addon.gate.routes import Match, make_route
from tests.harness.exchanges import IDENTITY, PASSED
from tests.harness.known import engine, family

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BODY = RequestBody(
    families=(family("openai.chat"),),
    models=("less likely", "likeliest"),
    streaming=True,
    added_switches=(STREAM_USAGE,),
    prompts=2,
    samples=3,
    content=b"{}",
)


def test_an_admission_says_what_head_and_body_say() -> None:
    upstream = replace(PASSED.upstream, engine=engine("vllm"), models=("a", "b"))

    made = admission_of(
        replace(PASSED, upstream=upstream),
        BODY,
        request_id="r1",
        client_request_id="c1",
        start_time=NOW,
        trace_id="7" * 32,
    )

    assert made == Admission(
        request_id="r1",
        client_request_id="c1",
        identity=IDENTITY,
        families=(family("openai.chat"),),
        requested_model="likeliest",
        request_facts=RequestFacts(2, 3, engine("vllm")),
        removal=Removal((STREAM_USAGE,)),
        served_models=("a", "b"),
        start_time=NOW,
        trace_id="7" * 32,
    )


def test_the_family_of_the_request_goes_before_others_of_its_path() -> None:
    of_path = (family("tgi.generate"), family("sglang.generate"))
    passed = replace(PASSED, match=Match(make_route("POST /generate", of_path), {}))
    body = replace(BODY, families=(of_path[1],), models=())

    made = admission_of(passed, body, request_id="r1", client_request_id=None, start_time=NOW)

    assert made.families == (of_path[1], of_path[0])
    assert made.api == "sglang.generate"
    assert made.requested_model is None
