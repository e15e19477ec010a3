"""The plan of one run: the load, the faults and the settings, all drawn from one seed.

Pure: the same seed gives the same plan on every machine.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from chaos.faults import HOUR_S, Fault, Kind, draw_faults
from chaos.script import Conduct, Exchange, draw_script
from phoebe_runtime.counts import counted

ISOLATIONS = ("read committed", "repeatable read", "serializable")
# Behind the rater's clock by up to this much, so that every event is of an hour that can be rated.
CLOCK_BEHIND_MAX_S = 20 * 24 * HOUR_S


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen in one run.

    workers: clients that send at the same time. postgres: which of the machine's versions of PostgreSQL, by
    its number modulo how many there are. isolation, lock_timeout_ms: of the rater's database sessions.
    clock_s: what each addon's clock is ahead of the machine's, never more than 0. spool_limit: bytes, as
    mitmproxy writes them. order_seed: of the order in which the events are stored a second time.
    """

    seed: int
    addons: int
    workers: int
    postgres: int
    isolation: str
    lock_timeout_ms: int
    spool_limit: str
    clock_s: tuple[int, ...]
    order_seed: int
    exchanges: tuple[Exchange, ...]
    faults: tuple[Fault, ...]

    def counted_faults(self) -> Counter[str]:
        """How often each kind of fault comes, those of clients and of the engine included."""
        counted = Counter[str](fault.kind for fault in self.faults)
        for exchange in self.exchanges:
            counted["engine_fails"] += exchange.conduct is not Conduct.ANSWERS
            counted["client_leaves"] += exchange.leaves_after is not None
        return +counted

    def summary(self) -> Iterator[str]:
        """The settings and the faults, for a reader."""
        yield (
            f"seed {self.seed}: {counted(self.addons, 'addon')} with clocks at {self.clock_s} s, "
            f"{counted(self.workers, 'client')}, {counted(len(self.exchanges), 'exchange')}, "
            f"spool limit {self.spool_limit}, PostgreSQL number {self.postgres}, {self.isolation}, "
            f"lock_timeout {self.lock_timeout_ms} ms"
        )
        yield from (f"  {fault}" for fault in self.faults)

    def script(self) -> Iterator[str]:
        """The exchanges, for a reader."""
        yield from (f"  {exchange}" for exchange in self.exchanges)


def draw_plan(seed: int) -> Plan:
    """Draw the plan of a seed."""
    random = Random(seed)
    addons = random.randint(1, 2)
    count = random.randint(40, 90)
    return Plan(
        seed=seed,
        addons=addons,
        workers=random.randint(4, 12),
        postgres=random.randrange(60),
        isolation=random.choice(ISOLATIONS),
        lock_timeout_ms=random.choice((0, 0, 100, 500)),
        spool_limit=random.choice(("1g", "1g", "1g", "100k")),
        clock_s=tuple(-random.choice((0, random.randrange(CLOCK_BEHIND_MAX_S))) for _ in range(addons)),
        order_seed=random.randrange(2**32),
        exchanges=draw_script(random, count, addons),
        faults=draw_faults(random, random.randint(4, 9), count, addons),
    )


def jumped(clock_s: int, jump_s: int) -> int:
    """Where a clock is after a jump: where that would leave the hours that can be rated, at their edge."""
    return max(-CLOCK_BEHIND_MAX_S, min(0, clock_s + jump_s))


ALL_KINDS = (*Kind, "engine_fails", "client_leaves")
"""Every kind of fault that a plan counts."""
