"""The faults: which there are, how they are drawn, and how they read.

Pure. When a fault comes is told by the load, not by a clock: after so many exchanges have begun, plus some
milliseconds, so that a slow machine sees the same order of things.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from phoebe_runtime.counts import counted

HOUR_S = 3600


class Kind(StrEnum):
    """What can go wrong."""

    KILL_ADDON = "kill_addon"
    KILL_ADDON_AT_DISK = "kill_addon_at_disk"
    STOP_ADDON = "stop_addon"
    DISK_FULL = "disk_full"
    DISK_ERROR = "disk_error"
    CLOCK_JUMP = "clock_jump"
    KILL_RATER = "kill_rater"
    RESTART_RATER = "restart_rater"
    KILL_POSTGRES = "kill_postgres"
    RESTART_POSTGRES = "restart_postgres"
    LOCK_TABLE = "lock_table"
    END_SESSIONS = "end_sessions"
    CONFLICT = "conflict"
    CUT = "cut"
    STALL = "stall"
    DELAY = "delay"
    TRUNCATE = "truncate"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    WITHHOLD = "withhold"


@dataclass(frozen=True, slots=True)
class Nature:
    """What is drawn for faults of a kind, both bounds inclusive.

    lasting_ms: until the cause is gone or the process is started again. amount: what `unit` says.
    says: the fault in words, with {addon}, {lasting} and {amount} filled in.
    """

    says: str
    lasting_ms: tuple[int, int] = (0, 0)
    amount: tuple[int, int] = (0, 0)


NATURES = {
    Kind.KILL_ADDON: Nature("kill -9 of addon {addon}, started again after {lasting} ms", (0, 800)),
    Kind.KILL_ADDON_AT_DISK: Nature(
        "kill -9 of addon {addon} at its disk call number {amount} from then on, started again after "
        "{lasting} ms",
        *((0, 800), (1, 40)),
    ),
    Kind.STOP_ADDON: Nature("SIGTERM to addon {addon}, started again {lasting} ms after its end", (0, 300)),
    Kind.DISK_FULL: Nature("disk of addon {addon} full for {lasting} ms", (50, 1500)),
    Kind.DISK_ERROR: Nature(
        "every flush (of {amount}) of addon {addon} to its disk fails for {lasting} ms", (20, 1000), (1, 3)
    ),
    Kind.CLOCK_JUMP: Nature("clock of addon {addon} jumps by {amount} s", amount=(-36 * HOUR_S, 36 * HOUR_S)),
    Kind.KILL_RATER: Nature("kill -9 of the rater, started again after {lasting} ms", (0, 1000)),
    Kind.RESTART_RATER: Nature("rolling restart of the rater: SIGTERM once the next one serves"),
    Kind.KILL_POSTGRES: Nature("kill -9 of PostgreSQL, started again after {lasting} ms", (0, 1000)),
    Kind.RESTART_POSTGRES: Nature(
        "PostgreSQL stopped (0: fast, 1: immediate): {amount}, started again after {lasting} ms",
        *((0, 500), (0, 1)),
    ),
    Kind.LOCK_TABLE: Nature(
        "a session locks table {amount} (0: stored_event, 1: rated_usage, 2: producer) for {lasting} ms",
        *((100, 1500), (0, 2)),
    ),
    Kind.END_SESSIONS: Nature("all database sessions ended"),
    Kind.CONFLICT: Nature("a session changes all rows of producer and commits after {lasting} ms", (50, 600)),
    Kind.CUT: Nature("network cut and refused for {lasting} ms", (0, 1000)),
    Kind.STALL: Nature("network passes nothing for {lasting} ms, then (0: all of it, 1: cut): {amount}",
                       (100, 1200), (0, 1)),
    Kind.DELAY: Nature("network delays every piece by {amount} ms for {lasting} ms", (200, 1500), (5, 120)),
    Kind.TRUNCATE: Nature("bytes that the network still passes towards the rater until it is cut: {amount}",
                          amount=(0, 4000)),
    Kind.DUPLICATE: Nature("batches that reach the rater twice: the next {amount}", amount=(1, 3)),
    Kind.REORDER: Nature("batches that overtake the next one on its way to the rater: {amount}",
                         amount=(1, 3)),
    Kind.WITHHOLD: Nature("batches whose answers are lost after the commit: the next {amount}",
                          amount=(1, 3)),
}  # fmt: skip

OF_THE_DISK = frozenset({Kind.KILL_ADDON_AT_DISK, Kind.DISK_FULL, Kind.DISK_ERROR})
"""Kinds that need the addon's system calls watched, which not every machine allows."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It comes `wait_ms` after so many exchanges have begun and the fault before it has come."""

    kind: Kind
    after_exchanges: int
    wait_ms: int
    addon: int
    lasting_ms: int
    amount: int

    def __str__(self) -> str:
        """The fault in words."""
        says = NATURES[self.kind].says.format(addon=self.addon, lasting=self.lasting_ms, amount=self.amount)
        return f"after {counted(self.after_exchanges, 'exchange')} + {self.wait_ms} ms: {self.kind}: {says}"


def draw_faults(random: Random, count: int, exchanges: int, addons: int) -> tuple[Fault, ...]:
    """Draw so many faults for a load of `exchanges`, in the order they come."""
    moments = sorted(random.randrange(exchanges) for _ in range(count))
    return tuple(_draw(random, moment, addons) for moment in moments)


def _draw(random: Random, after_exchanges: int, addons: int) -> Fault:
    kind = random.choice(list(Kind))
    nature = NATURES[kind]
    return Fault(
        kind=kind,
        after_exchanges=after_exchanges,
        wait_ms=random.randint(0, 120),
        addon=random.randrange(addons),
        lasting_ms=random.randint(*nature.lasting_ms),
        amount=random.randint(*nature.amount),
    )
