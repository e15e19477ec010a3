"""The worker's end of the channel, in mitmdump: says when it is ready, and does what `phoebe proxy` tells it.

what comes                   what is done
bound, errno                 the answer to `listen`
take, leave                  listens on the sockets of a slot, or no more
report                       what is counted, and how things stand, goes back
retire                       stops listening, lets its clients go over, and ends
the end of the channel       the same as being told to stop: `phoebe proxy` is gone

what goes out                when
listen                       mitmproxy is about to listen on an address
ready                        exchanges can be metered: it may be given sockets
metrics, conditions          when asked, and at the end
"""

import asyncio
import logging
import os
from dataclasses import astuple

from mitmproxy import ctx

from phoebe_addon.addon import PhoebeAddon
from phoebe_addon.channel import Channel, Message
from phoebe_addon.meter import Meter
from phoebe_addon.proxy.given_sockets import Address, GivenSockets, socket_of, until_set_up
from phoebe_addon.spool.seat import Seat
from phoebe_addon.workers.merged_metrics import snapshot_of
from phoebe_runtime.background import spawn

logger = logging.getLogger(__name__)

# Options by which every worker would write to the same file.
_ONE_FILE_OPTIONS = ("save_stream_file", "hardump")

_made: list[object] = []
"""What mitmproxy's script gets, which it loads as a file and can't be given arguments."""


def make(seat: Seat, channel: Channel) -> None:
    """Make the addons of this process: Phoebe's, and behind it the one of the worker."""
    phoebe = PhoebeAddon(seat)
    worker = Worker(phoebe, seat, channel)
    worker.sockets.install()  # before mitmproxy listens
    _made[:] = [phoebe, worker]


def addons() -> list[object]:
    """Return the addons of this process."""
    return list(_made)


class Worker:
    """An addon of mitmproxy: the life of a worker."""

    def __init__(self, phoebe: PhoebeAddon, seat: Seat, channel: Channel) -> None:
        self._phoebe = phoebe
        self._seat = seat
        self._channel = channel
        self._bound: asyncio.Future[Message] | None = None
        self._asking = asyncio.Lock()
        self.sockets = GivenSockets(self._ask)
        self._tasks: list[asyncio.Task[None]] = []
        self._meter: Meter | None = None

    def load(self, _: object) -> None:
        """Begin to hear the channel."""
        self._tasks.append(spawn(self._hear(), "channel"))

    def configure(self, _: set[str]) -> None:
        """Refuse what several processes can't do on one machine."""
        for name in _ONE_FILE_OPTIONS:
            if getattr(ctx.options, name, None) and self._seat.count > 1:
                logger.error(
                    "phoebe: %s can't be used with several workers: all would write to the same file", name
                )

    async def running(self) -> None:
        """Say that exchanges can be metered, once they can."""
        self._meter = self._phoebe.meter
        if self._meter is None:
            return  # the addon has said why, and the process ends
        if await until_set_up(ctx.master.addons.get("proxyserver").servers, ctx.options.mode):
            # Not yet: what was logged as an error ends the process when this hook is over.
            self._tasks.append(spawn(self._say_ready(), "ready"))
        else:
            logger.error("phoebe: the address can't be listened on")

    async def done(self) -> None:
        """Hand in what was counted."""
        self.sockets.leave_all()
        await self._report()
        for task in self._tasks:
            task.cancel()

    async def _report(self) -> None:
        if self._meter:
            conditions = [astuple(condition) for condition in self._meter.conditions]
            snapshot = snapshot_of(self._meter.metrics.registry)
            await self._channel.send({"metrics": snapshot, "conditions": conditions})

    async def _say_ready(self) -> None:
        errors = ctx.master.addons.get("errorcheck")
        await asyncio.sleep(0)
        if errors is None or not errors.logger.has_errored:
            await self._channel.send({"ready": True})

    async def _ask(self, address: Address) -> None:
        """Have an address bound. Raises OSError."""
        async with self._asking:
            self._bound = asyncio.get_running_loop().create_future()
            await self._channel.send({"listen": address})
            answer = await self._bound
        if "errno" in answer:
            raise OSError(answer["errno"], answer.get("message") or os.strerror(answer["errno"]))

    async def _hear(self) -> None:
        while received := await self._channel.receive():
            message, files = received
            await self._obey(message, files)
        logger.error("phoebe: `phoebe proxy` is gone: this worker stops")
        self.sockets.leave_all()
        self._settle({"errno": 0, "message": "`phoebe proxy` is gone"})
        ctx.master.shutdown()

    async def _obey(self, message: Message, files: list[int]) -> None:
        match message:
            case {"take": int(slot), "address": [str(host), int(port)]}:
                await self.sockets.take((host, port), slot, [socket_of(each) for each in files])
                await self._channel.send({"taken": slot})
            case {"leave": int(slot)}:
                self.sockets.leave(slot)
            case {"report": True}:
                await self._report()
            case {"retire": float(seconds) | int(seconds)}:
                self.sockets.leave_all()
                self._tasks.append(spawn(self._phoebe.retire(seconds), "retiring"))
            case {"bound": _} | {"errno": _}:
                self._settle(message)

    def _settle(self, answer: Message) -> None:
        if self._bound and not self._bound.done():
            self._bound.set_result(answer)
