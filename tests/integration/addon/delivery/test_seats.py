"""Workers leave each other's spools to the next start of the number that they belong to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoebe_addon.delivery import adoption as adoption_module
from phoebe_addon.delivery.adoption import Adoption
from phoebe_addon.delivery.credentials import PLAINTEXT
from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import open_own
from tests.harness.events import EventRecorder
from tests.harness.spooled import finish
from tests.harness.waiting import until


@asynccontextmanager
async def adopting(folder: Path, rater: EventRecorder) -> AsyncIterator[None]:
    """Adopt as worker 1 of 2 does."""

    def deliver(spool: Spool) -> Delivery:
        return Delivery(spool, f"127.0.0.1:{rater.port}", lambda _: None, PLAINTEXT.follow())

    adoption = Adoption(folder, 10**9, deliver, seat=Seat(1, 2))
    task = asyncio.create_task(adoption.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        adoption.close()


def leave(folder: Path, number: int, count: int) -> None:
    """Leave an event as a worker does that is killed."""
    spool = open_own(folder, 10**9, seat=Seat(number, count))
    finish(spool, f"of worker {number}")
    spool.close()


async def test_what_is_of_a_number_that_there_is_waits_for_it_and_the_rest_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption_module, "LOOK_EVERY_S", 0.02)
    rater = EventRecorder()
    for number, count in ((2, 2), (3, 3)):
        leave(tmp_path, number, count)

    async with adopting(tmp_path, rater):
        await until(lambda: len(list(tmp_path.glob("*.sqlite3"))) == 1)
        assert [event.request_id for event in rater.events] == ["of worker 3"]
        own = open_own(tmp_path, 10**9, seat=Seat(2, 2))
        assert own.depth() == 1
        own.close()

        monkeypatch.setattr(adoption_module, "SPARED_S", 0.0)  # it has not come back for long
        await until(lambda: not list(tmp_path.glob("*.sqlite3")))

    assert [event.request_id for event in rater.events] == ["of worker 3", "of worker 2"]
    rater.close()
