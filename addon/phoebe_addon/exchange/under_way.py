"""Which exchanges are under way: from the moment their head is in order to their end."""

from collections import Counter

from phoebe_addon.exchange.exchange import Exchange


class UnderWay:
    """Exchanges that have not ended, by the connection they came on and by who pays."""

    def __init__(self) -> None:
        self._by_connection: dict[str, set[Exchange]] = {}
        self._by_auth_id: Counter[str] = Counter()
        self._count = 0  # each request asks for it

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def of_auth_id(self, auth_id: str) -> int:
        """Return how many one customer has."""
        return self._by_auth_id[auth_id]

    def auth_ids(self) -> set[str]:
        """Return who has any."""
        return set(self._by_auth_id)

    def add(self, exchange: Exchange) -> None:
        """Take note of an exchange whose head is in order. Once."""
        assert exchange.passed
        siblings = self._by_connection.setdefault(exchange.connection_id, set())
        assert exchange not in siblings
        siblings.add(exchange)
        self._by_auth_id[exchange.passed.identity.auth_id] += 1
        self._count += 1

    def remove(self, exchange: Exchange) -> None:
        """Take note that an exchange has ended, however it did. What is not there, or no more, is none."""
        siblings = self._by_connection.get(exchange.connection_id, set())
        if exchange not in siblings:
            return
        assert exchange.passed
        siblings.remove(exchange)
        self._count -= 1
        if not siblings:
            del self._by_connection[exchange.connection_id]
        auth_id = exchange.passed.identity.auth_id
        self._by_auth_id[auth_id] -= 1
        if not self._by_auth_id[auth_id]:
            del self._by_auth_id[auth_id]

    def on_connection(self, connection_id: str) -> list[Exchange]:
        """List those that came on a connection."""
        return list(self._by_connection.get(connection_id, ()))

    def all(self) -> list[Exchange]:
        """List all."""
        return [exchange for exchanges in self._by_connection.values() for exchange in exchanges]
