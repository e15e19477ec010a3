import json

import pytest

from phoebe_addon.request_body import BadBodyError, read_openai_body

ASKED = '"stream_options":{"include_usage":true}'


def forwarded(text: str, *, continuous_usage: bool = False) -> str:
    return read_openai_body(text.encode(), continuous_usage=continuous_usage).content.decode()


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
            '{"stream":true,"stream_options":{ "x" : [1] ,"include_usage":true}}',
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
    ],
)
def test_a_stream_is_made_to_report_usage_and_no_other_byte_changes(sent: str, goes_on: str) -> None:
    assert forwarded(sent) == goes_on


@pytest.mark.parametrize("value", ["true", '"true"', '"True"', '"on"', "1", "1.0"])
def test_a_client_that_asks_for_usage_itself_is_left_alone(value: str) -> None:
    sent = f'{{"stream":true,"stream_options":{{"include_usage":{value}}}}}'.encode()

    body = read_openai_body(sent)

    assert body.content == sent
    assert body.usage_wanted


def test_continuous_usage_is_asked_for_beside_the_final_one() -> None:
    both = '"stream_options":{"include_usage":true,"continuous_usage_stats":true}'

    assert forwarded('{"stream":true}', continuous_usage=True) == f'{{"stream":true,{both}}}'
    assert (
        forwarded('{"stream":true,"stream_options":{"continuous_usage_stats":false}}', continuous_usage=True)
        == '{"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true}}'
    )


def test_what_the_client_wanted_is_told_apart_from_what_is_asked_for() -> None:
    body = read_openai_body(
        b'{"stream":true,"stream_options":{"include_usage":false,"continuous_usage_stats":true}}',
        continuous_usage=True,
    )

    assert (body.usage_wanted, body.continuous_usage_wanted) == (False, True)


@pytest.mark.parametrize("stream", ["true", '"true"', '"YES"', '"1"', "1", "1.0"])
def test_what_an_engine_may_take_for_true_makes_a_stream(stream: str) -> None:
    assert read_openai_body(f'{{"stream":{stream}}}'.encode()).streaming


@pytest.mark.parametrize("stream", ["false", "null", "0", "2", '"no"', '""', "[true]", "{}"])
def test_anything_else_makes_no_stream_and_goes_on_as_the_same_bytes(stream: str) -> None:
    sent = f'{{"stream":{stream},"stream_options":{{"include_usage":false}}}}'.encode()

    body = read_openai_body(sent)

    assert not body.streaming
    assert body.content is sent


@pytest.mark.parametrize(
    "sent", ['{"stream":true,"stream":false}', '{"Stream":true}', '{"STREAM":true,"stream":false}']
)
def test_a_stream_that_only_some_engines_would_see_is_a_stream(sent: str) -> None:
    body = read_openai_body(sent.encode())

    assert body.streaming
    assert ASKED in body.content.decode()


@pytest.mark.parametrize("options", ["[]", "true", '"include_usage"', "0"])
def test_stream_options_that_are_no_object_are_refused(options: str) -> None:
    with pytest.raises(BadBodyError, match=r"^stream_options must be an object\.$"):
        read_openai_body(f'{{"stream":true,"stream_options":{options}}}'.encode())


def test_many_repeated_options_are_set_in_one_pass() -> None:
    count = 100_000  # a pass for each would take minutes
    options = '"stream_options":{"include_usage":false},' * count

    body = read_openai_body(f'{{{options}"stream":true}}'.encode())

    assert body.content.count(b'{"include_usage":true}') == count


@pytest.mark.parametrize(
    ("sent", "model"),
    [
        ('{"model":"m"}', "m"),
        ('{"model":"a","model":"b"}', "b"),
        ('{"model":""}', ""),
        ('{"model":null}', None),
        ('{"model":7}', None),
        ("{}", None),
    ],
)
def test_the_model_is_the_text_the_client_gave(sent: str, model: str | None) -> None:
    assert read_openai_body(sent.encode()).model == model


@pytest.mark.parametrize(
    ("prompt", "count"),
    [('"a"', 1), ("[1,2,3]", 1), ('["a","b"]', 2), ("[[1],[2],[3]]", 3), ("[]", 1), ("null", 1), ("{}", 1)],
)
def test_prompts_are_counted(prompt: str, count: int) -> None:
    assert read_openai_body(f'{{"prompt":{prompt}}}'.encode()).prompt_count == count


def test_a_request_without_prompts_has_one() -> None:
    assert read_openai_body(b'{"messages":[]}').prompt_count == 1


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(BadBodyError, match="empty"):
        read_openai_body(b"")


def test_a_body_that_is_not_utf8_is_refused_with_the_place() -> None:
    with pytest.raises(BadBodyError, match=r"not UTF-8 \(byte 6\)"):
        read_openai_body(b'{"a":"\xff"}')


def test_a_body_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BadBodyError, match="nested too deeply"):
        read_openai_body(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


@pytest.mark.parametrize("sent", [b"[]", b"null", b"{", b'{"a":NaN}', b"\xef\xbb\xbf{}", b"a=b", b"{}{}"])
def test_a_body_that_is_not_one_json_object_is_refused(sent: bytes) -> None:
    with pytest.raises(BadBodyError, match="not a JSON object"):
        read_openai_body(sent)


def test_numbers_go_on_digit_by_digit() -> None:
    digits = "9" * 5000

    sent = f'{{"seed":{digits},"x":1e999,"y":0.10,"stream":true}}'

    assert forwarded(sent) == f"{sent[:-1]},{ASKED}}}"


def test_lone_surrogates_and_nul_in_texts_go_on_as_they_came() -> None:
    sent = '{"model":"\\ud800\\u0000é","stream":true}'

    body = read_openai_body(sent.encode())

    assert body.content.decode() == f"{sent[:-1]},{ASKED}}}"
    assert body.model == json.loads(sent)["model"]
