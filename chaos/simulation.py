"""One run: the parts are started, the plan happens to them, all is healed, and the verdict is found."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.addon import Addon
from chaos.engine import Engine
from chaos.faults import Kind
from chaos.inquiry import Inquiry
from chaos.load import Progress, Received, send_all
from chaos.logs import suspicious_passages
from chaos.network import Network
from chaos.part import kept_running
from chaos.plan import Plan
from chaos.postgres import Postgres
from chaos.rater import Rater
from chaos.rating import Rating
from chaos.relay import Relay
from chaos.spools import Spools
from chaos.timeline import Stage, Timeline
from chaos.verdict import Evidence, Verdict, judge

# A run takes seconds. This is for one in which something hangs.
RUN_TIMEOUT_S = 240.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is given: a server for its databases, a folder for its files, the environment of its parts.

    disk_faults: whether the machine lets disk calls be watched.
    """

    postgres: Postgres
    folder: Path
    environment: Mapping[str, str]
    disk_faults: bool


@dataclass(slots=True)
class Result:
    """What a run came to.

    problems: what was not as it should be besides the verdict, in words. record: what the engine, the clients
    and the books say of every exchange, a line each.
    """

    plan: Plan
    verdict: Verdict | None = None
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    rating_runs: int = 0
    record: list[str] = field(default_factory=list)

    def complaints(self) -> Iterator[str]:
        """What went wrong, in words."""
        if self.verdict:
            yield from (f"lost: {request_id}" for request_id in self.verdict.lost)
            yield from (f"twice: {what}" for what in self.verdict.twice)
            yield from (f"wrong: {what}" for what in self.verdict.wrong)
        yield from (f"problem: {problem}" for problem in self.problems)

    @property
    def is_clean(self) -> bool:
        """Whether all is as it should be."""
        return self.verdict is not None and self.verdict.is_clean and not self.problems


class Simulation:
    """One run of a plan."""

    def __init__(self, plan: Plan, surroundings: Surroundings) -> None:
        self._plan = plan
        self._surroundings = surroundings
        self._result = Result(plan)
        self._step = ""
        self._engine = Engine(plan.exchanges)
        self._relay = Relay()
        self._rating = Rating()
        self._progress = Progress()
        self._spools = Spools(surroundings.folder / "spool")

    async def run(self) -> Result:
        """Run it. Returns what it came to, whatever that is."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await self._run()
        except TimeoutError:
            self._result.problems.append(f"it hung while {self._step}")
        except Exception as error:
            # A part that went away where it should not, or a bug of the simulator: the seed tells.
            self._result.problems += [f"while {self._step}:", *traceback.format_exception(error)]
        self._result.seconds = time.monotonic() - started
        return self._result

    async def _run(self) -> None:
        name, other = f"chaos_{self._plan.seed}", f"chaos_{self._plan.seed}_other"
        postgres = self._surroundings.postgres
        self._step = "making the databases"
        async with (
            postgres.database(name),
            postgres.database(other),
            self._parts(name) as stage,
        ):
            received = await self._send(stage)
            await self._heal(stage)
            await self._settle(stage)
            self._step = "looking at the books"
            inquiry = Inquiry(self._plan, self._relay, postgres.url(name), postgres.url(other))
            ledger = await inquiry.read()
            self._result.problems += inquiry.problems
            self._result.verdict = judge(
                Evidence(
                    exchanges=self._plan.exchanges,
                    received=received,
                    served={request_id: served.tag for request_id, served in self._engine.served.items()},
                    arrivals=self._engine.arrivals,
                    events=ledger.events,
                    rollups=ledger.rollups,
                )
            )
            self._result.record = [
                *(f"engine: {request_id} {served}" for request_id, served in self._engine.served.items()),
                *(f"client: {answer}" for answer in received),
                *(f"books: {event}" for event in ledger.events),
            ]
        self._result.rating_runs = self._rating.runs
        for part in (stage.rater, *stage.addons):
            self._result.problems += part.problems
        self._result.problems += suspicious_passages(self._surroundings.folder)
        self._result.problems += self._rating.problems

    @asynccontextmanager
    async def _parts(self, database: str) -> AsyncIterator[Stage]:
        """Everything started, and stopped at the end whatever happens."""
        self._step = "starting the parts"
        surroundings, network = self._surroundings, Network()
        try:
            ports = await self._engine.start(), await network.start(await self._relay.start())
            stage = Stage(
                addons=tuple(
                    Addon(number, self._plan, surroundings.folder, surroundings.environment, ports)
                    for number in range(self._plan.addons)
                ),
                rater=Rater(
                    surroundings.folder, surroundings.environment, self._url(database), self._use_rater
                ),
                postgres=surroundings.postgres,
                database=database,
                network=network,
                relay=self._relay,
            )
            async with kept_running(stage.rater, *stage.addons):
                await stage.rater.up.wait()
                for addon in stage.addons:
                    await addon.up.wait()
                yield stage
        finally:
            await network.stop()
            await self._relay.stop()
            await self._engine.stop()

    def _url(self, database: str) -> str:
        return self._surroundings.postgres.url(
            database,
            default_transaction_isolation=self._plan.isolation,
            lock_timeout=str(self._plan.lock_timeout_ms),
        )

    def _use_rater(self, port: int) -> None:
        self._relay.target = self._rating.target = f"127.0.0.1:{port}"

    async def _send(self, stage: Stage) -> list[Received]:
        """The load, with the faults and the rating meanwhile."""
        self._step = "the load was sent"

        async def port_of(number: int) -> int:
            preferred = stage.addons[number]
            others = [addon for addon in stage.addons if addon.up.is_set()]
            if not preferred.up.is_set() and others:
                return others[0].port
            await preferred.up.wait()
            return preferred.port

        timeline = Timeline(self._plan.faults, stage, disk_faults=self._surroundings.disk_faults)
        rating = asyncio.create_task(self._rating.run())
        try:
            async with asyncio.TaskGroup() as both:
                load = both.create_task(
                    send_all(self._plan.exchanges, self._plan.workers, port_of, self._progress)
                )
                both.create_task(timeline.run(self._progress))
        finally:
            rating.cancel()
            await asyncio.wait([rating])
        if not rating.cancelled():
            rating.result()  # raises what it ended with
        return load.result()

    async def _heal(self, stage: Stage) -> None:
        """Let nothing be wrong any more."""
        self._step = "everything was healed"
        stage.network.heal()
        for addon in stage.addons:
            addon.disk.heal()
        await stage.postgres.start()
        await stage.rater.up.wait()
        await self._relay.heal()

    async def _settle(self, stage: Stage) -> None:
        """Stop the addons in order. What they leave in their spools, one that starts anew delivers."""
        self._step = "the addons stopped"
        await asyncio.gather(*(addon.retire() for addon in stage.addons))
        if self._spools.held():
            self._step = "an addon delivered what the others left"
            await self._deliver_the_rest(stage.addons[0])
        if (damaged := self._spools.damaged()) and not self._disk_failed():
            self._result.problems.append(f"spool files were found damaged: {damaged}")

    def _disk_failed(self) -> bool:
        """Whether a kill may have left a log that looks damaged: SQLite overwrites in it what failed."""
        return any(fault.kind in {Kind.DISK_FULL, Kind.DISK_ERROR} for fault in self._plan.faults)

    async def _deliver_the_rest(self, addon: Addon) -> None:
        async with kept_running(addon):
            await addon.up.wait()
            if not await self._spools.are_delivered(addon.metrics_port):
                self._result.problems.append("the spools still hold something")
            await addon.retire()
