import json

import pytest

from phoebe_addon.refusal import Refusal, RefusalReason, openai_error_body


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
    body = json.loads(openai_error_body(Refusal(status, RefusalReason.BAD_BODY, 'say "ü"')))

    assert body == {"error": {"message": 'say "ü"', "type": kind, "param": None, "code": "bad_body"}}
