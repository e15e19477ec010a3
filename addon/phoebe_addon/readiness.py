"""Whether the proxy can take work and record it, and in words what keeps it from that.

That the rater is away is told and does not count: the spool is there to bridge it, and a proxy that was taken
out of service for it would make an outage of the rater one of every customer.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from mitmproxy.utils import human

from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.spool.disk_watch import DiskWatch
from phoebe_addon.spool.spool import Spool
from phoebe_runtime.durations import in_words
from phoebe_runtime.probes import Condition


class Readiness:
    """What is known of a proxy. stopping: whether it was told to stop. tasks_down: asked for every answer."""

    def __init__(
        self, spool: Spool, disk: DiskWatch, delivery: Delivery, tasks_down: Callable[[], Collection[str]]
    ) -> None:
        self._spool = spool
        self._disk = disk
        self._delivery = delivery
        self._tasks_down = tasks_down
        self.stopping = False

    def conditions(self) -> Sequence[Condition]:
        """How everything stands."""
        return [self._service(), self._writable(), self._room(), self._rater(), *self._tasks()]

    def _service(self) -> Condition:
        words = (
            "the proxy is stopping: it takes no requests any more" if self.stopping else "the proxy serves"
        )
        return Condition(not self.stopping, words)

    def _writable(self) -> Condition:
        trouble = self._disk.trouble
        if trouble is None:
            return Condition(True, "the spool can be written")
        return Condition(False, f"the spool can't be written: {trouble}; its file is {self._spool.path}")

    def _room(self) -> Condition:
        size = f"it holds {human.pretty_size(self._spool.bytes_used)}"
        limit = f"phoebe_spool_limit is {human.pretty_size(self._spool.bytes_max)}"
        if self._spool.is_full:
            words = (
                f"the spool is full: {size}, and {limit}; new requests get 503 until the rater takes events"
            )
            return Condition(False, words)
        return Condition(True, f"the spool has room: {size}, and {limit}")

    def _rater(self) -> Condition:
        target, silent = self._delivery.target, self._delivery.silent_for
        if silent is None:
            return Condition(True, f"the rater at {target} answers", counts=False)
        words = f"the rater at {target} has not answered for {in_words(silent)}: events wait in the spool"
        return Condition(False, words, counts=False)

    def _tasks(self) -> Iterator[Condition]:
        for name in sorted(self._tasks_down()):
            words = f"the task {name} is down, and is being started again: the log says why"
            yield Condition(False, words, counts=False)
