"""Whether two sessions are shared: found by the processes that answer them, one after the other."""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import pytest

from rater_service.database.sessions import Connection, ServerState, _is_shared

type Lending = Callable[[], int]


@dataclass(frozen=True)
class Line:
    """A connection whose every statement is answered by the process that is lent for it."""

    lend: Lending

    async def fetchrow(self, *_: object) -> dict[str, object]:
        return asdict(ServerState(self.lend(), False, False, True, True, False))


async def are_shared(first: Lending, second: Lending) -> bool:
    return await _is_shared(cast("Connection", Line(first)), cast("Connection", Line(second)))


async def test_sessions_that_have_a_process_each_are_not_shared() -> None:
    assert not await are_shared(lambda: 1, lambda: 2)


async def test_one_process_for_both_is_shared() -> None:
    """As by a pooler that lends what was given back last."""
    assert await are_shared(lambda: 1, lambda: 1)


@pytest.mark.parametrize("processes", range(1, 7))
async def test_processes_that_are_lent_in_turn_are_shared_however_many_there_are(processes: int) -> None:
    """As by a pooler that lends what was given back first."""
    pids = deque(range(processes))

    def lend() -> int:
        pids.rotate()
        return pids[0]

    assert await are_shared(lend, lend)


async def test_a_process_that_changes_under_one_of_them_is_shared() -> None:
    pids = iter((1, 1, 3))

    assert await are_shared(lambda: next(pids), lambda: 2)
    pids = iter((2, 2, 3))
    assert await are_shared(lambda: 1, lambda: next(pids))
