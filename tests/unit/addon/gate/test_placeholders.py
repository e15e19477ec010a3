"""What an edge sends for a value that it does not have, and ids that only look like it."""

import pytest

from phoebe_addon.gate.placeholders import is_placeholder

PLACEHOLDERS = {
    "signs": ["-", "--", "_", "*", "?", "{}", "[]", '""', "~" * 64],
    "words": ["null", "NULL", "None", "none", "nil", "undefined", "NaN", "n/a", "unknown", "anonymous"],
    "words in signs": [
        "(null)",
        "<nil>",
        "<no value>",
        "'none'",
        '"null"',
        "[object Object]",
        "-none-",
        "(none)",
    ],
    "nginx": ["$http_x_saturn_auth_id", "$remote_user", "$1"],
    "Apache": ["%{X-Saturn-Auth-Id}i", "%{REMOTE_USER}e"],
    "Envoy": ["%REQ(X-SATURN-AUTH-ID)%", "%DYNAMIC_METADATA(envoy.filters:auth)%"],
    "Caddy": ["{http.request.header.X-Saturn-Auth-Id}", "{http.auth.user.id}"],
    "templates": [
        "{{auth_id}}",
        "{{ .Values.auth }}",
        "customer-{{id}}",
        "${AUTH_ID}",
        "{auth_id}",
        "<%= id %>",
    ],
    "Go": ["%!s(MISSING)", "%!s(<nil>)", "%!d(string=x)"],
}
IDS = [
    *("acme", "a", "0", "007", "org/team:1", "user 1", "a_b", "meta-llama/Llama-3.1-8B-Instruct", "na", "x-"),
    *(
        "none-of-your-business",
        "nullable",
        "anonymous-coward",
        "nil-corp",
        "unknown.example",
        "no value added",
    ),
    *("a$b", "cash$", "50%", "a{b}", "~a~"),
    *(
        "{0190f3a2-7a1b-7c3d-8e4f-0123456789ab}",
        "{abcdef12-7a1b-7c3d-8e4f-0123456789ab}",
        "a" * 64,
        "0" * 256,
    ),
]


@pytest.mark.parametrize("kind", PLACEHOLDERS)
def test_what_stands_for_no_value_is_told(kind: str) -> None:
    assert [value for value in PLACEHOLDERS[kind] if not is_placeholder(value)] == []


def test_ids_are_ids_whatever_they_resemble() -> None:
    assert [value for value in IDS if is_placeholder(value)] == []
