"""`python -m bench` measures real parts, writes its results, fails loudly and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TIMEOUT_S = 180
# Of the user's own set-up nothing may reach the parts: with any of these they would fail.
HOSTILE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PHOEBE_UPSTREAM": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}


@contextmanager
def bench(*arguments: str, name: str = "proxy_plain_cpu") -> Iterator[subprocess.Popen[str]]:
    """A running benchmark, with its output and errors in one pipe; stopped in any case."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "bench", "--only", name, *arguments],
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


def read_until(process: subprocess.Popen[str], start: str) -> str:
    """What the benchmark says up to the first line that starts like this."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return "".join(lines)
    raise AssertionError("".join(lines))


def processes_in(folder: str) -> list[str]:
    """The command lines of the running processes that name a folder."""
    files = Path("/proc").glob("[0-9]*/cmdline")
    lines = [_read(file).replace("\0", " ") for file in files]
    return [line for line in lines if folder in line]


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return ""


def folder_of(output: str) -> Path:
    found = re.search(r"logs and data in (\S+)", output)
    assert found is not None, output
    return PROJECT / found[1]


@pytest.mark.parametrize("name", ["proxy_plain_cpu", "ingest"])
def test_a_benchmark_writes_the_results_that_were_asked_for(tmp_path: Path, name: str) -> None:
    file = tmp_path / "results.json"
    with bench("--rounds", "1", "--output", str(file), name=name) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    assert not folder_of(output).exists()
    last_line = output.splitlines()[-1]
    assert re.fullmatch(rf"bench ok: {name}=\d+\.\d{{3}}", last_line)
    (entry,) = json.loads(file.read_text())
    assert entry.keys() == {"name", "ratio", "low", "high", "reference", "unit", "note"}
    assert entry["name"] == name
    assert entry["low"] <= entry["ratio"] <= entry["high"]


def test_a_rater_that_dies_fails_the_benchmark_and_there_is_no_result(tmp_path: Path) -> None:
    with bench("--output", str(tmp_path / "results.json")) as process:
        said = read_until(process, "plain   round 1")
        (pid,) = re.findall(r"\(pid (\d+)\)", said)
        os.kill(int(pid), signal.SIGKILL)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1, output
    assert "last lines of the phoebe-proxy-1:" in output
    assert output.splitlines()[-1].startswith("bench failed: ")
    assert "bench ok" not in output
    assert not folder_of(said).exists()
    assert not list(tmp_path.iterdir())


def test_an_interrupted_benchmark_stops_its_parts(tmp_path: Path) -> None:
    with bench("--output", str(tmp_path / "results.json")) as process:
        folder = folder_of(read_until(process, "plain   round 1"))
        assert processes_in(folder.name)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + signal.SIGINT, output
    assert output.splitlines()[-1] == "bench stopped by SIGINT"
    assert not processes_in(folder.name)
    assert not folder.exists()
