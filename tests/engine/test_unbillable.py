"""Requests that would keep the usage out of the answer, as the real engine understands them."""

import pytest

from tests.engine.metered_client import MeteredClient, new_prompt
from tests.engine.spoken_api import MODEL, NATIVE, RESPONSES, TOKENS

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("fields", [["content"], ["content", "tokens_predicted"]])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_can_not_leave_the_counts_out_of_the_answer(
    client: MeteredClient, fields: list[str], stream: bool
) -> None:
    response = client.http.post(NATIVE.path, json=NATIVE.body("x", response_fields=fields, stream=stream))

    assert response.status_code == 400


@pytest.mark.parametrize("path", ["/embeddings", "/v1/embeddings"])
def test_embeddings_in_the_engines_own_shape_are_not_served(client: MeteredClient, path: str) -> None:
    member = "input" if path == "/embeddings" else "content"

    assert client.http.post(path, json={"model": MODEL, member: "x"}).status_code in {400, 404}


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_of_one_response_are_not_served(client: MeteredClient, stream: bool) -> None:
    response = client.http.post(RESPONSES.path, json=RESPONSES.body("x", n=2, stream=stream))

    assert response.status_code == 400


@pytest.mark.parametrize("name", ["n", "n_cmpl"])
def test_several_answers_share_their_prompt_whatever_they_are_called(
    declared: MeteredClient, name: str
) -> None:
    prompt = new_prompt()
    _, one = declared.post(NATIVE.path, NATIVE.body(prompt))
    _, event = declared.post(NATIVE.path, NATIVE.body(prompt, stream=True, **{name: 2}))

    assert (event.prompt_tokens, event.completion_tokens) == (one.prompt_tokens, 2 * TOKENS)
