"""What probes are answered."""

from typing import Any

from phoebe_runtime import probes


async def asked(path: str, *conditions: tuple[bool, str, bool]) -> tuple[int, str]:
    pages = probes.probe_pages(lambda: [probes.Condition(*each) for each in conditions])
    answer: Any = await pages[path]({})
    return answer.status, answer.content.decode()


WELL = (True, "the disk works", True)
FAILING = (False, "the spool is full", True)
AWAY = (False, "the rater is away", False)


async def test_a_process_that_answers_is_live_whatever_fails() -> None:
    assert await asked("/livez", FAILING, AWAY) == (200, "live\n")


async def test_it_is_ready_while_all_that_counts_holds_and_says_what_else_is_amiss() -> None:
    assert await asked("/readyz", WELL, AWAY) == (
        200,
        "ready\ndoes not count: the rater is away\nok: the disk works\n",
    )


async def test_it_says_in_words_why_it_is_not_ready_and_that_first() -> None:
    assert await asked("/readyz", WELL, AWAY, FAILING) == (
        503,
        "not ready\nFAILED: the spool is full\ndoes not count: the rater is away\nok: the disk works\n",
    )
