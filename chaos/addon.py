"""A mitmdump with the addon, its disk watched and its clock on strings."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import override

from chaos.clock import write_clock
from chaos.disk import Disk
from chaos.part import Part
from chaos.plan import Plan, jumped
from rig.ports import reserve_port
from rig.processes import Running
from rig.programs import ADDON, PROJECT, mitmdump

DRAIN_TIMEOUT_S = 4


class Addon(Part):
    """One mitmdump. Every start has the same port, spool folder, disk and clock."""

    def __init__(
        self, number: int, plan: Plan, folder: Path, environment: Mapping[str, str], ports: tuple[int, int]
    ) -> None:
        super().__init__(f"addon-{number}", folder, environment)
        self.port, self.metrics_port = reserve_port(), reserve_port()
        self.disk = Disk()
        self._engine_port, self._rater_port = ports
        self._spool_limit = plan.spool_limit
        self._clock = folder / f"clock-{number}"
        self._clock_s = plan.clock_s[number]
        self._theirs: socket.socket | None = None
        write_clock(self._clock, self._clock_s)

    def jump(self, jump_s: int) -> None:
        """Let the clock jump, as far as it can go."""
        self._clock_s = jumped(self._clock_s, jump_s)
        write_clock(self._clock, self._clock_s)

    @override
    def _channel(self) -> int:
        ours, self._theirs = socket.socketpair()
        self.disk.watch(ours)
        return self._theirs.fileno()

    @override
    def _started(self) -> None:
        assert self._theirs
        self._theirs.close()

    @override
    def _command(self) -> Sequence[str]:
        options = {
            "confdir": str(self._folder / "mitmproxy"),
            "flow_detail": "0",
            "phoebe_drain_timeout": str(DRAIN_TIMEOUT_S),
            "phoebe_metrics": f"127.0.0.1:{self.metrics_port}",
            "phoebe_rater": f"127.0.0.1:{self._rater_port}",
            "phoebe_spool": str(self._folder / "spool"),
            "phoebe_spool_limit": self._spool_limit,
        }
        scripts = ("-s", str(PROJECT / "chaos" / "clock.py"), "-s", str(ADDON))
        mode = ("--mode", f"reverse:http://127.0.0.1:{self._engine_port}")
        return mitmdump(self.port, options, *scripts, *mode)

    @override
    def _more_environment(self) -> Mapping[str, str]:
        return {"CHAOS_CLOCK": str(self._clock)}

    @override
    async def _until_ready(self, running: Running) -> None:
        await running.until_answers(self.metrics_port)
        await running.until_answers(self.port)

    @override
    def _may_end(self) -> bool:
        return self.disk.was_in_trouble
