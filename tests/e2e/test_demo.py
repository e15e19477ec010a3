"""`make demo` shows the main job on real parts, ends with one line to trust, and leaves nothing behind."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.processes import start
from rig.programs import PROJECT, module
from tests.harness.run_module import (
    TIMEOUT_S,
    RunModule,
    folder_in,
    hostile_environment,
    pids_in,
    run_module,
)

LAST_LINE = re.compile(
    r"demo ok: admitted=(\d+) stored=(\d+) rated=(\d+) unpriced=(\d+) zero_charge=(\d+) "
    r"total_cost=(\d+\.\d{9})"
)
KEY = "sk-this-must-never-be-shown"


def ended(log: Path, **environment: str) -> RunModule:
    """A demo that has run to its end."""
    with run_module("demo", log=log, environment=environment) as demo:
        demo.end()
    return demo


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"


def postmaster_pid(folder: Path) -> int | None:
    try:
        return int((folder / "data" / "postgresql" / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError):
        return None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunModule:
    return ended(tmp_path_factory.mktemp("demo") / "log")


def test_the_demo_ends_with_the_line_that_accounts_for_every_request(finished: RunModule) -> None:
    assert finished.process.returncode == 0, finished.output
    found = LAST_LINE.fullmatch(finished.last_line)
    assert found is not None, finished.output
    admitted, stored, rated, unpriced, zero_charge = (int(number) for number in found.groups()[:5])
    assert (admitted, stored, rated, unpriced, zero_charge) == (17, 17, 14, 1, 2)
    assert finished.output.count("demo ok") == 1


def test_the_total_is_what_the_toy_engine_counted_at_the_prices_of_the_file(finished: RunModule) -> None:
    # Words by hand: the system prompt has 13, the user's has 4 and the title of the request.
    llama = 200 * (18 - 0) + 600 * 24  # the first request; from the second on, 13 tokens are cached
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 24 for user in (20, 18, 21, 20))
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 40 for user in (19, 20))
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 12 for user in (19, 20))
    qwen = sum(150 * prompt + 450 * 24 for prompt in (1, 2, 4))
    fine_tune = sum(300 * (user - 13) + 75 * 13 + 900 * 24 for user in (18, 19))
    nano = llama + qwen + fine_tune
    assert finished.last_line.endswith(f"total_cost=0.{nano:09d}")


def test_the_demo_shows_the_refusal_the_quote_and_the_anomaly(finished: RunModule) -> None:
    assert re.search(
        r'Refused \(no resource id\): HTTP 400 \{"error": .*X-Saturn-Resource-Id', finished.output
    )
    assert "derived: multiplier 1.5" in finished.output
    assert re.search(r"UNPRICED\s+initech\s+experiment\s+toy/unpriced", finished.output)
    assert "17 admitted = 17 stored = 14 rated + 1 unpriced" in finished.output


def test_the_demo_leaves_no_process_and_no_folder(finished: RunModule) -> None:
    assert len(finished.pids) == 3
    assert not any(map(is_alive, finished.pids))
    assert not finished.folder.exists()


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "rater   starting"),
        pytest.param(signal.SIGTERM, "proxy   starting", marks=pytest.mark.long),
        pytest.param(signal.SIGINT, "client  sending", marks=pytest.mark.long),
        (signal.SIGTERM, "client  sending"),
    ],
)
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals, moment: str, tmp_path: Path) -> None:
    with run_module("demo", log=tmp_path / "log") as demo:
        demo.wait_until_says(moment)
        postmaster = postmaster_pid(demo.folder)
        demo.process.send_signal(number)
        status = demo.end()
    assert status == 128 + number, demo.output
    assert demo.last_line == f"demo stopped by {number.name}"
    assert demo.pids
    assert not any(map(is_alive, demo.pids))
    assert postmaster is None or not is_alive(postmaster)
    assert not demo.folder.exists()


def test_a_rater_that_dies_fails_the_demo_and_its_database_is_stopped(tmp_path: Path) -> None:
    with run_module("demo", log=tmp_path / "log") as demo:
        demo.wait_until_says("proxy   starting")
        postmaster = postmaster_pid(demo.folder)
        assert postmaster is not None
        os.kill(demo.pids[0], signal.SIGKILL)
        assert demo.end() == 1
    assert demo.last_line.startswith("demo failed: ")
    assert "last lines of the rater:" in demo.output
    assert "demo ok" not in demo.output
    assert not any(map(is_alive, [*demo.pids, postmaster]))
    assert not demo.folder.exists()


@pytest.mark.long
def test_a_demo_whose_output_nobody_reads_any_more_leaves_nothing() -> None:
    # A pipe instead of the log file that other runs have: it is its reader who goes away.
    with subprocess.Popen(
        module("demo"),
        cwd=PROJECT,
        env=hostile_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = ""
        while "engine  starting" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 1
    assert not any(map(is_alive, pids_in(output)))
    assert not folder_in(output).exists()


@pytest.fixture
def other_engine(tmp_path: Path) -> Iterator[str]:
    """Someone's OpenAI-compatible engine, already running."""
    engine = start("engine", module("demo.engine"), tmp_path / "engine.log", folder=PROJECT)
    try:
        yield engine.wait_until_says(r"running on (http://127\.0\.0\.1:\d+)")
    finally:
        engine.kill()


def test_the_demo_goes_in_front_of_a_running_engine_without_showing_its_key(
    other_engine: str, tmp_path: Path
) -> None:
    upstream = {
        "UPSTREAM": other_engine,
        "UPSTREAM_MODEL": "Qwen/Qwen2.5-7B-Instruct",
        "UPSTREAM_API_KEY": KEY,
    }
    demo = ended(tmp_path / "log", **upstream)
    assert demo.process.returncode == 0, demo.output
    assert LAST_LINE.fullmatch(demo.last_line), demo.output
    assert "admitted=7 stored=7 rated=6 unpriced=0 zero_charge=1 " in demo.last_line
    assert KEY not in demo.output


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "does not work as an OpenAI-compatible engine"), ("localhost", "must look like")],
)
def test_an_upstream_that_is_none_is_named_as_the_failure(url: str, reason: str, tmp_path: Path) -> None:
    demo = ended(tmp_path / "log", UPSTREAM=url, UPSTREAM_API_KEY=KEY)
    assert demo.process.returncode == 1
    assert demo.last_line.startswith("demo failed: ")
    assert reason in demo.last_line
    assert KEY not in demo.output
