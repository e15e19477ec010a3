"""A rollup, the ledger, the price book and the events: whether they agree, point by point."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rater_service.bills.explanation import (
    EventSums,
    Explanation,
    RateOrigin,
    RollupChange,
    RunStamp,
    found_changed,
)
from rater_service.hours import HOUR
from rater_service.money import Rates
from rater_service.prices.history import Quote
from rater_service.prices.loadings import Loading
from rater_service.prices.pricebook import Identity, PriceBook
from rater_service.prices.resolution import Price, PriceSource
from rater_service.rollup import RollupKey, Version

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RATES = Rates(Decimal("0.000000200"), Decimal("0.000000050"), Decimal("0.000000600"))
NOW = Version(
    prompt_tokens=110,
    cached_tokens=30,
    completion_tokens=20,
    billable_prompt_tokens=80,
    cost=Decimal("0.000029500"),
    applied_prompt_rate=RATES.prompt,
    applied_cached_rate=RATES.cached,
    applied_completion_rate=RATES.completion,
    event_count=2,
    base_model=None,
    price_book="c0ffee",
)
EARLIER = replace(NOW, completion_tokens=10, cost=Decimal("0.000023500"), event_count=1)
EVENTS = EventSums(2, 110, 30, 20, 80, without_usage=0, untrusted=0, pruned_at=None, came_late=False)
PRICE = Price(RATES, RATES, PriceSource.BASE_MODEL, None, None)


def quote(content_hash: str) -> Quote:
    book = PriceBook(content_hash, b"", {"meta/base-a": RATES}, {}, Identity(), {}, None)
    return Quote(PRICE, book, None, None)


LOADING = Loading(1, "c0ffee", "prices.yaml", NOON, "a test", "phoebe", None)
ORIGIN = RateOrigin(LOADING, True, None, PRICE, None, quote("c0ffee"))


def run(number: int) -> RunStamp:
    at = NOON + number * HOUR
    return RunStamp(number, "ROUTINE", "atlas", at, at + timedelta(seconds=1), at)


def change(number: int, old: Version | None, new: Version | None) -> RollupChange:
    return RollupChange(run(number), 5, old, new)


CHANGES = (change(1, None, EARLIER), change(2, EARLIER, NOW))
TOLD = Explanation(
    RollupKey(NOON, "alice", "deployment-1", "meta/base-a"), 5, NOW, run(2), ORIGIN, CHANGES, EVENTS
)


def test_the_cost_is_taken_apart_by_kind_of_token() -> None:
    assert [(charge.kind, charge.tokens, charge.rate, charge.amount) for charge in NOW.charges()] == [
        ("prompt", 80, RATES.prompt, Decimal("0.000016000")),
        ("cached", 30, RATES.cached, Decimal("0.000001500")),
        ("completion", 20, RATES.completion, Decimal("0.000012000")),
    ]
    assert NOW.explained_cost() == NOW.cost


def test_a_rollup_of_which_all_agrees_has_no_disagreement() -> None:
    assert TOLD.disagreements == ()


def test_a_rollup_that_a_run_deleted_agrees_with_a_ledger_that_says_so() -> None:
    deleted = replace(TOLD, now=None, run=None, origin=None, changes=(*CHANGES, change(3, NOW, None)))

    assert deleted.disagreements == ()


DISAGREEING: Mapping[str, tuple[Explanation, str]] = {
    "no run": (replace(TOLD, changes=()), "no run says that it wrote this rollup"),
    "changed since": (
        replace(TOLD, changes=(*CHANGES, change(2, NOW, EARLIER))),
        "run 2 left something else: it was changed since, by none of the runs",
    ),
    "deleted by nobody": (
        replace(TOLD, now=None, run=None, origin=None),
        "run 2 left something else: it was changed since, by none of the runs",
    ),
    "another run": (replace(TOLD, run=run(1)), "it names run 1, and run 2 wrote it"),
    "no price": (
        replace(TOLD, origin=replace(ORIGIN, price=None)),
        "its price book does not price the model",
    ),
    "no book": (replace(TOLD, origin=None), "its price book does not price the model"),
    "other rates": (
        replace(TOLD, origin=replace(ORIGIN, price=replace(PRICE, billed=RATES.plus(Decimal("0.1"))))),
        "its rates are not those of its price book",
    ),
}


@pytest.mark.parametrize(("told", "said"), DISAGREEING.values(), ids=DISAGREEING)
def test_what_does_not_agree_is_said(told: Explanation, said: str) -> None:
    assert told.disagreements == (said,)


def test_a_cost_that_tokens_and_rates_do_not_make_is_said_with_both() -> None:
    tampered = replace(NOW, cost=Decimal("0.000029501"))
    told = replace(TOLD, now=tampered, changes=(change(2, None, tampered),))

    assert told.disagreements == ("its cost is 0.000029501 USD, its tokens and rates make 0.000029500 USD",)


def test_all_that_is_wrong_is_said_at_once() -> None:
    now = replace(NOW, cost=Decimal(1))
    told = replace(TOLD, now=now, run=run(1), origin=None, events=replace(EVENTS, events=1))

    assert len(told.disagreements) == 5


@pytest.mark.parametrize(
    "name", ["events", "prompt_tokens", "cached_tokens", "completion_tokens", "billable_prompt_tokens"]
)
def test_a_rollup_that_sums_more_than_its_events_disagrees_with_them(name: str) -> None:
    fewer = replace(EVENTS, **{name: getattr(EVENTS, name) - 1}, came_late=True)

    (said,) = replace(TOLD, events=fewer).disagreements
    assert said.startswith(
        "it sums 2 events, 110 prompt, 30 cached, 20 completion, 80 billable prompt tokens; its events make "
    )
    assert "`phoebe rate --dry-run`" in said


MORE = replace(EVENTS, events=3, completion_tokens=25)


def test_events_that_a_run_left_out_are_a_disagreement() -> None:
    (said,) = replace(TOLD, events=MORE).disagreements

    assert "its events make 3 events, 110 prompt, 30 cached, 25 completion" in said


def test_events_that_came_after_the_run_are_none() -> None:
    assert replace(TOLD, events=replace(MORE, came_late=True)).disagreements == ()


def test_events_of_a_fine_tune_that_may_have_no_price_are_none() -> None:
    fine_tune = replace(TOLD.key, model_id="ft:x")

    assert replace(TOLD, key=fine_tune, events=MORE).disagreements == ()


@pytest.mark.parametrize(
    ("current", "frozen"), [(quote("c0ffee"), False), (quote("newer"), True), (None, True)]
)
def test_rates_are_frozen_if_another_book_would_be_taken_today(current: Quote | None, frozen: bool) -> None:
    assert replace(ORIGIN, current=current).is_frozen is frozen


def test_a_run_that_found_something_else_than_the_one_before_had_left_is_named() -> None:
    stranger = replace(NOW, event_count=7)
    changes = (
        change(1, None, EARLIER),
        change(2, EARLIER, NOW),
        change(3, stranger, EARLIER),
        change(4, EARLIER, None),
    )

    assert found_changed(changes) == (changes[2],)
    assert found_changed(CHANGES) == found_changed(CHANGES[:1]) == found_changed(()) == ()
