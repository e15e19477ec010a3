"""Sums of bills that were added up before, as long as no run has changed a bill since."""

import time
from collections import OrderedDict
from collections.abc import Sequence

from rater_service.bills.rated_usage import read_last_change
from rater_service.bills.report import Grouping
from rater_service.bills.rollups import Selection
from rater_service.bills.sums import AddedUp, Order, add_up
from rater_service.database.database import Connection

# Rows of all that is kept: some dozen megabytes.
ROWS_MAX = 50_000
# `phoebe sums rebuild-days` changes sums and no bill. Nobody reads for long what it has mended.
KEPT_S = 60.0

type _Key = tuple[Selection, tuple[Grouping, ...], Order, int | None]


class KeptSums:
    """Adds bills up, and keeps what it read last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, tuple[int, float, AddedUp]] = OrderedDict()

    async def add_up(
        self,
        connection: Connection,
        selection: Selection,
        by: Sequence[Grouping],
        order: Order = Order.NAME,
        limit: int | None = None,
    ) -> AddedUp:
        """Add the rollups selected up; see `sums.add_up`. In a snapshot, so that what it reads agrees."""
        last_change = await read_last_change(connection)
        key = (selection, tuple(by), order, limit)
        known = self._kept.get(key)
        now_s = time.monotonic()
        if known is not None and known[0] == last_change and now_s < known[1]:
            self._kept.move_to_end(key)
            return known[2]
        added = await add_up(connection, selection, by, order, limit)
        self._kept[key] = (last_change, now_s + KEPT_S, added)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(len(one.rows) + 1 for *_, one in self._kept.values()) > ROWS_MAX:
            self._kept.popitem(last=False)
        return added
