"""The examples of docs/calling.md that need nothing but this project's own environment."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.harness.ledger import ONE_HOUR, Ledger, make_event
from tests.harness.page_examples import example
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres
COST = "0.001000000"


@pytest.fixture
async def address(rater: Rater, ledger: Ledger) -> str:
    """Where a service answers that has the example prices and an event of the last hour."""
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await ledger.load((PROJECT / "prices" / "example.yaml").read_bytes(), this_hour - 3 * ONE_HOUR)
    await ledger.store(make_event(this_hour - ONE_HOUR, model_id="Qwen/Qwen3-32B"))
    return f"127.0.0.1:{rater.port}"


async def run(*command: str) -> tuple[int | None, str]:
    """Run a command with this environment's programs first; return its status and what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, "PATH": path}, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_program_in_python(address: str) -> None:
    status, said = await run(
        sys.executable, "-c", example("calling", "python").replace("localhost:50051", address)
    )
    lines = said.splitlines()
    assert (status, lines[0]) == (0, f"would cost {COST} USD"), said
    # 80 prompt, 20 cached and 10 completion tokens.
    assert lines[1].endswith("total 0.000046000 USD")
    assert lines[-1].endswith("alice Qwen/Qwen3-32B 0.000046000")


async def test_the_command_line(address: str) -> None:
    status, said = await run("sh", "-c", example("calling", "sh").replace("localhost:50051", address))
    assert status == 0, said
    assert f'"cost":"{COST}"' in said.replace(" ", "")
