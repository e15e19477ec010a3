"""`python -m chaos` runs real parts under faults, says what it did, and leaves nothing behind."""

import re
import signal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from chaos.__main__ import Chaos, last_line
from chaos.plan import ALL_KINDS
from tests.harness.run_module import run_module

# Between them these have almost every kind of fault.
SEEDS = ("--first-seed", "455", "--seeds", "3")
KINDS_MIN = len(ALL_KINDS) - 2
# Of these the one in which the most parts are killed and started again.
SEED = ("--seed", "457")
KINDS_OF_IT = 10


def run_clean(log: Path, seeds: tuple[str, ...], count: int, kinds_min: int) -> None:
    """Run so many seeds, with faults of at least so many kinds, and look at what is said of them."""
    with run_module("chaos", *seeds, log=log) as chaos:
        status = chaos.end()
    assert status == 0, chaos.output
    counted = re.findall(r"(\w+)=(\d+)", chaos.output.splitlines()[-2])
    assert [kind for kind, _ in counted] == list(ALL_KINDS)
    assert sum(int(number) > 0 for _, number in counted) >= kinds_min
    assert len(re.findall(r"seed \d+  ok", chaos.output)) == count
    last_line = re.fullmatch(
        rf"chaos ok: seeds={count} exchanges=(\d+) stored=(\d+) lost=0 twice=0", chaos.last_line
    )
    assert last_line is not None, chaos.output
    assert int(last_line[1]) >= int(last_line[2]) > 20 * count
    assert not chaos.folder.exists()


def test_a_seed_in_which_proxy_and_rater_are_killed_and_started_again_runs_clean(tmp_path: Path) -> None:
    run_clean(tmp_path / "log", SEED, 1, KINDS_OF_IT)


@pytest.mark.long
def test_a_few_seeds_with_almost_every_kind_of_fault_run_clean(tmp_path: Path) -> None:
    run_clean(tmp_path / "log", SEEDS, 3, KINDS_MIN)


async def test_a_part_that_can_not_be_started_is_told_of_in_a_line(tmp_path: Path) -> None:
    said = StringIO()
    chaos = Chaos(
        tmp_path, Console(file=said), [tmp_path / "no-programs"], "no faults of it here", keep=False
    )
    await chaos.run([1], jobs=1)
    assert last_line([], chaos.problem, 1).startswith("chaos failed: ")
    assert "no-programs" in last_line([], chaos.problem, 1)
    assert not chaos.results


def test_an_interrupted_run_stops_its_parts(tmp_path: Path) -> None:
    with run_module("chaos", "--seed", "154", log=tmp_path / "log") as chaos:
        chaos.wait_until_parts_run()
        chaos.process.send_signal(signal.SIGINT)
        status = chaos.end()
    assert status == 128 + signal.SIGINT, chaos.output
    assert chaos.last_line.startswith("chaos stopped: seeds=0")
    assert not chaos.parts()
    assert not chaos.folder.exists()


def test_a_plan_is_shown_without_running_it(tmp_path: Path) -> None:
    with run_module("chaos", "--seed", "154", "--show-plan", log=tmp_path / "log") as chaos:
        assert chaos.end() == 0
    assert chaos.output.startswith("seed 154: ")
    assert "exchange-39: " in chaos.output
