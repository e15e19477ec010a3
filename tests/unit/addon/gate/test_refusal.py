import json

import pytest

from phoebe_addon.apis.family import ErrorShape
from phoebe_addon.gate.refusal import Refusal, RefusalReason, error_body


def body_of(status: int, shape: ErrorShape) -> object:
    body: object = json.loads(error_body(Refusal(status, RefusalReason.BAD_BODY, 'say "ü"'), shape))
    return body


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "invalid_request_error"),
        (403, "permission_error"),
        (413, "request_too_large"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_a_refusal_has_the_shape_of_an_openai_error(status: int, kind: str) -> None:
    assert body_of(status, ErrorShape.OPENAI) == {
        "error": {"message": 'say "ü"', "type": kind, "param": None, "code": "bad_body"}
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_a_refusal_has_the_shape_of_an_anthropic_error(status: int, kind: str) -> None:
    assert body_of(status, ErrorShape.ANTHROPIC) == {
        "type": "error",
        "error": {"type": kind, "message": 'say "ü"'},
    }


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (ErrorShape.TEXT, {"error": 'say "ü"'}),
        (ErrorShape.TGI, {"error": 'say "ü"', "error_type": "bad_body"}),
        (ErrorShape.COHERE, {"message": 'say "ü"'}),
    ],
)
def test_a_refusal_has_the_shape_of_each_other_api(shape: ErrorShape, body: object) -> None:
    assert body_of(400, shape) == body
    assert body_of(503, shape) == body


@pytest.mark.parametrize("shape", ErrorShape)
def test_an_error_body_is_ascii_whatever_the_message_repeats(shape: ErrorShape) -> None:
    refusal = Refusal(400, RefusalReason.BAD_BODY, "\udcff\0\x1b[2J\u2028")

    content = error_body(refusal, shape)

    assert content.isascii()
    assert content.decode().isprintable()
