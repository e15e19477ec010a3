"""How a proxy is named."""

import pytest

from rater_service.events.proxy_names import proxy_in_words


@pytest.mark.parametrize(
    ("name", "words"),
    [(None, "producer p-1"), ("", "producer p-1"), ("gateway-0", "gateway-0 (producer p-1)")],
)
def test_a_name_comes_before_the_spool_that_it_belongs_to(name: str | None, words: str) -> None:
    assert proxy_in_words("p-1", name) == words
