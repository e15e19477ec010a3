"""Events that are taken apart by their producers have the sums that each producer's have alone."""

from hypothesis import given
from hypothesis import strategies as st

from rater_service.events.columns import EventColumns, read_columns
from rater_service.events.sums import KeyedEvents, sum_up
from tests.harness.ledger import HOUR, make_event

# The producer, the customer and the tokens of each event.
BATCHES = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("ab"), st.integers(0, 9)), min_size=1, max_size=20
)


def columns_of(batch: list[tuple[str, str, int]]) -> EventColumns:
    columns = read_columns(
        [
            make_event(HOUR, producer_id=producer, auth_id=customer, prompt_tokens=tokens, cached_tokens=0)
            for producer, customer, tokens in batch
        ]
    )
    assert columns is not None
    return columns


@given(BATCHES)
def test_each_producers_events_have_the_sums_that_they_have_alone(batch: list[tuple[str, str, int]]) -> None:
    apart = KeyedEvents.of(columns_of(batch)).by_producer()

    assert list(apart) == list(dict.fromkeys(producer for producer, _, _ in batch))
    for producer, keyed in apart.items():
        alone = columns_of([one for one in batch if one[0] == producer])
        assert sum_up(keyed) == sum_up(KeyedEvents.of(alone))
