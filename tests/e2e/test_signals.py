"""A signal to stop is heard at any moment."""

from pathlib import Path

from rig.ports import reserve_port
from tests.harness.engine import Engine
from tests.harness.proxy import Proxy

# More than the pipe holds by which other threads, and signals, wake an event loop that is busy.
FLOOD = """
import asyncio, os, signal

class Flood:
    def running(self):
        asyncio.get_running_loop().call_later(0.2, self.flood)

    def flood(self):
        loop = asyncio.get_running_loop()
        for _ in range(10_000):
            loop.call_soon_threadsafe(lambda: None)
        print("flooded", flush=True)
        os.kill(os.getpid(), signal.{signal})

addons = [Flood()]
"""


def test_a_signal_is_heard_by_an_event_loop_that_is_woken_all_the_time(folder: Path, engine: Engine) -> None:
    for name in ("SIGTERM", "SIGINT"):
        flood = folder / f"{name}.py"
        flood.write_text(FLOOD.replace("{signal}", name))
        proxy = Proxy(
            folder / name,
            *("--mode", f"reverse:{engine.url}", "-s", str(flood)),
            options={"phoebe_rater": f"127.0.0.1:{reserve_port()}"},
            ready=None,
        )
        try:
            proxy.wait_for_log("flooded")
            assert proxy.ended() == 0
        finally:
            proxy.process.kill()
        assert "told again to stop" not in proxy.log()
