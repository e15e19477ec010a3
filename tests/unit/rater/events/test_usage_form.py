"""Usages of real engines are split into a form and numbers; what may tell of a person is not."""

import pytest

from rater_service.events import usage_form
from rater_service.events.usage_form import FORM_LENGTH_MAX, join_usage, split_usages

SPLIT = {
    '{"prompt_tokens": 12, "tokens_details": {"cached_tokens": 0}, "total_tokens": 007}': (
        '{"prompt_tokens": #, "tokens_details": {"cached_tokens": #}, "total_tokens": #}',
        "12 0 007",
    ),
    '{"input_tokens":9,"cache":{"ephemeral_5m_input_tokens":1},"service_tier":"standard"}': (
        '{"input_tokens":#,"cache":{"ephemeral_#m_input_tokens":#},"service_tier":"standard"}',
        "9 5 1",
    ),
    '{"promptTokenCount":4,"thoughtsTokenCount":null}': (
        '{"promptTokenCount":#,"thoughtsTokenCount":null}',
        "4",
    ),
    '{"queue_time":1.25e-05}': ('{"queue_time":#.#e-#}', "1 25 05"),
}
WHOLE = (
    "",
    "{}",
    "12 for ada",
    '{"ada": 1}',
    '{"tokens": 1, "for": "ada"}',
    '{"tokens": [1, "ada"]}',
    '{"tokens": 1, "note": "#"}',
    '{"tökens": 1}',
    '{"tokens":1}' + " " * FORM_LENGTH_MAX,
    '{"tokens":1}' + " " * 2 * FORM_LENGTH_MAX,
)


@pytest.mark.parametrize("usage", SPLIT)
def test_a_usage_is_split_and_can_be_joined(usage: str) -> None:
    form, numbers = SPLIT[usage]
    assert split_usages([usage]) == ([form], [numbers])
    assert join_usage(form, numbers) == usage


@pytest.mark.parametrize("usage", WHOLE)
def test_what_may_tell_of_a_person_or_can_not_be_split_stays_whole(usage: str) -> None:
    assert split_usages([usage]) == ([""], [""])


def test_each_of_many_is_split_as_it_would_be_alone() -> None:
    forms, numbers = (list(column) for column in zip(*SPLIT.values(), strict=True))
    nothing = [""] * len(WHOLE)
    assert split_usages([*SPLIT, *WHOLE]) == (forms + nothing, numbers + nothing)
    assert split_usages([*SPLIT]) == (forms, numbers)
    assert split_usages([*SPLIT, ""]) == ([*forms, ""], [*numbers, ""])
    assert split_usages([]) == ((), ())


def test_forms_that_are_forgotten_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_form, "_FORMS_REMEMBERED", 1)
    forms, numbers = (list(column) for column in zip(*SPLIT.values(), strict=True))
    for _ in range(2):
        assert split_usages([*SPLIT]) == (forms, numbers)
