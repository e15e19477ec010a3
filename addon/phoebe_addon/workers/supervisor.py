"""The supervisor: keeps so many workers serving, and tells them when to stop.

Each number, from 1 on, has a slot: the sockets that its worker listens on. The first worker is started alone,
so that what is wrong with the options is said once. Nothing is listened on before all are up, so that clients
that keep their connections are spread over all of them.

a worker dies   another one listens on its slot as well, and it is started again, after a pause that grows
reload          for each number in turn a new worker is started; once it listens, the old one retires
stop            all are told; being told again they end sooner, and at the third time at once
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from phoebe_addon.workers.addresses import Addresses
from phoebe_addon.workers.merged_metrics import Snapshot, counts_of, merged
from phoebe_addon.workers.worker_process import PROGRAM, Stage, WorkerProcess
from phoebe_runtime.background import spawn
from phoebe_runtime.counts import counted
from phoebe_runtime.probes import Condition

logger = logging.getLogger(__name__)

# Of one process on a machine where many start at once.
START_TIMEOUT_S = 120.0
PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 60.0
# A worker that has served for so long did not die of its start.
SERVED_S = 60.0
# When nothing serves, and so many starts in a row have failed, an operator has to look.
FAILED_STARTS_MAX = 5
# What a killed worker had counted since it last reported is missing in the metrics.
REPORT_EVERY_S = 2.0


class GivenUpError(Exception):
    """No worker serves, and none can be started. The message is for an operator."""


@dataclass(slots=True)
class _Place:
    """A number. worker: the newest of it. lock: held by who replaces it."""

    number: int
    worker: WorkerProcess | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def serving(self) -> WorkerProcess | None:
        return self.worker if self.worker and self.worker.stage is Stage.SERVING else None

    def has_ended(self) -> bool:
        return self.worker is not None and self.worker.stage is Stage.ENDED


class Supervisor:
    """Runs workers.

    count: how many. arguments: mitmdump's. retire_s: how long an old one may have clients at a reload. died:
    how many ended although nobody had told them to. program: what a worker runs.
    """

    def __init__(
        self, count: int, arguments: Sequence[str], retire_s: float, program: Sequence[str] = PROGRAM
    ) -> None:
        self.count = count
        self.died = 0
        self._arguments = arguments
        self._retire_s = retire_s
        self._program = program
        self._addresses = Addresses(count)
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._living: list[WorkerProcess] = []  # also those that were replaced
        self._holders: dict[int, WorkerProcess] = {}  # who listens on a slot
        self._sharing = asyncio.Lock()
        self._waiting: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._is_open = False
        self._failed_starts = 0
        self._told_to_stop = 0
        self._told_to_reload = asyncio.Event()
        self._given_up = ""
        self._counted: Snapshot = []  # by workers that have ended

    @property
    def serving(self) -> int:
        """How many workers serve new connections."""
        return sum(place.serving() is not None for place in self._places)

    @property
    def is_ending(self) -> bool:
        """Whether no worker is started any more."""
        return bool(self._told_to_stop or self._given_up)

    async def run(self) -> None:
        """Run until told to stop and all workers have ended. Raises GivenUpError."""
        self._spawn(self._run_places(), "places")
        self._spawn(self._reload_when_told(), "reloading")
        await self._until(lambda: self.is_ending or self._failures)
        await self._until(lambda: not self._living or self._failures)
        for task in self._tasks:
            task.cancel()
        self._addresses.close()
        if self._failures:
            raise self._failures[0]
        if self._given_up:
            raise GivenUpError(self._given_up)

    def reload(self) -> None:
        """Replace all workers, one after the other."""
        self._told_to_reload.set()

    def stop(self) -> None:
        """Let all workers stop: in order, sooner when told again, and at the third time at once."""
        self._told_to_stop += 1
        if self._told_to_stop == 1:
            logger.info("stopping: %s", counted(len(self._living), "worker"))
        else:
            logger.warning("told again to stop: what is under way is cut off")
        self._end_all(signal.SIGTERM if self._told_to_stop < 3 else signal.SIGKILL)

    async def metrics(self) -> Snapshot:
        """Return what all workers have counted, also those that have ended."""
        await self._ask_reports()
        return merged([("", self._counted), *((str(each.number), each.snapshot) for each in self._living)])

    def conditions(self) -> list[Condition]:
        """Return what was last known of how everything stands: of one that serves, whatever counts counts."""
        words = f"workers that serve: {self.serving} of {self.count}"
        found = [Condition(self.serving == self.count, words, counts=self.serving == 0)]
        if self._told_to_stop:
            found.append(Condition(False, "the proxy is stopping: it takes no requests any more"))
        for worker in filter(None, map(_Place.serving, self._places)):
            found += [
                replace(each, words=f"worker {worker.number}: {each.words}") for each in worker.conditions
            ]
        return found

    async def follow_reports(self) -> NoReturn:
        """Keep what workers say, for probes, and for the case that one is killed. Until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            await self._ask_reports()

    async def _ask_reports(self) -> None:
        await asyncio.gather(*(worker.ask_report() for worker in self._living))

    async def _run_places(self) -> None:
        first, *others = self._places
        await self._start(first)
        if self.is_ending:
            return
        await asyncio.gather(*(self._start(place) for place in others))
        self._is_open = True
        if not self.is_ending:
            self._addresses.listen()
        await self._share_out()
        if not self.is_ending:
            logger.info(
                "workers that serve: %d of %d, on %s", self.serving, self.count, self._addresses.shown()
            )
        await asyncio.gather(*(self._keep(place) for place in self._places))

    async def _keep(self, place: _Place) -> None:
        """Have a worker of a number, always."""
        pause_s = PAUSE_MIN_S
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await self._until(lambda: place.has_ended() or self.is_ending)
            if self.is_ending:
                return
            assert place.worker
            if loop.time() - began_s > SERVED_S:
                pause_s = PAUSE_MIN_S
            logger.error(
                "worker %d (process %s) %s; it is started again in %g s",
                *(place.number, place.worker.pid, place.worker.how_it_ended(), pause_s),
            )
            await self._share_out()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            await self._start(place)

    async def _start(self, place: _Place) -> None:
        """Start the worker of a number, unless it has one, and wait until it serves or has ended."""
        async with place.lock:
            if self.is_ending or not (place.worker is None or place.has_ended()):
                return
            worker = place.worker = self._make(place.number)
            if await self._comes_up(worker):
                self._failed_starts = 0
                await self._share_out()
            else:
                self._failed_starts += 1
                self._give_up_if_hopeless(worker)

    def _make(self, number: int) -> WorkerProcess:
        worker = WorkerProcess(number, self._addresses, self._change, self._program)
        self._living.append(worker)
        self._spawn(self._live(worker), f"worker {number}")
        return worker

    async def _live(self, worker: WorkerProcess) -> None:
        try:
            await worker.run(self.count, self._arguments)
        except OSError as error:
            logger.error("worker %d can't be started: %s", worker.number, error)
        self._living.remove(worker)
        self._counted = merged([("", self._counted), ("", counts_of(worker.snapshot))])
        if worker.ended_while is Stage.SERVING:
            self.died += 1
        elif worker.ended_while is Stage.LEAVING:
            logger.info("worker %d (process %s) %s", worker.number, worker.pid, worker.how_it_ended())
        self._change()

    async def _comes_up(self, worker: WorkerProcess) -> bool:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._until(lambda: worker.stage is not Stage.STARTING)
        except TimeoutError:
            logger.error("worker %d does not come up within %g s", worker.number, START_TIMEOUT_S)
            worker.signal(signal.SIGKILL)
            await self._until(lambda: worker.stage is Stage.ENDED)
        return worker.stage is Stage.SERVING

    def _give_up_if_hopeless(self, worker: WorkerProcess) -> None:
        if self._told_to_stop or self.serving:
            return
        if not self._is_open and worker.status == 0:
            self._told_to_stop = 1  # it was only asked for its version or its help
        elif not self._is_open or self._failed_starts >= FAILED_STARTS_MAX:
            self._given_up = (
                f"worker {worker.number} {worker.how_it_ended()} before it served. What it said is above. "
                "Nothing is served: mend that, and start again"
            )
        if self.is_ending:
            self._end_all(signal.SIGTERM)

    async def _share_out(self) -> None:
        """Let somebody listen on every slot: the worker of its number, or else another one."""
        async with self._sharing:
            for place in self._places:
                serving = [each for each in map(_Place.serving, self._places) if each]
                if not serving or not self._is_open or self.is_ending:
                    return
                holder = self._holders.get(place.number)
                wanted = place.serving() or (
                    holder if holder in serving else min(serving, key=lambda worker: len(worker.slots))
                )
                if wanted is not holder:
                    await wanted.take(place.number)
                    self._holders[place.number] = wanted
                    if holder:
                        await holder.leave(place.number)

    async def _reload_when_told(self) -> None:
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            await self._until(lambda: self._is_open or self.is_ending)
            await self._reload()

    async def _reload(self) -> None:
        logger.info("reloading %s, one after the other", counted(self.count, "worker"))
        for place in self._places:
            async with place.lock:
                if self.is_ending:
                    return
                old = place.serving()
                if old and not await self._replace(place, old):
                    return
        logger.info("reloaded: old workers end as soon as their clients have gone over")

    async def _replace(self, place: _Place, old: WorkerProcess) -> bool:
        new = self._make(place.number)
        if not await self._comes_up(new):
            if not self.is_ending:
                logger.error(
                    "the reload is broken off: the new worker %d %s before it served. What it said is above. "
                    "The old ones serve on",
                    *(new.number, new.how_it_ended()),
                )
            return False
        place.worker = new
        await self._share_out()
        await old.retire(self._retire_s)
        return True

    def _end_all(self, number: signal.Signals) -> None:
        # So that nobody waits in the queue of a socket whose worker has ended already.
        self._addresses.close()
        for worker in self._living:
            worker.signal(number)
        self._change()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = spawn(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Note a task that has ended. A crash is a bug, and ends everything; the workers hear of it."""
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)
            self._change()

    async def _until(self, holds: Callable[[], object]) -> None:
        while not holds():
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def _change(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)
