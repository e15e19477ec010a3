import json
from collections.abc import Sequence

import pytest

from phoebe_addon.apis.families.openai_chat import CONTINUOUS_USAGE, STREAM_USAGE
from phoebe_addon.formats.long_json import NESTING_MAX, OBJECT_MEMBERS_MAX, PARTS_MAX
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.request_body import (
    SHORT_BYTES_MAX,
    Asking,
    BadBodyError,
    RequestBody,
    UsagePolicy,
    read_request,
)
from phoebe_addon.gate.routes import Match, RouteTable
from tests.harness.known import engine

ASKED = '"stream_options":{"include_usage":true}'
CONTINUOUS = UsagePolicy(asking=Asking.CONTINUOUS)
ROUTES = RouteTable(built_in_routes())
CHAT = "/v1/chat/completions"


def read(
    sent: str | bytes, path: str = CHAT, usage_policy: UsagePolicy | None = None, content_type: str = ""
) -> RequestBody:
    match = ROUTES.find("POST", path)
    assert isinstance(match, Match)
    content = sent.encode() if isinstance(sent, str) else sent
    return at_once(read_request(content, content_type, match, usage_policy or UsagePolicy()))


def forwarded(text: str, path: str = CHAT, usage_policy: UsagePolicy | None = None) -> str:
    return read(text, path, usage_policy).content.decode()


def usage_policy(name: str, *, continuous: bool = True) -> UsagePolicy:
    return UsagePolicy(engine(name), Asking.CONTINUOUS if continuous else Asking.FINAL)


@pytest.mark.parametrize(
    ("sent", "goes_on"),
    [
        ('{"stream":true}', f'{{"stream":true,{ASKED}}}'),
        ('{ "stream" : true }\n', f'{{ "stream" : true,{ASKED} }}\n'),
        ('{"stream":true,"stream_options":null}', f'{{"stream":true,{ASKED}}}'),
        ('{"stream_options":{},"stream":true}', f'{{{ASKED},"stream":true}}'),
        ('{"stream":true,"stream_options":{"include_usage":false}}', f'{{"stream":true,{ASKED}}}'),
        ('{"stream":true,"stream_options":{"include_usage":null}}', f'{{"stream":true,{ASKED}}}'),
        (
            '{"stream":true,"stream_options":{ "x" : [1] }}',
            '{"stream":true,"stream_options":{ "x" : [1],"include_usage":true }}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
            '{"stream":true,"stream_options":{"include_usage":true,"include_usage":true}}',
        ),
        (
            '{"stream_options":{"include_usage":false},"stream":true,"stream_options":{}}',
            f'{{{ASKED},"stream":true,{ASKED}}}',
        ),
        (
            '{"stream":true,"stream_options":{"include\\u005fusage":false}}',
            '{"stream":true,"stream_options":{"include\\u005fusage":true}}',
        ),
        (
            '{"stream":true,"Stream_Options":{"include_usage":false}}',
            f'{{"stream":true,"Stream_Options":{{"include_usage":true}},{ASKED}}}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":true,"Include_Usage":false}}',
            '{"stream":true,"stream_options":{"include_usage":true,"Include_Usage":true}}',
        ),
        (
            f'{{"stream":true,"Stream_Options":{{"include_usage":false}},{ASKED}}}',
            f'{{"stream":true,"Stream_Options":{{"include_usage":true}},{ASKED}}}',
        ),
        (
            f'{{"stream":true,"stream_options":{{"include_usage":false}},{ASKED}}}',
            f'{{"stream":true,{ASKED},{ASKED}}}',
        ),
    ],
)
def test_a_stream_is_made_to_report_usage_and_no_other_byte_changes(sent: str, goes_on: str) -> None:
    assert forwarded(sent) == goes_on


@pytest.mark.parametrize("value", ["true", '"true"', '"True"', '"on"', "1", "1.0"])
def test_a_client_that_asks_for_usage_itself_is_left_alone(value: str) -> None:
    sent = f'{{"stream":true,"stream_options":{{"include_usage":{value}}}}}'.encode()

    body = read(sent)

    assert body.content is sent
    assert body.added_switches == ()


def test_continuous_usage_is_asked_for_beside_the_final_one() -> None:
    both = '"stream_options":{"include_usage":true,"continuous_usage_stats":true}'

    assert forwarded('{"stream":true}', usage_policy=CONTINUOUS) == f'{{"stream":true,{both}}}'
    assert (
        forwarded(
            '{"stream":true,"stream_options":{"continuous_usage_stats":false}}', usage_policy=CONTINUOUS
        )
        == '{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true}}'
    )


