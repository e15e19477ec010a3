"""Responses to quotes: those that are written before are what they would be if written anew."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.money import Rates, TokenCounts
from rater_service.prices.history import Quote
from rater_service.prices.pricebook import Multiplier, PriceBook
from rater_service.prices.resolution import Price, PriceSource
from rater_service.service import quote_response
from rater_service.service.quote_response import QuoteResponses

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PREMIUM = Multiplier(Decimal("1.5"))
EXACT = Rates(Decimal("0.0000003005"), Decimal(0), Decimal("0.0000009"))
DERIVED = Price(EXACT, EXACT.billed(), PriceSource.DERIVED, "base", PREMIUM)
BOOK = PriceBook("f" * 64, b"", {}, {}, PREMIUM, {}, None)
QUOTE = Quote(DERIVED, BOOK, NOON, None)


def test_a_response_says_all_that_is_known_of_a_quote() -> None:
    response = QuoteResponses().of(QUOTE, TokenCounts(1000, 400, 500))
    expected = pb.ResolvePriceResponse(
        prompt_rate="0.000000301",
        cached_rate="0",
        completion_rate="0.000000900",
        source=pb.PRICE_SOURCE_DERIVED,
        derived_from="base",
        price_book="f" * 64,
        cost="0.000630600",
        exact_prompt_rate="0.0000003005",
        exact_cached_rate="0",
        exact_completion_rate="0.0000009",
        premium=PREMIUM.describe(),
    )
    expected.effective_from.FromDatetime(NOON)
    assert response == expected


def test_each_who_asks_gets_the_cost_of_their_own_tokens_and_none_without_them() -> None:
    responses = QuoteResponses()
    costs = [
        responses.of(QUOTE, counts).cost for counts in (TokenCounts(10, 0, 0), None, TokenCounts(20, 0, 0))
    ]
    assert costs == ["0.000003010", "", "0.000006020"]


def test_what_one_does_with_a_response_changes_nobody_elses() -> None:
    responses = QuoteResponses()
    first = responses.of(QUOTE, None)
    unchanged = pb.ResolvePriceResponse.FromString(first.SerializeToString())
    first.prompt_rate = "1"
    assert responses.of(QUOTE, None) == unchanged


def test_quotes_that_differ_have_responses_of_their_own_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quote_response, "REMEMBERED_MAX", 2)
    responses = QuoteResponses()
    for number in range(7):
        quote = replace(QUOTE, price=replace(DERIVED, derived_from=f"base-{number}"))
        assert [responses.of(quote, None).derived_from for _ in range(2)] == [f"base-{number}"] * 2
