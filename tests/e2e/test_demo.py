"""`make demo` shows the main job on real parts, ends with one line to trust, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LAST_LINE = re.compile(
    r"demo ok: admitted=(\d+) stored=(\d+) rated=(\d+) unpriced=(\d+) zero_charge=(\d+) "
    r"total_cost=(\d+\.\d{9})"
)
# Of the user's own set-up nothing may reach the parts: with any of these they would fail.
HOSTILE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PHOEBE_UPSTREAM": "http://127.0.0.1:1",
    "PHOEBE_LISTEN": "0.0.0.0:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}
KEY = "sk-this-must-never-be-shown"
TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run of the demo said, and how it ended."""

    status: int
    output: str

    @property
    def last_line(self) -> str:
        return self.output.splitlines()[-1]

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", self.output)]

    @property
    def folder(self) -> Path:
        found = re.search(r"logs and data in (\S+)", self.output)
        assert found is not None, self.output
        return PROJECT / found[1]


@contextmanager
def demo(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A running demo, with its output and errors in one pipe; stopped in any case."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UPSTREAM", "DEMO_"))}
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "demo"],
        cwd=PROJECT,
        env={**kept, **HOSTILE, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=TIMEOUT_S)


def run(**environment: str) -> Ended:
    with demo(environment) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
        return Ended(process.returncode, output)


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
def finished() -> Ended:
    return run()


def test_the_demo_ends_with_the_line_that_accounts_for_every_request(finished: Ended) -> None:
    assert finished.status == 0, finished.output
    found = LAST_LINE.fullmatch(finished.last_line)
    assert found is not None, finished.output
    admitted, stored, rated, unpriced, zero_charge = (int(number) for number in found.groups()[:5])
    assert (admitted, stored, rated, unpriced, zero_charge) == (17, 17, 14, 1, 2)
    assert finished.output.count("demo ok") == 1


def test_the_total_is_what_the_toy_engine_counted_at_the_prices_of_the_file(finished: Ended) -> None:
    # Words by hand: the system prompt has 13, the user's has 4 and the title of the request.
    llama = 200 * (18 - 0) + 600 * 24  # the first request; from the second on, 13 tokens are cached
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 24 for user in (20, 18, 21, 20))
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 40 for user in (19, 20))
    llama += sum(200 * (user - 13) + 50 * 13 + 600 * 12 for user in (19, 20))
    qwen = sum(150 * prompt + 450 * 24 for prompt in (1, 2, 4))
    fine_tune = sum(300 * (user - 13) + 75 * 13 + 900 * 24 for user in (18, 19))
    nano = llama + qwen + fine_tune
    assert finished.last_line.endswith(f"total_cost=0.{nano:09d}")


def test_the_demo_shows_the_refusal_the_quote_and_the_anomaly(finished: Ended) -> None:
    assert re.search(
        r'Refused \(no resource id\): HTTP 400 \{"error": .*X-Saturn-Resource-Id', finished.output
    )
    assert "derived: multiplier 1.5" in finished.output
    assert re.search(r"UNPRICED\s+initech\s+experiment\s+toy/unpriced", finished.output)
    assert "17 admitted = 17 stored = 14 rated + 1 unpriced" in finished.output


def test_the_demo_leaves_no_process_and_no_folder(finished: Ended) -> None:
    assert len(finished.pids) == 3
    assert not any(map(is_alive, finished.pids))
    assert not finished.folder.exists()


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "rater   starting"),
        (signal.SIGTERM, "proxy   starting"),
        (signal.SIGINT, "client  sending"),
    ],
)
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals, moment: str) -> None:
    with demo({}) as process:
        output = read_until(process, lambda line: line.startswith(moment))
        postmaster = postmaster_pid(Ended(0, output).folder)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    ended = Ended(process.returncode, output + rest)
    assert ended.status == 128 + number, ended.output
    assert ended.last_line == f"demo stopped by {number.name}"
    assert ended.pids
    assert not any(map(is_alive, ended.pids))
    assert postmaster is None or not is_alive(postmaster)
    assert not ended.folder.exists()


def test_a_rater_that_dies_fails_the_demo_and_its_database_is_stopped() -> None:
    with demo({}) as process:
        output = read_until(process, lambda line: line.startswith("proxy   starting"))
        postmaster = postmaster_pid(Ended(0, output).folder)
        assert postmaster is not None
        os.kill(Ended(0, output).pids[0], signal.SIGKILL)
        rest, _ = process.communicate(timeout=TIMEOUT_S)
    ended = Ended(process.returncode, output + rest)
    assert ended.status == 1
    assert ended.last_line.startswith("demo failed: ")
    assert "last lines of the rater:" in ended.output
    assert "demo ok" not in ended.output
    assert not any(map(is_alive, [*ended.pids, postmaster]))
    assert not ended.folder.exists()


def test_a_demo_whose_output_nobody_reads_any_more_leaves_nothing() -> None:
    with demo({}) as process:
        output = read_until(process, lambda line: line.startswith("engine  starting"))
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(TIMEOUT_S) == 1
    ended = Ended(1, output)
    assert not any(map(is_alive, ended.pids))
    assert not ended.folder.exists()


def read_until(process: subprocess.Popen[str], fits: Callable[[str], bool]) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if fits(line):
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.fixture
def other_engine(tmp_path: Path) -> Iterator[str]:
    """Someone's OpenAI-compatible engine, already running."""
    log = tmp_path / "engine.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "demo.engine"], cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while (found := re.search(r"running on (\S+)", log.read_text())) is None:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield found[1]
        finally:
            process.terminate()


def test_the_demo_goes_in_front_of_a_running_engine_without_showing_its_key(other_engine: str) -> None:
    ended = run(UPSTREAM=other_engine, UPSTREAM_MODEL="Qwen/Qwen2.5-7B-Instruct", UPSTREAM_API_KEY=KEY)
    assert ended.status == 0, ended.output
    assert LAST_LINE.fullmatch(ended.last_line), ended.output
    assert "admitted=7 stored=7 rated=6 unpriced=0 zero_charge=1 " in ended.last_line
    assert KEY not in ended.output


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "does not work as an OpenAI-compatible engine"), ("localhost", "must look like")],
)
def test_an_upstream_that_is_none_is_named_as_the_failure(url: str, reason: str) -> None:
    ended = run(UPSTREAM=url, UPSTREAM_API_KEY=KEY)
    assert ended.status == 1
    assert ended.last_line.startswith("demo failed: ")
    assert reason in ended.last_line
    assert KEY not in ended.output