@pytest.mark.parametrize(
    ("name", "asked"),
    [("vLLM", True), ("SGLang", True), ("Dynamo", True), ("TGI", False), ("OpenAI", False)],
)
def test_continuous_usage_is_asked_only_of_engines_that_know_it(name: str, asked: bool) -> None:
    body = read('{"stream":true}', usage_policy=usage_policy(name))

    assert (b"continuous_usage_stats" in body.content) is asked
    assert (CONTINUOUS_USAGE in body.added_switches) is asked
    assert STREAM_USAGE in body.added_switches


@pytest.mark.parametrize(
    ("options", "added_switches"),
    [
        ('{"include_usage":false,"continuous_usage_stats":true}', (STREAM_USAGE,)),
        ('{"include_usage":true}', (CONTINUOUS_USAGE,)),
        ("{}", (STREAM_USAGE, CONTINUOUS_USAGE)),
        ('{"include_usage":1,"continuous_usage_stats":"on"}', ()),
    ],
)
def test_what_the_client_wanted_is_told_apart_from_what_is_asked_for(
    options: str, added_switches: tuple[object, ...]
) -> None:
    body = read(f'{{"stream":true,"stream_options":{options}}}', usage_policy=CONTINUOUS)

    assert body.added_switches == added_switches


@pytest.mark.parametrize(
    ("options", "name", "added_switches"),
    [
        ("{}", "TensorRT-LLM", ()),
        ('{"include_usage":false}', "TensorRT-LLM", (STREAM_USAGE,)),
        ("null", "TensorRT-LLM", (STREAM_USAGE,)),
        ("{}", "vLLM", (STREAM_USAGE,)),
    ],
)
def test_what_an_engine_does_unless_told_otherwise_was_asked_for_by_the_client(
    options: str, name: str, added_switches: tuple[object, ...]
) -> None:
    body = read(
        f'{{"stream":true,"stream_options":{options}}}', usage_policy=usage_policy(name, continuous=False)
    )

    assert body.added_switches == added_switches
    assert ASKED in body.content.decode()


@pytest.mark.parametrize("stream", ["true", '"true"', '"YES"', '"1"', "1", "1.0"])
def test_what_an_engine_may_take_for_true_makes_a_stream(stream: str) -> None:
    assert read(f'{{"stream":{stream}}}').streaming


@pytest.mark.parametrize("stream", ["false", "null", "0", "2", '"no"', '""', "[true]", "{}"])
def test_anything_else_makes_no_stream_and_goes_on_as_the_same_bytes(stream: str) -> None:
    sent = f'{{"stream":{stream},"stream_options":{{"include_usage":false}}}}'.encode()

    body = read(sent)

    assert not body.streaming
    assert body.content is sent
    assert body.added_switches == ()


@pytest.mark.parametrize(
    "sent", ['{"stream":true,"stream":false}', '{"Stream":true}', '{"STREAM":true,"stream":false}']
)
def test_a_stream_that_only_some_engines_would_see_is_a_stream(sent: str) -> None:
    body = read(sent)

    assert body.streaming
    assert ASKED in body.content.decode()


@pytest.mark.parametrize(
    ("sent", "streaming"),
    [
        ("{}", True),
        ('{"stream":null}', True),
        ('{"stream":true}', True),
        ('{"stream":false}', False),
        ('{"Stream":false}', False),
        ('{"stream":false,"Stream":true}', True),
    ],
)
def test_ollama_streams_unless_it_is_told_not_to_and_needs_not_be_asked(sent: str, streaming: bool) -> None:
    for path in ("/api/chat", "/api/generate"):
        body = read(sent, path)

        assert body.streaming is streaming
        assert body.content == sent.encode()


@pytest.mark.parametrize(
    ("path", "streaming"),
    [
        ("/v1/embeddings", False),
        ("/v1/rerank", False),
        ("/v2/models/m/generate", False),
        ("/v2/models/m/generate_stream", True),
        ("/generate_stream", True),
    ],
)
def test_whether_it_is_a_stream_may_be_a_matter_of_the_path(path: str, streaming: bool) -> None:
    for sent in ("{}", '{"stream":true}', '{"stream":false}'):
        assert read(sent, path).streaming is streaming


