"""Delivers what the spools of a folder hold, one after the other, and ends when there is nothing more.

A spool is claimed as a proxy does it: by the lock of its file, which a living process has. So nothing is sent
by two at once, and what a proxy that still runs has is left to it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from phoebe_addon.delivery.delivery import Delivery, OnResults
from phoebe_addon.delivery.trouble import WrongInstallationError, explain
from phoebe_addon.spool.folder import PATTERN, Claim, free
from phoebe_addon.spool.spool import Spool, SpoolError
from phoebe_addon.spool.spools import Belonging
from phoebe_runtime.background import spawn
from phoebe_runtime.counts import counted
from phoebe_runtime.durations import in_words

# As often as a person likes to be told.
TELL_EVERY_S = 5.0
_LOOK_EVERY_S = 0.2

type Deliver = Callable[[Spool, OnResults], Delivery]
type Tell = Callable[[str], None]


class NoAnswerError(Exception):
    """The rater took nothing for as long as it may."""


@dataclass(frozen=True, slots=True)
class Left:
    """A spool of which something is left. events: how many, None: it could not be opened. why: in words."""

    path: Path
    events: int | None
    why: str


@dataclass(slots=True)
class Emptied:
    """What was done. spools: how many gave something; outcomes: what became of their events at the rater.

    unreadable: rows that are damaged, and can't be sent by anybody.
    """

    spools: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    left: list[Left] = field(default_factory=list)

    @property
    def kept_aside(self) -> int:
        """How many events the rater has, and can't bill as they are."""
        return self.outcomes["rejected"] + self.outcomes["conflict"]

    def in_words(self, folder: Path) -> str:
        """Say it in a line, and in one more for each spool of which something is left."""
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        events = counted(self.outcomes.total(), "event") + (f" ({outcomes})" if outcomes else "")
        said = f"delivered {events} from {counted(self.spools, 'spool')} in {folder}; "
        if self.unreadable:
            said += f"{self.unreadable} set aside that can't be read; "
        said += f"{counted(len(self.left), 'spool')} left" if self.left else "nothing is left"
        return "\n".join([said, *map(_left_in_words, self.left)])


def _left_in_words(left: Left) -> str:
    events = "" if left.events is None else f" ({counted(left.events, 'event')})"
    return f"left: {left.path.name}{events}: {left.why}"


@dataclass(frozen=True, slots=True)
class Emptying:
    """Empties a folder.

    bytes_max: of a spool; it matters only to those who admit. belonging: to which installation the events
    belong. trust_group: whether members of the folder's group are trusted like this user. deliver: makes the
    delivery of a spool. patience: how long the rater may take nothing. tell: told how it goes.
    """

    folder: Path
    bytes_max: int
    belonging: Belonging
    trust_group: bool
    deliver: Deliver
    patience: timedelta
    tell: Tell

    async def run(self, done: Emptied) -> None:
        """Deliver, and note in `done` what has been done, also when this is cut short.

        Raises SpoolError for a folder that can't be used, NoAnswerError once the rater takes nothing.
        """
        seen: set[Path] = set()
        for claim in free(self.folder, trust_group=self.trust_group):
            seen.add(claim.path)
            await self._empty(claim, done)
        for path in sorted(set(self.folder.glob(PATTERN)) - seen):
            done.left.append(
                Left(path, None, "a living process has it, or the log above says why it is not safe to take")
            )

    async def _empty(self, claim: Claim, done: Emptied) -> None:
        try:
            spool = Spool(claim, self.bytes_max)
        except SpoolError as error:
            done.left.append(Left(claim.path, None, str(error)))
            return
        try:
            if not spool.has_something_to_tell():
                return
            self.belonging.settle(spool)
            await self._deliver(spool, done)
            done.spools += 1
            done.unreadable += spool.lost_rows
            await asyncio.to_thread(spool.close_and_remove)
        except WrongInstallationError as error:
            done.left.append(Left(spool.path, spool.depth(), explain(error)))
        finally:
            spool.close()

    async def _deliver(self, spool: Spool, done: Emptied) -> None:
        before = spool.depth()
        self.tell(f"{spool.path.name}: {counted(before, 'event')}, {spool.recovered} cut off")
        delivery = self.deliver(spool, done.outcomes.update)
        delivering = spawn(delivery.run_to_the_end(), "deliver")
        try:
            await self._watch(spool, delivery, delivering, before)
            await delivering
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])

    async def _watch(
        self, spool: Spool, delivery: Delivery, delivering: asyncio.Task[None], before: int
    ) -> None:
        """Say how it goes until it is over. Raises NoAnswerError."""
        loop = asyncio.get_running_loop()
        tell_at_s = loop.time() + TELL_EVERY_S
        while not delivering.done():
            await asyncio.wait([delivering], timeout=_LOOK_EVERY_S)
            if delivery.silence > self.patience:
                raise NoAnswerError(
                    f"the rater at {delivery.target} has taken nothing for {in_words(delivery.silence)}: "
                    f"left in {spool.path.name}: {spool.depth()} of {counted(before, 'event')}"
                )
            if loop.time() >= tell_at_s:
                tell_at_s = loop.time() + TELL_EVERY_S
                self.tell(
                    f"{spool.path.name}: {before - spool.depth()} of {counted(before, 'event')} delivered"
                )


def needs_human(done: Emptied) -> bool:
    """Tell whether something is left, or can't be billed as it is."""
    return bool(done.left or done.unreadable or done.kept_aside)
