"""A proxy whose spool file is found damaged serves, and delivers what can be read."""

import signal
from pathlib import Path

import httpx

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import Engine, document
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.spooled import spool_file

CHAT = "/v1/chat/completions"


def start(folder: Path, engine: Engine, rater_port: int) -> Proxy:
    return Proxy(
        folder,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater_port}"},
    )


def ask(proxy: Proxy, tag: str) -> int:
    headers = {**IDENTITY, "X-Request-Id": tag}
    return httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=headers, timeout=20).status_code


def test_damage_is_told_and_does_not_keep_a_proxy_from_starting(
    folder: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = document({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    proxy = start(folder, engine, reserve_port())
    assert ask(proxy, "before-damage") == 200
    proxy.stop(signal.SIGKILL)
    with spool_file(folder / "spool").open("r+b") as file:
        file.write(b"nothing that SQLite knows")

    proxy = start(folder, engine, rater.port)
    try:
        assert ask(proxy, "after-damage") == 200
        for tag in ("before-damage", "after-damage"):
            event = rater.tagged(tag)
            assert event.outcome == "completed"
        assert "is damaged" in proxy.log()
    finally:
        assert proxy.stop() == 0
