"""`python -m chaos` runs real parts under faults, says what it did, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.plan import ALL_KINDS

PROJECT = Path(__file__).parents[2]
TIMEOUT_S = 400
# Between them these have almost every kind of fault.
SEEDS = ("--first-seed", "154", "--seeds", "3")
KINDS_MIN = len(ALL_KINDS) - 2
# Of the user's own set-up nothing may reach the parts: with any of these they would fail.
HOSTILE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PHOEBE_UPSTREAM": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}


@contextmanager
def chaos(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running simulator, with its output and errors in one pipe; stopped in any case."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "chaos", *arguments],
        cwd=PROJECT,
        env={**os.environ, **HOSTILE},
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


def folder_of(output: str) -> Path:
    found = re.search(r"files in (\S+)", output)
    assert found is not None, output
    return PROJECT / found[1]


def processes_in(folder: Path) -> list[str]:
    """The command lines of the running processes that name a folder."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_text(errors="replace").replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            continue
    return [line for line in lines if str(folder) in line]


def test_a_few_seeds_with_almost_every_kind_of_fault_run_clean() -> None:
    with chaos(*SEEDS) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    counted = re.findall(r"(\w+)=(\d+)", output.splitlines()[-2])
    assert [kind for kind, _ in counted] == list(ALL_KINDS)
    assert sum(int(count) > 0 for _, count in counted) >= KINDS_MIN
    assert len(re.findall(r"seed \d+  ok", output)) == 3
    last_line = re.fullmatch(
        r"chaos ok: seeds=3 exchanges=(\d+) stored=(\d+) lost=0 twice=0", output.splitlines()[-1]
    )
    assert last_line is not None, output
    assert int(last_line[1]) >= int(last_line[2]) > 50
    assert not folder_of(output).exists()


def test_an_interrupted_run_stops_its_parts() -> None:
    with chaos("--seed", "154") as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        folder = folder_of(said)
        while not processes_in(folder):
            assert process.poll() is None
            time.sleep(0.05)  # between two looks
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + signal.SIGINT, output
    assert output.splitlines()[-1].startswith("chaos stopped: seeds=0")
    assert not processes_in(folder)
    assert not folder.exists()


def test_a_plan_is_shown_without_running_it() -> None:
    with chaos("--seed", "154", "--show-plan") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert output.startswith("seed 154: ")
    assert "exchange-39: " in output