@pytest.mark.parametrize("options", ["[]", "true", '"include_usage"', "0"])
def test_stream_options_that_are_no_object_are_refused(options: str) -> None:
    with pytest.raises(BadBodyError, match=r"^stream_options must be an object\.$"):
        read(f'{{"stream":true,"stream_options":{options}}}')


def test_parameters_of_tgi_that_are_no_object_are_refused() -> None:
    with pytest.raises(BadBodyError, match=r"^parameters must be an object\.$"):
        read('{"inputs":"a","parameters":[]}', "/generate_stream")


@pytest.mark.parametrize(
    ("sent", "goes_on"),
    [
        ('{"inputs":"a"}', '{"inputs":"a","parameters":{"details":true}}'),
        ('{"inputs":"a","parameters":null}', '{"inputs":"a","parameters":{"details":true}}'),
        (
            '{"parameters":{"top_k":5,"details":false},"inputs":"a"}',
            '{"parameters":{"top_k":5,"details":true},"inputs":"a"}',
        ),
    ],
)
def test_streams_of_tgi_are_made_to_give_details(sent: str, goes_on: str) -> None:
    assert forwarded(sent, "/generate_stream") == goes_on
    assert forwarded(sent, "/generate") == sent
    assert forwarded(sent, "/") == sent
    assert forwarded(f'{{"stream":true,{sent[1:]}', "/") == f'{{"stream":true,{goes_on[1:]}'


def test_triton_is_asked_for_both_counts_in_streams_or_not() -> None:
    for path in ("/v2/models/m/generate", "/v2/models/m/versions/1/generate_stream"):
        assert forwarded('{"text_input":"a"}', path) == (
            '{"text_input":"a","return_num_input_tokens":true,"return_num_output_tokens":true}'
        )
        assert forwarded('{"return_num_output_tokens":false}', path) == (
            '{"return_num_output_tokens":true,"return_num_input_tokens":true}'
        )
        assert forwarded("{}", path) == '{"return_num_input_tokens":true,"return_num_output_tokens":true}'


@pytest.mark.parametrize(
    ("sent", "goes_on", "added"),
    [
        (
            '{"parameters":{"return_num_input_tokens":true}}',
            '{"parameters":{"return_num_input_tokens":true},"return_num_output_tokens":true}',
            ["return_num_output_tokens"],
        ),
        (
            '{"parameters":{"return_num_input_tokens":true,"return_num_output_tokens":true}}',
            '{"parameters":{"return_num_input_tokens":true,"return_num_output_tokens":true}}',
            [],
        ),
        (
            '{"parameters":{"return_num_input_tokens":false, "return_num_output_tokens":null}}',
            '{"parameters":{"return_num_input_tokens":true, "return_num_output_tokens":true}}',
            ["return_num_input_tokens", "return_num_output_tokens"],
        ),
        (
            '{"parameters":{"return_num_input_tokens":true},"return_num_input_tokens":true}',
            '{"parameters":{"return_num_input_tokens":true},"return_num_input_tokens":true,'
            '"return_num_output_tokens":true}',
            ["return_num_output_tokens"],
        ),
        (
            '{"parameters":{"max_tokens":8}}',
            '{"parameters":{"max_tokens":8},"return_num_input_tokens":true,"return_num_output_tokens":true}',
            ["return_num_input_tokens", "return_num_output_tokens"],
        ),
        (
            '{"parameters":null}',
            '{"parameters":null,"return_num_input_tokens":true,"return_num_output_tokens":true}',
            ["return_num_input_tokens", "return_num_output_tokens"],
        ),
    ],
)
def test_what_asks_triton_for_counts_is_set_where_the_client_has_put_it(
    sent: str, goes_on: str, added: list[str]
) -> None:
    """Beside `parameters` and inside of them the same input would be a mistake of ours."""
    path = "/v2/models/m/generate"

    assert forwarded(sent, path) == goes_on
    assert [switch.member for switch in read(sent, path).added_switches] == added


def test_an_empty_object_is_asked_in_as_one() -> None:
    assert forwarded(" { } ", "/v2/models/m/generate") == (
        ' { "return_num_input_tokens":true,"return_num_output_tokens":true} '
    )


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v2/chat", "/completion"])
def test_streams_that_report_usage_unasked_go_on_as_the_same_bytes(path: str) -> None:
    sent = b'{"stream":true,"stream_options":{"include_usage":false}}'

    body = read(sent, path, CONTINUOUS)

    assert body.streaming
    assert body.content is sent


