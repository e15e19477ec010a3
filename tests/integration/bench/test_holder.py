"""Connections that are held open: as many as wanted, in the state that is wanted, until they are let go."""

import json
import signal
from pathlib import Path

import pytest

from bench.holder import TOKENS
from rig.ports import reserve_port
from rig.processes import start
from rig.programs import PROJECT, module


@pytest.mark.parametrize("streamed", [True, False], ids=["streams", "idle"])
async def test_connections_are_held_until_they_are_let_go(tmp_path: Path, streamed: bool) -> None:
    port = reserve_port()  # of its own engine, without a proxy between
    words = [f"--engine-port={port}", f"--proxy-port={port}", "--connections=12"]
    command = module("bench.holder", *words, *(["--streams"] if streamed else []))
    holder = start("holder", command, tmp_path / "holder.log", folder=PROJECT)
    try:
        await holder.until_says("(holding 12)")
        assert holder.process.poll() is None
        holder.process.send_signal(signal.SIGUSR1)
        assert await holder.ended() == 0, holder.said
    finally:
        if holder.process.poll() is None:
            holder.kill()
    seen = json.loads(holder.last_lines(1)[0])
    assert (seen["answers"], seen["events"] >= 12 * TOKENS) == (12, streamed)
