"""The spool's writer: one thread that commits whatever has gathered in one transaction ("group commit").

Changes are done in the order in which they were submitted. What the disk does not take is tried again with
those that came since, for ever, but for what is urgent. A change that is at fault itself is found by
committing each alone, so that it holds up no other. Nothing that is submitted is forgotten: it is on disk, or
it has failed and whoever waits is told, also when the writer stops.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from phoebe_addon.spool.file import SpoolError, SpoolFile
from phoebe_addon.spool.wakes import Doing
from phoebe_runtime.troubles import Trouble

logger = logging.getLogger(__name__)

# A commit takes milliseconds; one that can't be had in this time means a disk in trouble.
RETRY_AFTER_S = 0.5
COMMIT_OPERATIONS_MAX = 1000

# SQLite's words for a value that it does not take, whatever the disk does.
_FAULTS_OF_CHANGES = (sqlite3.DataError, sqlite3.IntegrityError)


class Write(Doing):
    """What to do in one transaction.

    urgent: fails at once instead of waiting. closes: the exchange that is no longer open once it is done, or
    once it has failed if `closes_if_failed`.
    """

    __slots__ = ("apply", "closes", "closes_if_failed", "urgent")

    def __init__(
        self,
        apply: Callable[[SpoolFile], None],
        *,
        urgent: bool = False,
        closes: str | None = None,
        closes_if_failed: bool = False,
    ) -> None:
        super().__init__()
        self.apply = apply
        self.urgent = urgent
        self.closes = closes
        self.closes_if_failed = closes_if_failed


type Commit = Callable[[Sequence[Write]], None]
type Tell = Callable[[Sequence[Write], SpoolError | None], None]


class Writer:
    """Commits changes until `stop`.

    commit: does changes in one transaction, or raises sqlite3.Error or SpoolError and does none. tell: told
    of changes that are on disk, or why they have failed; it wakes who waits. disk: which disk, in words.
    """

    def __init__(self, commit: Commit, tell: Tell, disk: str) -> None:
        self._run = commit
        self._tell = tell
        self._whose_disk = disk
        self._changes: deque[Write] = deque()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()  # False: stop
        self._calling: asyncio.AbstractEventLoop | None = None  # will call at the end of its round
        self._stopped = False
        self._writing = Trouble(logger, "phoebe: the spool can be written again")
        self.trouble: str | None = None
        """Why the last transaction failed; None: it is on disk."""
        self.commits = 0
        """How many transactions have come to disk, only ever more."""
        self.on_commit: Callable[[float], None] = lambda _: None
        """Told of each, in the writer's thread, how many seconds it took."""
        self._thread = threading.Thread(target=self._write, name="phoebe-spool", daemon=True)
        self._thread.start()

    @property
    def waiting_count(self) -> int:
        """How many changes no transaction has taken up yet."""
        return len(self._changes)

    def submit(self, change: Write) -> Write:
        """Have a change done. From here on nobody can take it back."""
        # First the change, then whether somebody is there for it: whoever stops looks in the other order.
        self._changes.append(change)
        if self._stopped or not self._thread.is_alive():
            self._fail_left_over()
        elif self._calling is None or self._calling.is_closed():
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.call()  # a thread without a loop
            else:
                # The other sockets that are ready now bring changes too. They go with it.
                self._calling = loop
                loop.call_soon(self.call)
        return change

    def call(self) -> None:
        """Have it look now: for who waits in the thread of the loop that would call it."""
        self._calling = None  # first: what is submitted from now on needs another call
        self._calls.put(True)

    def stop(self) -> None:
        """Commit what is still there, or fail it, and end the thread. To be called once."""
        self._stopped = True
        self._calls.put(False)
        self._thread.join()
        self._fail_left_over()

    def _fail_left_over(self) -> None:
        """Fail what came too late for the thread, which has ended or is about to."""
        if self._thread.is_alive():
            return  # who waits for its end does this
        # Two may be here at a time, so what one sees the other may have taken.
        with suppress(IndexError):
            while True:
                self._tell([self._changes.popleft()], SpoolError("the spool is closed"))

    def _write(self) -> None:
        """Commit changes until told to stop: the thread."""
        waiting: list[Write] = []
        stopping = False
        while not stopping:
            stopping = self._gather(waiting)
            if waiting:
                waiting = self._commit(waiting, last_chance=stopping)

    def _gather(self, waiting: list[Write]) -> bool:
        """Wait for a call and take all changes there are, up to a limit. Returns whether to stop."""
        go_on = True
        with suppress(queue.Empty):
            go_on = self._calls.get(timeout=RETRY_AFTER_S if waiting else None)
        for _ in range(COMMIT_OPERATIONS_MAX if go_on else len(self._changes)):
            if not self._changes:
                return not go_on
            waiting.append(self._changes.popleft())
        self._calls.put(True)  # there may be more
        return not go_on

    def _commit(self, changes: list[Write], *, last_chance: bool) -> list[Write]:
        """Commit changes in one transaction. Returns those to try again."""
        began_s = time.perf_counter()
        try:
            self._run(changes)
        except _FAULTS_OF_CHANGES as error:
            return self._commit_alone(changes, error, last_chance=last_chance)
        except (sqlite3.Error, SpoolError) as error:
            return self._keep(changes, error, last_chance=last_chance)
        except Exception as error:
            return self._commit_alone(changes, error, last_chance=last_chance)
        self.trouble = None
        self.commits += 1
        self._writing.is_over()
        self._tell(changes, None)
        self._measure(time.perf_counter() - began_s)
        return []

    def _keep(self, changes: list[Write], error: Exception, *, last_chance: bool) -> list[Write]:
        """Fail what can't wait for the disk, and return the rest."""
        self.trouble = str(error)
        self._writing.met(f"phoebe: the spool can't be written: {error}; {self._whose_disk}")
        failed = [change for change in changes if change.urgent or last_chance]
        self._tell(failed, SpoolError(f"the spool can't be written: {error}"))
        return [] if last_chance else [change for change in changes if not change.urgent]

    def _commit_alone(self, changes: list[Write], error: Exception, *, last_chance: bool) -> list[Write]:
        """Commit each of the changes that failed together by itself. Returns those to try again.

        One that fails alone is at fault itself: a bug. The thread has to outlive it: without it nothing could
        be admitted any more, and who waits would wait for ever.
        """
        if len(changes) > 1:
            return [left for change in changes for left in self._commit([change], last_chance=last_chance)]
        self.trouble = repr(error)
        logger.error("phoebe: a change of the spool can't be made, and is given up", exc_info=error)
        self._tell(changes, SpoolError(f"the spool can't be written: {error!r}"))
        return []

    def _measure(self, took_s: float) -> None:
        try:
            self.on_commit(took_s)
        except Exception:  # a bug, of whoever measures
            logger.exception("phoebe: a transaction of the spool can't be measured")
