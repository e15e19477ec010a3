"""Sentences and months on pages."""

from datetime import UTC, datetime

import pytest

from rater_service.console.figures import sentence
from rater_service.console.query import read_query

NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            "no run 5; `phoebe runs list` shows",
            "No run 5; <code>phoebe runs list</code> shows",
        ),
        ("`phoebe rate`", "<code>phoebe rate</code>"),
        ("nothing of <b>`tick`</b>", "Nothing of &lt;b&gt;`tick`&lt;/b&gt;"),
        ("`phoebe <i>`", "<code>phoebe &lt;i&gt;</code>"),
        ("a name\u202eeman", "A name\\u202eeman"),
        ("", ""),
    ],
)
def test_a_sentence_begins_with_a_capital_and_its_commands_are_code(text: str, written: str) -> None:
    assert sentence(text) == f"<bdi>{written}</bdi>"


@pytest.mark.parametrize(
    ("asked", "around"),
    [
        ({}, [("2026-10", "prev")]),
        ({"month": "2026-10"}, [("2026-09", "prev"), ("2026-11", "next")]),
        ({"from": "2026-10-20T15:00Z"}, [("2026-09", "prev"), ("2026-11", "next")]),
        ({"month": "2027-01"}, [("2026-12", "prev")]),
    ],
)
def test_links_lead_to_the_months_around_and_to_none_that_has_not_begun(
    asked: dict[str, str], around: list[tuple[str, str]]
) -> None:
    assert read_query(asked, NOW).months(NOW) == around
