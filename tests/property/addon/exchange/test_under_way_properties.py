"""Whatever exchanges begin and however they end: the books are right, and empty in the end."""

from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.exchange.exchange import Exchange
from phoebe_addon.exchange.under_way import UnderWay
from tests.harness.exchanges import IDENTITY, PASSED

# Who pays, on which connection, and how often the end is told.
exchanges = st.tuples(
    st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]), st.integers(min_value=1, max_value=3)
)


@given(st.lists(exchanges, max_size=12), st.randoms(use_true_random=False))
def test_each_exchange_is_counted_once_until_it_ends_however_often_that_is_told(
    drawn: list[tuple[str, str, int]], random: Random
) -> None:
    books = UnderWay()
    known: dict[Exchange, str] = {}
    moves: list[tuple[Exchange, bool]] = []
    for auth_id, connection_id, ends in drawn:
        exchange = Exchange(connection_id)
        exchange.pass_head(replace(PASSED, identity=replace(IDENTITY, auth_id=auth_id)))
        known[exchange] = auth_id
        moves += [(exchange, True), *[(exchange, False)] * ends]
    order = list(range(len(moves)))
    random.shuffle(order)
    under_way: set[Exchange] = set()
    begun: set[Exchange] = set()
    for index in order:
        exchange, begins = moves[index]
        if begins and exchange not in begun:
            begun.add(exchange)
            under_way.add(exchange)
            books.add(exchange)
        elif not begins:
            under_way.discard(exchange)
            books.remove(exchange)
        by_auth_id = Counter(known[each] for each in under_way)
        assert len(books) == len(under_way)
        assert {name: books.of_auth_id(name) for name in "abc"} == {name: by_auth_id[name] for name in "abc"}
        assert books.auth_ids() == set(by_auth_id)
        assert set(books.all()) == under_way
        for connection_id in "xy":
            on_it = {each for each in under_way if each.connection_id == connection_id}
            assert set(books.on_connection(connection_id)) == on_it
    for exchange in known:
        books.remove(exchange)
    assert (len(books), books.auth_ids(), books.all()) == (0, set(), [])
