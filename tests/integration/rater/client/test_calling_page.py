"""The examples of docs/calling.md that need nothing but this project's own environment."""

import asyncio
import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.harness.ledger import ONE_HOUR, Ledger, make_event
from tests.harness.page_examples import example
from tests.harness.rater import Rater
from tests.harness.served_rater import served_rater

pytestmark = pytest.mark.one_postgres
COST = "0.001000000"
CONSOLE = re.compile(r"console on (http://\S+)/")


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


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
async def test_json_over_http(address: str, ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    del address
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await ledger.rate(this_hour - ONE_HOUR, now=this_hour)
    environment = {"DATABASE_URL": database_url}
    async with served_rater(tmp_path, environment, "--console", "127.0.0.1:0") as rater:
        rater.wait_for_log("console on ")
        (found,) = CONSOLE.findall(rater.log())
        status, said = await run(
            "sh", "-c", example("calling", "bash").replace("http://localhost:8080", found)
        )
    assert status == 0, said
    price, page, error = map(json.loads, said.splitlines())
    assert (price["cost"], price["source"]) == (COST, "PRICE_SOURCE_BASE_MODEL")
    assert [(row["authId"], row["promptTokens"]) for row in page["ratedUsage"]] == [("alice", "100")]
    assert page["nextPageToken"] == ""
    assert (error["error"]["code"], error["error"]["status"]) == (404, "NOT_FOUND")
    assert error["error"]["details"][0]["reason"] == "NO_PRICE"