@pytest.mark.parametrize("value", ["true", '"true"', "1"])
@pytest.mark.parametrize("name", ["background", "Background", "back\\u0067round"])
def test_a_response_in_the_background_can_not_be_billed(name: str, value: str) -> None:
    (found,) = read(f'{{"{name}":{value},"background":false}}', "/v1/responses").unbillable

    assert found.name == "background"


def test_a_response_that_waits_is_served() -> None:
    assert not read('{"background":false}', "/v1/responses").unbillable
    assert not read('{"background":true}').unbillable


@pytest.mark.parametrize(
    ("sent", "apis"),
    [
        ('{"inputs":"a"}', ["tgi.generate"]),
        ('{"text":"a","inputs":"a"}', ["sglang.generate", "tgi.generate"]),
        ('{"text":"a","inputs":null}', ["sglang.generate"]),
        ('{"text":null,"inputs":"a"}', ["tgi.generate"]),
        ('{"inputs":null,"inputs":"a"}', ["tgi.generate"]),
        ('{"in\\u0070uts":"a"}', ["tgi.generate"]),
        ('{"text":"a"}', ["sglang.generate"]),
        ('{"input_ids":[1]}', ["sglang.generate"]),
        ("{}", ["sglang.generate"]),
        ('{"inputs":null}', ["sglang.generate"]),
    ],
)
def test_the_apis_of_one_path_are_told_apart_by_the_members_of_the_body(sent: str, apis: list[str]) -> None:
    assert [family.api for family in read(sent, "/generate").families] == apis


DETAILS = '"parameters":{"details":true}'
BOTH = f"{ASKED},{DETAILS}"


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ('"messages":[],"stream":true', ASKED),
        ('"messages":[],"inputs":null,"stream":true', ASKED),
        ('"inputs":"a","stream":true', DETAILS),
        ('"inputs":"a","messages":[],"stream":true', BOTH),
        ('"inputs":"a","prompt":"b","stream":1', BOTH),
        ('"inputs":"a","messages":null,"stream":true', DETAILS),
        ('"stream":true', ASKED),
    ],
)
def test_a_body_that_fits_two_apis_is_asked_in_the_ways_of_both(sent: str, asked: str) -> None:
    assert forwarded(f"{{{sent}}}", "/invocations") == f"{{{sent},{asked}}}"


def test_what_can_not_be_asked_in_both_ways_is_refused() -> None:
    with pytest.raises(BadBodyError, match="parameters must be an object"):
        read('{"inputs":"a","messages":[],"stream":true,"parameters":"x"}', "/invocations")


def test_apis_that_the_body_does_not_tell_apart_are_all_asked() -> None:
    body = read('{"prompt":["a","b"],"stream":true,"n":2}', "/completions")

    assert [family.api for family in body.families] == ["llamacpp.completion", "openai.completions"]
    assert ASKED in body.content.decode()
    assert (body.prompts, body.samples) == (2, 2)


@pytest.mark.parametrize("path", [CHAT, "/generate_stream", "/v2/models/m/generate"])
def test_an_engine_that_is_to_be_asked_for_nothing_is_asked_for_nothing(path: str) -> None:
    sent = '{"inputs":"a","stream":true,"stream_options":{"include_usage":false}}'
    body = read(sent, path, UsagePolicy(asking=Asking.NONE))

    assert body.content.decode() == sent
    assert body.added_switches == ()


@pytest.mark.untraced  # every line traced would take minutes, too
def test_many_repeated_options_are_set_in_one_pass() -> None:
    count = OBJECT_MEMBERS_MAX - 1  # a pass for each would take minutes
    options = '"stream_options":{"include_usage":false},' * count

    body = read(f'{{{options}"stream":true}}')

    assert body.content.count(b'{"include_usage":true}') == count


@pytest.mark.parametrize(
    ("sent", "models"),
    [
        ('{"model":"m"}', ["m"]),
        ('{"model":"a","model":"b"}', ["a", "b"]),
        ('{"model":"a","Model":"b"}', ["b", "a"]),
        ('{"Model":"b"}', ["b"]),
        ('{"model":""}', []),
        ('{"model":null}', []),
        ('{"model":7}', []),
        ('{"model":["m"]}', []),
        ("{}", []),
    ],
)
def test_the_models_are_the_texts_the_client_gave_the_likeliest_last(
    sent: str, models: Sequence[str]
) -> None:
    assert list(read(sent).models) == models


