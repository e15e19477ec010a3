"""Long work is done in turns, and everything else on the event loop goes on between two of them."""

import asyncio

import pytest

from phoebe_addon import turns
from phoebe_addon.formats.steps import Steps
from phoebe_addon.turns import Turns


@pytest.fixture(autouse=True)
def a_step_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)


class Rounds:
    """Counts the rounds of the event loop, until cancelled."""

    count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


def steps(name: str, count: int, done: list[str]) -> Steps[str]:
    for _ in range(count):
        yield
        done.append(name)
    return name


async def test_the_loop_has_its_round_after_each_step() -> None:
    rounds = Rounds()
    counting = asyncio.ensure_future(rounds.run())
    result = await Turns().take(steps("a", 100, []))
    counting.cancel()

    assert result == "a"
    assert rounds.count >= 100


async def test_the_work_of_all_messages_together_is_one_step_a_round() -> None:
    rounds, shared = Rounds(), Turns()
    done: list[str] = []
    counting = asyncio.ensure_future(rounds.run())
    works = [shared.take(steps(name, 20, done)) for name in "abc"]
    assert await asyncio.gather(*works) == ["a", "b", "c"]
    counting.cancel()

    assert rounds.count >= 60
    # None waits until another is through.
    assert all(set(done[start : start + 9]) == {"a", "b", "c"} for start in range(0, 45, 3))


async def test_what_is_done_in_one_step_waits_for_nobody() -> None:
    shared = Turns()
    long = asyncio.ensure_future(shared.take(steps("long", 1000, [])))
    await asyncio.sleep(0)

    assert await shared.take(steps("short", 0, [])) == "short"
    assert not long.done()
    long.cancel()


@pytest.mark.parametrize("steps_before", [0, 3])
async def test_what_fails_or_is_cancelled_leaves_the_turns_to_the_others(steps_before: int) -> None:
    def failing() -> Steps[str]:
        for _ in range(steps_before):
            yield
        raise KeyError("a bug")

    shared = Turns()
    with pytest.raises(KeyError):
        await shared.take(failing())
    cancelled = asyncio.ensure_future(shared.take(steps("a", 1000, [])))
    waiting = asyncio.ensure_future(shared.take(steps("b", 1000, [])))
    for _ in range(5):
        await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    assert await waiting == "b"
