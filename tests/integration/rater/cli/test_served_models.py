"""Asking real HTTP servers for their lists of models."""

import json

import pytest

from rater_service.cli.prices.served_models import ServedModel, served_models
from rater_service.errors import OperatorError
from tests.harness.answering import answering


def ask(url: str, headers: tuple[tuple[str, str], ...] = ()) -> tuple[ServedModel, ...]:
    return served_models(url, headers, timeout_s=5, ca_file=None)


def test_the_list_of_openai_names_models_and_the_parents_of_adapters() -> None:
    listed = {"data": [{"id": "base"}, {"id": "ft:x", "parent": "base"}, {"id": "base"}, {"no": "id"}, 7]}
    with answering({"/v1/models": json.dumps(listed).encode()}) as (url, shown):
        assert ask(f"{url}/", (("Authorization", "Bearer secret"),)) == (
            ServedModel("base", None),
            ServedModel("ft:x", "base"),
        )
    assert shown == ["Bearer secret"]


@pytest.mark.parametrize(
    ("path", "document"),
    [("/info", {"model_id": "m"}), ("/api/tags", {"models": [{"name": "m", "parent": ""}]})],
)
def test_servers_without_that_list_are_asked_in_their_own_way(path: str, document: object) -> None:
    with answering({path: json.dumps(document).encode()}) as (url, _):
        assert ask(url) == (ServedModel("m", None),)


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        (b'{"data": []}', 200, "names no model"),
        (b"[]", 200, "names no model"),
        (b"<html>", 200, "does not answer with JSON"),
        (b"[" * 100_000, 200, "does not answer with JSON"),
        (b'{"data": "' + b"x" * 9_000_000 + b'"}', 200, "more than 8,388,608 bytes"),
        (b"{}", 401, "status 401"),
        (b"{}", 500, "status 500"),
    ],
)
def test_whatever_else_comes_is_an_error_that_says_so(page: bytes, status: int, said: str) -> None:
    with (
        answering({"/v1/models": page}, status) as (url, _),
        pytest.raises(OperatorError, match=said) as failed,
    ):
        ask(url, (("Authorization", "Bearer secret"),))
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "http://[", "ftp://127.0.0.1/"])
def test_a_server_that_cannot_be_asked_is_an_error(url: str) -> None:
    with pytest.raises(OperatorError, match="can't be asked"):
        ask(url)
