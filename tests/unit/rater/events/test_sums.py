"""What the events of a batch add up to; that the database says the same is tested on one."""

from collections.abc import Container
from datetime import UTC, datetime

from rater_service.events.columns import read_columns
from rater_service.events.sums import BatchSums, KeyedEvents, sum_up
from tests.harness.ledger import HOUR, ONE_HOUR, make_event

HOURS = (HOUR - datetime(1970, 1, 1, tzinfo=UTC)) // ONE_HOUR


def summed(*events: dict[str, object], others: Container[int] = ()) -> BatchSums:
    columns = read_columns([make_event(**fields) for fields in events])
    assert columns is not None
    return sum_up(KeyedEvents.of(columns, others))


def test_events_of_one_key_make_one_sum_and_nothing_is_said_of_what_they_have_not() -> None:
    sums = summed({}, {"prompt_tokens": 50, "cached_tokens": None}, {"auth_id": "bob"})

    assert sums.keys["hours"] == (HOURS, HOURS)
    assert sums.keys["auth_ids"] == ("alice", "bob")
    assert sums.keys["base_models"] == (None, None)
    assert {name: list(numbers) for name, numbers in sums.numbers.items() if numbers} == {
        "event_counts": [2, 1],
        "prompt_tokens": [150, 100],
        "cached_tokens": [20, 20],
        "completion_tokens": [20, 10],
    }
    assert sums.fit_in_bigint


def test_cached_tokens_beyond_a_prompt_shorten_no_other_prompt() -> None:
    sums = summed({"prompt_tokens": 5, "cached_tokens": 9}, {"prompt_tokens": 9, "cached_tokens": 0})

    assert (sums.numbers["prompt_tokens"], sums.numbers["cached_tokens"]) == ([14], [5])
    assert (sums.numbers["excess_cached_events"], sums.numbers["excess_cached_tokens"]) == ([1], [4])


def test_what_is_not_usual_is_counted() -> None:
    aborted = {"usage_found": False, "outcome": "aborted", "status_code": 200}
    sums = summed(
        {"usage_partial": True},
        {"prompt_tokens": None, "cached_tokens": None},
        {"model_echoed": True},
        aborted | {"answer_bytes": 7},
        aborted | {"answer_bytes": None},
        aborted | {"answer_bytes": 5, "status_code": 500},
    )

    assert sums.keys["completeds"] == (True, False)
    assert sums.numbers["partial_usage_events"] == [2, 0]
    assert (sums.numbers["echoed_events"], sums.numbers["echoed_tokens"]) == ([1, 0], [110, 0])
    assert (sums.numbers["unbilled_events"], sums.numbers["unbilled_bytes"]) == ([0, 1], [0, 7])


def test_models_beyond_those_with_sums_of_their_own_share_one() -> None:
    sums = summed({"model_id": "a"}, {"model_id": "b"}, {"model_id": "c"}, others={1, 2})

    assert sums.keys["model_ids"] == ("a", "(other models)")
    assert sums.numbers["event_counts"] == [1, 2]


def test_a_sum_that_no_bigint_holds_is_told() -> None:
    largest: dict[str, object] = {"prompt_tokens": 2**53, "cached_tokens": None}

    assert summed(*[largest] * 1023).fit_in_bigint
    assert not summed(*[largest] * 1024).fit_in_bigint


def test_events_are_taken_apart_by_their_producers() -> None:
    events = [make_event(producer_id=producer, auth_id=who) for producer, who in ("pa", "qb", "pb")]
    columns = read_columns(events)
    assert columns is not None

    apart = KeyedEvents.of(columns).by_producer()

    assert {producer: sum_up(keyed).keys["auth_ids"] for producer, keyed in apart.items()} == {
        "p": ("a", "b"),
        "q": ("b",),
    }
    alone = apart["q"]
    assert alone.by_producer() == {"q": alone}