def test_the_model_in_the_path_is_the_only_one() -> None:
    assert read('{"model":"other"}', "/v2/models/m/generate").models == ("m",)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ('"a"', 1),
        ("[1,2,3]", 1),
        ('["a","b"]', 2),
        ("[[1],[2],[3]]", 3),
        ('[{"a":1},{}]', 2),
        ("[]", 1),
        ("null", 1),
        ("{}", 1),
    ],
)
def test_prompts_are_counted(prompt: str, count: int) -> None:
    assert read(f'{{"prompt":{prompt}}}').prompts == count


@pytest.mark.parametrize(
    ("sent", "count"),
    [
        ('{"prompt_embeds":["AAAA","BBBB"]}', 2),
        ('{"prompt_embeds":"AAAA"}', 1),
        ('{"prompt":"a","prompt_embeds":["AAAA","BBBB"]}', 3),
        ('{"prompt":"","prompt_embeds":["AAAA","BBBB"]}', 2),
        ('{"prompt":null,"prompt_embeds":"AAAA"}', 1),
        ('{"prompt":[[1],[2]],"prompt_embeds":null}', 2),
    ],
)
def test_prompts_that_come_as_embeddings_are_prompts_too(sent: str, count: int) -> None:
    assert read(sent).prompts == count


def test_a_request_without_prompts_has_one() -> None:
    assert read('{"messages":[]}').prompts == 1


@pytest.mark.parametrize(
    ("sent", "prompts", "samples"),
    [
        ('{"text":["a","b"],"sampling_params":{"n":3}}', 2, 3),
        ('{"text":null,"input_ids":[[1],[2],[3]]}', 3, 1),
        ('{"instances":[{"text":"a"},{"text":"b"}]}', 2, 1),
    ],
)
def test_prompts_and_samples_stand_where_the_api_puts_them(sent: str, prompts: int, samples: int) -> None:
    body = read(sent, "/generate")

    assert (body.prompts, body.samples) == (prompts, samples)


@pytest.mark.parametrize(
    ("n", "samples"),
    [
        *(("1", 1), ("4", 4), ("4.0", 4), ("true", 1), ("65536", 65_536)),
        *(("0", 1), ("-1", 1), ("65537", 1), ("1e999", 1), ('"4"', 1), ("null", 1), ("[4]", 1)),
    ],
)
def test_samples_are_counted_as_far_as_they_make_sense(n: str, samples: int) -> None:
    assert read(f'{{"n":{n}}}').samples == samples


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(BadBodyError, match="empty"):
        read(b"")


def test_a_body_that_is_not_utf8_is_refused_with_the_place() -> None:
    with pytest.raises(BadBodyError, match=r"not UTF-8 \(byte 6\)"):
        read(b'{"a":"\xff"}')


