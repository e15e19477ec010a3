"""What probes are answered. Each half has a module for it, as neither may import the other."""

from types import ModuleType
from typing import Any

import pytest

from phoebe_addon import probes as addons
from rater_service import probes as raters


@pytest.fixture(params=[addons, raters], ids=["addon", "rater"])
def half(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


async def asked(half: ModuleType, path: str, *conditions: tuple[bool, str, bool]) -> tuple[int, str]:
    pages = half.probe_pages(lambda: [half.Condition(*each) for each in conditions])
    answer: Any = await pages[path]({})
    return answer.status, answer.content.decode()


WELL = (True, "the disk works", True)
FAILING = (False, "the spool is full", True)
AWAY = (False, "the rater is away", False)


async def test_a_process_that_answers_is_live_whatever_fails(half: ModuleType) -> None:
    assert await asked(half, "/livez", FAILING, AWAY) == (200, "live\n")


async def test_it_is_ready_while_all_that_counts_holds_and_says_what_else_is_amiss(half: ModuleType) -> None:
    assert await asked(half, "/readyz", WELL, AWAY) == (
        200,
        "ready\ndoes not count: the rater is away\nok: the disk works\n",
    )


async def test_it_says_in_words_why_it_is_not_ready_and_that_first(half: ModuleType) -> None:
    assert await asked(half, "/readyz", WELL, AWAY, FAILING) == (
        503,
        "not ready\nFAILED: the spool is full\ndoes not count: the rater is away\nok: the disk works\n",
    )
