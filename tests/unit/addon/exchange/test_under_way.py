import random
from collections import Counter
from dataclasses import replace

from phoebe_addon.exchange.exchange import Exchange
from phoebe_addon.exchange.under_way import UnderWay
from tests.harness.exchanges import IDENTITY, PASSED


def begun(auth_id: str, connection_id: str) -> Exchange:
    exchange = Exchange(connection_id)
    exchange.pass_head(replace(PASSED, identity=replace(IDENTITY, auth_id=auth_id)))
    return exchange


def test_exchanges_are_known_by_connection_and_by_who_pays_until_they_end() -> None:
    books = UnderWay()
    first, second, third = begun("alice", "x"), begun("alice", "y"), begun("bob", "x")
    for exchange in (first, second, third):
        books.add(exchange)

    assert (len(books), books.of_auth_id("alice"), books.of_auth_id("bob")) == (3, 2, 1)
    assert books.auth_ids() == {"alice", "bob"}
    assert set(books.on_connection("x")) == {first, third}
    assert set(books.all()) == {first, second, third}

    for _ in range(2):  # an end may be told twice
        books.remove(first)
        books.remove(third)

    assert (len(books), books.auth_ids(), books.on_connection("x")) == (1, {"alice"}, [])
    assert books.of_auth_id("bob") == 0


def test_their_number_is_right_however_they_come_and_go() -> None:
    books = UnderWay()
    draw = random.Random(20261129)
    exchanges = [begun(draw.choice("abc"), draw.choice("xyz")) for _ in range(50)]
    there: set[Exchange] = set()
    for exchange in draw.choices(exchanges, k=1000):
        if exchange in there:
            books.remove(exchange)
        else:
            books.remove(exchange)  # it is not there
            books.add(exchange)
        there ^= {exchange}

        assert len(books) == len(there) == len(books.all())
        payers = Counter(each.passed.identity.auth_id for each in there if each.passed)
        assert {auth_id: books.of_auth_id(auth_id) for auth_id in books.auth_ids()} == payers