@pytest.mark.parametrize("padding", [0, SHORT_BYTES_MAX])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_body_nested_too_deeply_is_refused(brackets: tuple[bytes, bytes], padding: int) -> None:
    opening, closing = brackets

    def nested(levels: int) -> bytes:
        inside = levels - 1
        return b'{"a":%s"%s"%s}' % (opening * inside, b"[{" * (padding // 2), closing * inside)

    assert read(nested(NESTING_MAX)).content == nested(NESTING_MAX)
    for levels in (NESTING_MAX + 1, 1000, PARTS_MAX - 1):
        with pytest.raises(BadBodyError, match="nested too deeply"):
            read(nested(levels))


@pytest.mark.untraced  # long, with every line traced
@pytest.mark.parametrize(
    ("part", "what"),
    [(b"[],", "objects and arrays"), (b"{},", "objects and arrays"), (b'{"":0},', "objects and arrays")],
)
def test_a_body_of_more_objects_and_arrays_than_any_request_has_is_refused(part: bytes, what: str) -> None:
    at_the_limit = b'{"a":[' + part * (PARTS_MAX - 3) + b"0]}"

    assert read(at_the_limit).content == at_the_limit
    with pytest.raises(BadBodyError, match=f"more than {PARTS_MAX} {what}"):
        read(b'{"a":[' + part * PARTS_MAX + b"0]}")


@pytest.mark.untraced  # long, with every line traced
def test_a_body_of_more_members_than_any_request_has_is_refused_without_reading_the_rest() -> None:
    objects = b'{"":0,"":0},' * (PARTS_MAX // 2)
    with pytest.raises(BadBodyError, match=f"more than {PARTS_MAX} members"):
        read(b'{"a":[' + objects + b"no JSON")
    with pytest.raises(BadBodyError, match=f"an object of more than {OBJECT_MEMBERS_MAX} members"):
        read(b"{" + b'"":0,' * OBJECT_MEMBERS_MAX + b'"":no JSON')


@pytest.mark.untraced  # long, with every line traced
def test_a_body_of_more_strings_in_arrays_than_any_request_has_is_refused() -> None:
    at_the_limit = b'{"a":[' + b'"",' * PARTS_MAX + b"0]}"

    assert read(at_the_limit).content == at_the_limit
    with pytest.raises(BadBodyError, match=f"more than {PARTS_MAX} strings in arrays"):
        read(b'{"a":[' + b'"",' * PARTS_MAX + b'"",no JSON')


def test_long_texts_and_many_numbers_are_no_parts() -> None:
    text = json.dumps('[{":' * PARTS_MAX).encode()
    content = b'{"a":%s,"b":[%s0]}' % (text, b"1," * PARTS_MAX)

    assert read(content).content == content


@pytest.mark.parametrize("sent", [b"[]", b"null", b"{", b'{"a":NaN}', b"\xef\xbb\xbf{}", b"a=b", b"{}{}"])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/api/chat", "/v2/models/m/generate"])
def test_a_body_that_is_not_one_json_object_is_refused(sent: bytes, path: str) -> None:
    with pytest.raises(BadBodyError, match="not a JSON object"):
        read(sent, path)


def test_numbers_go_on_digit_by_digit() -> None:
    digits = "9" * 5000

    sent = f'{{"seed":{digits},"x":1e999,"y":0.10,"stream":true}}'

    assert forwarded(sent) == f"{sent[:-1]},{ASKED}}}"


def test_lone_surrogates_and_nul_in_texts_go_on_as_they_came() -> None:
    sent = '{"model":"\\ud800\\u0000é","stream":true}'

    body = read(sent)

    assert body.content.decode() == f"{sent[:-1]},{ASKED}}}"
    assert body.models == (json.loads(sent)["model"],)


FORM_TYPE = "multipart/form-data; boundary=b"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


def form(*fields: tuple[str, str]) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields]
    return ("".join(parts) + "--b--\r\n").encode()


def read_form_request(content: bytes, usage_policy: UsagePolicy | None = None) -> RequestBody:
    return read(content, TRANSCRIPTIONS, usage_policy, FORM_TYPE)


def test_a_form_names_its_models_and_says_whether_it_wants_a_stream() -> None:
    content = form(("model", "a"), ("stream", "False"), ("model", ""), ("model", "b"), ("stream", "True"))

    body = read_form_request(content)

    assert body.models == ("a", "b")
    assert body.streaming
    assert body.content is content
    assert body.family.api == "openai.transcription"


def test_vllm_is_asked_for_usage_in_a_form_that_wants_a_stream() -> None:
    sent = form(("stream", "true"))

    for each, more in (
        (usage_policy("vLLM"), [("stream_include_usage", "true"), ("stream_continuous_usage_stats", "true")]),
        (usage_policy("vLLM", continuous=False), [("stream_include_usage", "true")]),
        (usage_policy("OpenAI"), []),
        (CONTINUOUS, []),
    ):
        body = read_form_request(sent, each)

        assert body.content == form(("stream", "true"), *more)
        assert [ask.member for ask in body.added_switches] == [name for name, _ in more]


def test_a_form_that_wants_no_stream_goes_on_as_the_same_bytes() -> None:
    sent = form(("stream", "false"), ("model", "m"))

    assert read_form_request(sent, usage_policy("vLLM")).content is sent


@pytest.mark.parametrize(
    ("wants", "wanted"), [(["true"], True), (["1"], True), (["false"], False), (["true", "false"], False)]
)
def test_a_form_asks_for_usage_if_its_last_word_does(wants: list[str], wanted: bool) -> None:
    sent = form(("stream", "true"), *(("stream_include_usage", want) for want in wants))

    body = read_form_request(sent, usage_policy("vLLM", continuous=False))

    assert bool(body.added_switches) is not wanted
    assert (body.content == sent) is wanted


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"{}", FORM_TYPE),
        (b"", FORM_TYPE),
        (form(), ""),
        (form()[:-4], FORM_TYPE),
    ],
)
def test_what_is_not_a_form_is_refused_where_one_is_needed(content: bytes, content_type: str) -> None:
    with pytest.raises(BadBodyError, match=r"not a form \(multipart/form-data\): .+\.$"):
        read(content, TRANSCRIPTIONS, content_type=content_type)
