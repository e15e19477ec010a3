"""What probes ask, beside the metrics: `/livez`, whether the process turns; `/readyz`, whether it takes work.

Both answer 200 or 503, with words for whoever looks. `/livez` is answered on the event loop, so any answer
proves that the loop turns; it asks for nothing else, because a restart mends no disk, database or network.
`/readyz` reads what is known already and asks nobody, so that probes cost nothing and never wait.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from phoebe_runtime.operator_port import Answer, Page


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is so or not, in words that are true now. counts: whether readiness needs it to hold."""

    holds: bool
    words: str
    counts: bool = True


type Conditions = Callable[[], Sequence[Condition]]
"""How things stand now."""


def probe_pages(conditions: Conditions) -> dict[str, Page]:
    """Make the pages that probes ask, by path."""

    async def livez(_: Mapping[str, str]) -> Answer:
        return Answer(b"live\n")

    async def readyz(_: Mapping[str, str]) -> Answer:
        return ready_answer(conditions())

    return {"/livez": livez, "/readyz": readyz}


def ready_answer(conditions: Sequence[Condition]) -> Answer:
    """Say whether all that counts holds, and line by line how each thing stands; what fails comes first."""
    is_ready = all(condition.holds for condition in conditions if condition.counts)
    lines = ["ready" if is_ready else "not ready"]
    lines += [f"{_mark(each)}: {each.words}" for each in sorted(conditions, key=_rank)]
    return Answer("\n".join([*lines, ""]).encode(), status=200 if is_ready else 503)


def _rank(condition: Condition) -> int:
    return 2 if condition.holds else int(not condition.counts)


def _mark(condition: Condition) -> str:
    if condition.holds:
        return "ok"
    return "FAILED" if condition.counts else "does not count"
