"""The timeline: brings the plan's faults about, each when its moment in the load has come."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from chaos.addon import Addon
from chaos.faults import OF_THE_DISK, Fault, Kind
from chaos.load import Progress
from chaos.network import Network
from chaos.postgres import Postgres
from chaos.rater import Rater
from chaos.relay import Order, Relay

LOCKED_TABLES = ("stored_event", "rated_usage", "producer")
# What asyncpg raises when the server goes; the last one if it goes between two statements.
_SERVER_GONE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts of a run that faults can happen to. database: the name of the rater's."""

    addons: tuple[Addon, ...]
    rater: Rater
    postgres: Postgres
    database: str
    network: Network
    relay: Relay


class Timeline:
    """Brings faults about. disk_faults: whether this machine lets disk calls be watched."""

    def __init__(self, faults: tuple[Fault, ...], stage: Stage, *, disk_faults: bool) -> None:
        self._faults = [fault for fault in faults if disk_faults or fault.kind not in OF_THE_DISK]
        self._stage = stage
        self._bring: dict[Kind, Callable[[Fault], Coroutine[None, None, None]]] = {
            Kind.KILL_ADDON: self._kill_addon,
            Kind.KILL_ADDON_AT_DISK: self._kill_addon_at_disk,
            Kind.STOP_ADDON: self._stop_addon,
            Kind.DISK_FULL: self._fill_disk,
            Kind.DISK_ERROR: self._fail_flushes,
            Kind.CLOCK_JUMP: self._jump,
            Kind.KILL_RATER: self._kill_rater,
            Kind.RESTART_RATER: self._roll_rater,
            Kind.KILL_POSTGRES: self._kill_postgres,
            Kind.RESTART_POSTGRES: self._restart_postgres,
            Kind.LOCK_TABLE: self._lock_table,
            Kind.END_SESSIONS: self._end_sessions,
            Kind.CONFLICT: self._conflict,
            Kind.CUT: self._cut,
            Kind.STALL: self._stall,
            Kind.DELAY: self._delay,
            Kind.TRUNCATE: self._truncate,
            Kind.DUPLICATE: self._give_order,
            Kind.REORDER: self._give_order,
            Kind.WITHHOLD: self._give_order,
        }

    async def run(self, progress: Progress) -> None:
        """Bring all of them about. Returns when the last one is over."""
        async with asyncio.TaskGroup() as lasting:
            for fault in self._faults:
                await progress.until_begun(fault.after_exchanges)
                await asyncio.sleep(fault.wait_ms / 1000)
                lasting.create_task(self._bring[fault.kind](fault))

    async def _kill_addon(self, fault: Fault) -> None:
        self._stage.addons[fault.addon].kill(fault.lasting_ms / 1000)

    async def _kill_addon_at_disk(self, fault: Fault) -> None:
        addon = self._stage.addons[fault.addon]
        addon.expect_end(fault.lasting_ms / 1000)
        addon.disk.kill_at_call(fault.amount)

    async def _stop_addon(self, fault: Fault) -> None:
        await self._stage.addons[fault.addon].stop(fault.lasting_ms / 1000)

    async def _fill_disk(self, fault: Fault) -> None:
        disk = self._stage.addons[fault.addon].disk
        disk.fill()
        await _lasting(fault)
        disk.heal()

    async def _fail_flushes(self, fault: Fault) -> None:
        disk = self._stage.addons[fault.addon].disk
        disk.fail_flushes(fault.amount)
        await _lasting(fault)
        disk.heal()

    async def _jump(self, fault: Fault) -> None:
        self._stage.addons[fault.addon].jump(fault.amount)

    async def _kill_rater(self, fault: Fault) -> None:
        self._stage.rater.kill(fault.lasting_ms / 1000)

    async def _roll_rater(self, _: Fault) -> None:
        await self._stage.rater.roll()

    async def _kill_postgres(self, fault: Fault) -> None:
        await self._stage.postgres.signal(signal.SIGKILL)
        await _lasting(fault)
        await self._stage.postgres.start()

    async def _restart_postgres(self, fault: Fault) -> None:
        await self._stage.postgres.signal((signal.SIGINT, signal.SIGQUIT)[fault.amount])
        await _lasting(fault)
        await self._stage.postgres.start()

    async def _lock_table(self, fault: Fault) -> None:
        await self._say(f"LOCK TABLE {LOCKED_TABLES[fault.amount]} IN ACCESS EXCLUSIVE MODE", fault)

    async def _end_sessions(self, fault: Fault) -> None:
        await self._say(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            fault,
        )

    async def _conflict(self, fault: Fault) -> None:
        await self._say("UPDATE producer SET last_seen = last_seen", fault)

    async def _cut(self, fault: Fault) -> None:
        self._stage.network.cut()
        await _lasting(fault)
        self._stage.network.heal()

    async def _stall(self, fault: Fault) -> None:
        self._stage.network.stall()
        await _lasting(fault)
        if fault.amount:
            self._stage.network.reset()
        self._stage.network.heal()

    async def _delay(self, fault: Fault) -> None:
        self._stage.network.delay(fault.amount / 1000)
        await _lasting(fault)
        self._stage.network.heal()

    async def _truncate(self, fault: Fault) -> None:
        self._stage.network.cut_after(fault.amount)

    async def _give_order(self, fault: Fault) -> None:
        relay = self._stage.relay
        if fault.kind is Kind.REORDER:
            relay.order(Order.HOLD, fault.amount)
            return
        for _ in range(fault.amount):
            relay.order(Order.REPEAT if fault.kind is Kind.DUPLICATE else Order.LOSE_ANSWER, 0)

    async def _say(self, statement: str, fault: Fault) -> None:
        """Run a statement in a transaction beside the rater's that lasts as long as the fault."""
        # If the server is gone, or goes meanwhile, that is another fault.
        with suppress(OSError, *_SERVER_GONE):
            session = await asyncpg.connect(self._stage.postgres.url(self._stage.database))
            try:
                async with session.transaction():
                    await session.execute(statement)
                    await _lasting(fault)
            finally:
                session.terminate()


async def _lasting(fault: Fault) -> None:
    await asyncio.sleep(fault.lasting_ms / 1000)
