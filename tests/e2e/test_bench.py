"""`python -m bench` measures real parts, writes its results, fails loudly and leaves nothing behind."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.harness.run_module import run_module

pytestmark = pytest.mark.long

PLAIN = ("--only", "proxy_plain_cpu")


@pytest.mark.parametrize("name", ["proxy_plain_cpu", "ingest"])
def test_a_benchmark_writes_the_results_that_were_asked_for(tmp_path: Path, name: str) -> None:
    file = tmp_path / "results.json"
    arguments = ("--only", name, "--rounds", "1", "--output", str(file))
    with run_module("bench", *arguments, log=tmp_path / "log") as bench:
        status = bench.end()
    assert status == 0, bench.output
    assert not bench.folder.exists()
    assert re.fullmatch(rf"bench ok: {name}=\d+\.\d{{3}}", bench.last_line)
    (entry,) = json.loads(file.read_text())
    assert entry.keys() == {"name", "ratio", "low", "high", "reference", "unit", "note"}
    assert entry["name"] == name
    assert entry["low"] <= entry["ratio"] <= entry["high"]


def test_a_rater_that_dies_fails_the_benchmark_and_there_is_no_result(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    with run_module("bench", *PLAIN, "--output", str(results), log=tmp_path / "log") as bench:
        bench.wait_until_says("plain   round 1")
        (pid,) = bench.pids
        os.kill(pid, signal.SIGKILL)
        status = bench.end()
    assert status == 1, bench.output
    assert "last lines of the phoebe-proxy-1:" in bench.output
    assert bench.last_line.startswith("bench failed: ")
    assert "bench ok" not in bench.output
    assert not bench.folder.exists()
    assert not results.exists()


def test_an_interrupted_benchmark_stops_its_parts(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    with run_module("bench", *PLAIN, "--output", str(results), log=tmp_path / "log") as bench:
        bench.wait_until_says("plain   round 1")
        assert bench.parts()
        bench.process.send_signal(signal.SIGINT)
        status = bench.end()
    assert status == 128 + signal.SIGINT, bench.output
    assert bench.last_line == "bench stopped by SIGINT"
    assert not bench.parts()
    assert not bench.folder.exists()
    assert not results.exists()
