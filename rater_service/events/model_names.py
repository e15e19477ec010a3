"""Bounds how many models one customer's usage of an hour is summed under.

Where an engine repeats whatever name it is sent, a client can invent a model for each request. Each would
make a sum for ever, and every run over the hour would read them all.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from rater_service.database.database import Connection
from rater_service.events.sums import KeyedEvents
from rater_service.hours import HOUR, utc_text
from rater_service.other_models import OTHER_MODELS
from rater_service.statements import bound
from rater_service.wire_time import EPOCH

logger = logging.getLogger(__name__)

MODEL_NAMES_MAX = 1_000
# Some 20 MB. Whose turn was longest ago is forgotten first; the database is asked should they come back.
REMEMBERED_NAMES_MAX = 100_000
# Of customers with fewer names than this part of what they may have, the database is not asked.
_ASKED_FROM_PART = 10

type ModelUse = tuple[str, str | None, datetime]
"""A model, the base model that was stated with it, and the hour in which it was used (UTC-aware)."""
type FindPriced = Callable[[Connection, Collection[ModelUse]], Awaitable[Collection[ModelUse]]]
"""Says which of some models have a price in their hours."""
type _Bill = tuple[str | None, int]
# A customer (None: none), and an hour by its number since 1970.


@dataclass(slots=True)
class _Names:
    """Models with sums of their own. asked: whether those that other processes gave sums are among them.
    said: whether it was said that they are too many.
    """

    known: set[str] = field(default_factory=set)
    asked: bool = False
    said: bool = False


class ModelNames:
    """Which models have sums of their own, for each customer (auth_id) and hour.

    The first names_max (1 or more) of an hour have, and beyond them those with a price. That is what this
    process knows: another one, or one that was started again, may let a few more pass. What an event is
    summed under is kept with it, so that events and sums always agree.
    count_others: called with how many events of a batch are summed as those of other models.
    """

    def __init__(
        self,
        find_priced: FindPriced,
        names_max: int = MODEL_NAMES_MAX,
        count_others: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._find_priced = find_priced
        self._names_max = names_max
        self._count_others = count_others
        self._by_bill: OrderedDict[_Bill, _Names] = OrderedDict()
        self._remembered = 0

    async def find_others(self, connection: Connection, keyed: KeyedEvents) -> frozenset[int]:
        """Return the places of the events that are to be summed as those of other models.

        keyed: the events by the keys of their own models. To be called in the transaction that stores them.
        """
        new: dict[_Bill, set[str]] = {}
        for hour, auth_id, _, model_id, *_ in keyed.keys:
            bill = (auth_id, hour)
            if model_id and not self._is_known(bill, model_id):
                new.setdefault(bill, set()).add(model_id)
        beyond = {bill: await self._admit(connection, bill, names) for bill, names in new.items()}
        if not any(beyond.values()):
            return frozenset()
        uses = {
            number: (model_id, base_model, _moment_of(hour))
            for (hour, auth_id, _, model_id, base_model, *_), number in keyed.keys.items()
            if model_id and model_id in beyond.get((auth_id, hour), ())
        }
        others = {place: uses[number] for place, number in enumerate(keyed.numbers) if number in uses}
        priced = await self._find_priced(connection, {*others.values()})
        unpriced = frozenset(place for place, use in others.items() if use not in priced)
        self._count_others(len(unpriced))
        return unpriced

    def _is_known(self, bill: _Bill, model_id: str) -> bool:
        names = self._by_bill.get(bill)
        return names is not None and model_id in names.known

    async def _admit(self, connection: Connection, bill: _Bill, new: Collection[str]) -> frozenset[str]:
        """Give new names sums of their own, as many as may have; return the others."""
        names = self._by_bill.get(bill, _Names())
        is_asked = not names.asked and len(names.known) + len(new) > self._names_max // _ASKED_FROM_PART
        summed = await self._read_summed(connection, bill) if is_asked else ()
        # From here on nobody comes between.
        names = self._by_bill.setdefault(bill, _Names())
        self._by_bill.move_to_end(bill)
        names.asked = names.asked or is_asked
        self._remember(names, summed)
        unknown = sorted(set(new) - names.known)
        room = max(self._names_max - len(names.known), 0)
        self._remember(names, unknown[:room])
        if len(unknown) > room and not names.said:
            names.said = True
            self._say(bill)
        return frozenset(unknown[room:])

    async def _read_summed(self, connection: Connection, bill: _Bill) -> Collection[str]:
        auth_id, hour = bill
        rows = await connection.fetch(
            *bound(
                "events/summed_models",
                window_start=_moment_of(hour),
                auth_id=auth_id,
                other_models=OTHER_MODELS,
                limit=self._names_max,
            )
        )
        return [row["model_id"] for row in rows]

    def _remember(self, names: _Names, more: Collection[str]) -> None:
        before = len(names.known)
        names.known.update(more)
        self._remembered += len(names.known) - before
        while self._remembered > REMEMBERED_NAMES_MAX and len(self._by_bill) > 1:
            _, forgotten = self._by_bill.popitem(last=False)
            self._remembered -= len(forgotten.known)

    def _say(self, bill: _Bill) -> None:
        auth_id, hour = bill
        logger.warning(
            "auth_id %s has used more than %d models in the hour %s: usage of further ones without a price "
            "is summed as %s. Probably a client invents names; every run over the hour says TOO_MANY_MODELS",
            auth_id or "",
            self._names_max,
            utc_text(_moment_of(hour)),
            OTHER_MODELS,
        )


def _moment_of(hour: int) -> datetime:
    return EPOCH + hour * HOUR
