"""The corpus of engines' answers itself: that it has every engine and every trap, and says what it means."""

import json
from collections import Counter

import pytest

from tests.corpus.case import Answer, Case, Changed, Form, Framing, Metered, data, document, events
from tests.corpus.catalog import CASES
from tests.corpus.pieces import ways_to_cut
from tests.corpus.traps import Trap

# Who speaks which API, as far as their sources and documents tell.
SPOKEN = {
    "openai.chat": {
        *("openai", "vllm", "sglang", "tgi", "tensorrt-llm", "llama.cpp", "ollama", "dynamo", "triton"),
    },
    "openai.completions": {
        *("openai", "vllm", "sglang", "tgi", "tensorrt-llm", "llama.cpp", "ollama", "dynamo"),
    },
    "openai.responses": {"openai", "vllm", "sglang", "tensorrt-llm", "llama.cpp", "ollama", "dynamo"},
    "openai.embeddings": {"openai", "vllm", "sglang", "llama.cpp", "dynamo", "tei", "infinity", "localai"},
    "openai.transcription": {"openai", "vllm"},
    "openai.images": {"openai"},
    "anthropic.messages": {
        *("anthropic", "vllm", "sglang", "tensorrt-llm", "llama.cpp", "ollama", "dynamo", "dashscope"),
    },
    "ollama.chat": {"ollama", "sglang"},
    "ollama.generate": {"ollama", "sglang"},
    "ollama.embed": {"ollama"},
    "llamacpp.completion": {"llama.cpp"},
    "tgi.generate": {"tgi"},
    "sglang.generate": {"sglang"},
    "sglang.encode": {"sglang"},
    "vllm.score": {"vllm", "sglang"},
    "vllm.classify": {"vllm", "sglang"},
    "vllm.pooling": {"vllm"},
    "vllm.generate": {"vllm"},
    "jina.rerank": {"jina", "vllm", "sglang", "llama.cpp", "tei", "localai"},
    "cohere.rerank": {"cohere", "vllm"},
    "cohere.embed": {"vllm"},
    "cohere.chat": {"vllm"},
    "triton.generate": {"triton"},
    "sagemaker.invocations": {"vllm", "sglang", "tgi", "tei"},
    "openai.decisions": {"openai", "vllm"},
    "typesafe.systemone": {"vllm", "ollama"},
    "openai.speech": {"openai", "vllm-omni"},
    "lmstudio.chat": {"lm studio"},
    "tei.embed": {"tei"},
    "vllm.scoring": {"vllm"},
}
# What a line of an event stream starts with.
PREFIXES = ("data:", "id:", "event:", "retry:", ":")


def metered() -> list[Case]:
    return [case for case in CASES if isinstance(case.expected, Metered)]


def test_no_two_cases_have_the_same_name() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


def test_every_trap_has_a_case() -> None:
    assert set(Trap) - {trap for case in CASES for trap in case.traps} == set()


def test_every_engine_has_a_case_for_each_api_it_speaks() -> None:
    found = {(case.expected.api, case.engine) for case in CASES if isinstance(case.expected, Metered)}
    assert {(api, engine) for api, engines in SPOKEN.items() for engine in engines} - found == set()


def test_no_case_expects_an_api_that_nobody_speaks() -> None:
    assert {case.expected.api for case in CASES if isinstance(case.expected, Metered)} == set(SPOKEN)


@pytest.mark.parametrize("case", metered(), ids=lambda case: case.name)
def test_an_answer_is_what_its_media_type_says(case: Case) -> None:
    """An answer that can't be read would expect no usage for the wrong reason."""
    answer = case.answer
    content_type = answer.really or answer.content_type
    if answer.cut or answer.nearly:
        return
    for body in (answer.sent, answer.passed_on):
        if content_type.startswith("text/event-stream"):
            check_events(body)
        elif "ndjson" in content_type:
            for line in body.splitlines():
                if line:
                    assert isinstance(json.loads(line), dict)
        elif content_type.startswith("application/json"):
            json.loads(body)


def check_events(body: bytes) -> None:
    for event in body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = event.strip("\n").split("\n")
        assert all(line.startswith(PREFIXES) or line == "" for line in lines), event
        values = [line.removeprefix("data:") for line in lines if line.startswith("data:")]
        if values and "\n".join(values).strip() != "[DONE]":
            json.loads("\n".join(values))


def test_an_expected_event_does_not_contradict_its_answer() -> None:
    assert [case.name for case in CASES if is_contradictory(case)] == []


def is_contradictory(case: Case) -> bool:
    answer, expected = case.answer, case.expected
    if not isinstance(expected, Metered):
        return False
    # A connection may break when everything was said.
    was_cut = answer.cut and Trap.CUT_INSIDE_A_NUMBER not in case.traps
    failed = was_cut or not 200 <= answer.status < 300
    counted = expected.tokens and (expected.tokens.prompt, expected.tokens.completion) == (None, None)
    return (
        expected.streamed != answer.is_stream
        or expected.status != answer.status
        or (failed and expected.outcome != "upstream_error")
        or counted is True
    )


def test_what_is_taken_out_of_an_answer_was_asked_for() -> None:
    changed = [case for case in CASES if any(isinstance(part, Changed) for part in case.answer.parts)]
    assert [case.name for case in changed if not case.request.forwarded] == []
    assert [case.name for case in changed if not isinstance(case.expected, Metered)] == []


def test_the_pieces_of_a_body_make_it_up() -> None:
    # A part of the cases: the cutting does not know what it cuts.
    for case in CASES[::5]:
        for way, pieces in ways_to_cut(case.answer.sent).items():
            assert b"".join(pieces) == case.answer.sent, (case.name, way)
            assert all(pieces), (case.name, way)


def test_nasty_cuts_go_through_characters_line_ends_names_and_numbers() -> None:
    pieces = ways_to_cut('data: "ü", {"usage":48}\r\n\r\n'.encode())["nasty"]
    assert pieces == [b"da", b"ta:", b' "\xc3', b'\xbc", {"us', b'age":4', b"8}\r", b"\n\r", b"\n"]


def test_big_bodies_are_cut_less_finely() -> None:
    assert set(ways_to_cut(b"x" * 1500)) == {"whole", "nasty", "sevens", "singles"}
    assert set(ways_to_cut(b"x" * 1501)) == {"whole", "nasty", "sevens"}
    assert set(ways_to_cut(b"x" * 20_001)) == {"whole", "nasty"}


def test_an_answer_knows_what_is_sent_and_what_is_passed_on() -> None:
    answer = events(data("1"), Changed(data("2")), Changed(b"3", b"4"))
    assert answer.sent == b"data: 1\n\ndata: 2\n\n3"
    assert answer.passed_on == b"data: 1\n\n4"
    assert answer.is_stream
    assert not document("{}").is_stream
    assert Answer((b"x",), framing=Framing.CLOSE).sent == b"x"


def test_a_form_is_written_as_clients_write_it() -> None:
    encoded = Form((("model", "ü"),), b"\x00").encode()
    assert encoded.startswith(
        b'--corpus-7f3a\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xc3\xbc\r\n--'
    )
    assert encoded.endswith(b"\r\n\r\n\x00\r\n--corpus-7f3a--\r\n")
