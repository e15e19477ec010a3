"""What is taken out of a document that is not quite JSON."""

import pytest

from phoebe_addon.answer.removal import edit_of, edited
from tests.harness.known import family

EDIT = edit_of(family("openai.chat").request.usage_switches)


@pytest.mark.parametrize("rest", [b'"x":nope', b'"x":1,}', b'"x":"\x01"'])
def test_usage_is_taken_out_of_an_object_with_a_fault_elsewhere(rest: bytes) -> None:
    document = b'{"id":"c","usage":{"prompt_tokens":1},' + rest + b"}"

    assert edited(document, EDIT) == b'{"id":"c",' + rest + b"}"


def test_what_ends_too_early_stays_as_it_is() -> None:
    document = b'{"id":"c","usage":{"prompt_tokens":1}'

    assert edited(document, EDIT) == document


def test_what_does_not_name_it_is_not_looked_at() -> None:
    assert edited(b"no JSON at all", EDIT) == b"no JSON at all"
