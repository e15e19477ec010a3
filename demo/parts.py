"""The four parts of the demo, started as a user would start them: rater, engine, proxy with the addon."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rig.ports import reserve_port
from rig.processes import Processes
from rig.programs import ADDON, LISTENING, mitmdump, module, phoebe, serve

CONSOLE = r"console on (http://127\.0\.0\.1:\d+/)"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where clients send requests, and where the addon's metrics are read.

    is_edge: an edge is in between, which knows customers by their keys and sets the identity itself.
    """

    url: str
    metrics: str
    is_edge: bool = False


class Parts:
    """Starts the parts, each when the one it needs is ready, and says so."""

    def __init__(self, processes: Processes, folder: Path, say: Callable[[str], None]) -> None:
        self._processes = processes
        self._folder = folder
        self._say = say

    async def start_rater(self, prices: Path, database_url: str | None) -> str:
        """Starts `phoebe serve` and waits until it listens; gives its address. RigError if it does not."""
        environment = {"PHOEBE_DATA": str(self._folder / "data")}
        if database_url is not None:
            environment["DATABASE_URL"] = database_url
            await self._processes.run("migration", phoebe("migrate"), environment)
        command = serve("--prices", str(prices), "--console", "127.0.0.1:0")
        rater = self._processes.start("rater", command, environment)
        database = "an embedded PostgreSQL" if database_url is None else "the PostgreSQL in DEMO_DATABASE_URL"
        self._say(f"rater   starting on {database} (pid {rater.process.pid})")
        console = await rater.until_says(CONSOLE)
        address = f"127.0.0.1:{await rater.until_says(LISTENING)}"
        self._say(f"rater   ready: gRPC on {address}, the console on {console} as long as the demo runs")
        return address

    async def start_engine(self) -> str:
        """Starts the toy engine and waits until it serves; gives its URL. RigError if it does not."""
        engine = self._processes.start("engine", module("demo.engine"))
        self._say(f"engine  starting, a toy with the wire behaviour of vLLM (pid {engine.process.pid})")
        url = await engine.until_says(r"running on (http://127\.0\.0\.1:\d+)")
        self._say(f"engine  ready: {url}")
        return url

    async def start_proxy(self, engine_url: str, rater_address: str) -> Proxy:
        """Starts mitmdump with the addon and waits until it takes connections. RigError if it does not."""
        port, metrics_port = reserve_port(), reserve_port()
        options = {
            # For mitmproxy's certificates, which are otherwise written into the home folder.
            "confdir": str(self._folder / "mitmproxy"),
            "flow_detail": "0",
            "phoebe_rater": rater_address,
            "phoebe_spool": str(self._folder / "spool"),
            "phoebe_metrics": f"127.0.0.1:{metrics_port}",
        }
        command = mitmdump(port, options, "-s", str(ADDON), "--mode", f"reverse:{engine_url}")
        proxy = self._processes.start("proxy", command)
        self._say(
            f"proxy   starting mitmdump -s addon/phoebe.py in front of {engine_url} (pid {proxy.process.pid})"
        )
        await proxy.until_answers(port)
        await proxy.until_answers(metrics_port)
        self._say(f"proxy   ready: http://127.0.0.1:{port}, metrics on port {metrics_port}")
        return Proxy(f"http://127.0.0.1:{port}", f"127.0.0.1:{metrics_port}")
