"""An earlier version and this one, side by side: no event is lost, none counts twice, all bills are alike."""

import asyncio
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from rater_service.database.revisions import Phase
from rater_service.database.schema import known_revisions
from rig.ports import reserve_port
from rig.postgres import execute
from tests.harness.postgres import embedded_server
from tests.upgrade.versions import (
    ADMITTED,
    EARLIER,
    NEW,
    OLD,
    Bill,
    Version,
    engine,
    proxy,
    rate,
    rater,
    requests_of,
    send_script,
    wait_for_events,
)

pytestmark = pytest.mark.upgrade

SINCE = datetime.now(UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with embedded_server() as url:
        yield url


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """An empty database."""
    name = f"test_{uuid4().hex}"
    asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
    yield server.replace("/postgres?", f"/{name}?")
    asyncio.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


def test_of_what_is_new_nothing_expands_behind_what_contracts() -> None:
    """Else raters of this version can't start on a schema that is expanded while the earlier ones run."""
    there = {file.name[:4] for file in (EARLIER / "tree" / "migrations" / "versions").glob("[0-9]*.py")}
    assert there
    phases = [revision.phase for revision in known_revisions().known if revision.id not in there]
    assert phases == sorted(phases, key=lambda phase: phase is Phase.CONTRACT)


def billed(addon: Version, raters: Version, url: str, folder: Path) -> Bill:
    """Send the script through one version's addon to one version's rater; gives the bills by that rater."""
    raters.phoebe(url, "migrate")
    with engine(folder) as model, rater(raters, url, folder) as service:
        with proxy(addon, folder, model.port, service.port) as gate:
            send_script(gate.port)
            wait_for_events(url, ADMITTED, [gate])
        return rate(raters, url, SINCE)


@pytest.fixture(scope="module")
def usual(server: str, tmp_path_factory: pytest.TempPathFactory) -> Bill:
    """What this version's addon and rater bill for the script."""
    asyncio.run(execute(server, "CREATE DATABASE usual TEMPLATE template0 ENCODING 'UTF8'"))
    found = billed(NEW, NEW, server.replace("/postgres?", "/usual?"), tmp_path_factory.mktemp("usual"))
    assert len(found) > 3
    return found


def test_the_earlier_addon_and_this_rater(database: str, usual: Bill, tmp_path: Path) -> None:
    assert billed(OLD, NEW, database, tmp_path) == usual
    NEW.phoebe(database, "audit")


def test_this_addon_and_the_earlier_rater(database: str, usual: Bill, tmp_path: Path) -> None:
    assert billed(NEW, OLD, database, tmp_path) == usual


def test_an_upgrade_in_phases_while_requests_are_served(database: str, usual: Bill, tmp_path: Path) -> None:
    """As docs/upgrading.md says: expand, replace the raters, then the addons, then all of the migration."""
    OLD.phoebe(database, "migrate")
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    with engine(tmp_path) as model, rater(OLD, database, tmp_path) as earlier:
        with proxy(OLD, before, model.port, earlier.port) as old_gate:
            send_script(old_gate.port)
            wait_for_events(database, ADMITTED, [old_gate])
            NEW.phoebe(database, "migrate", "--phase", "expand")
            send_script(old_gate.port, requests_of("during", 3))
            with (
                rater(NEW, database, tmp_path) as later,
                proxy(NEW, after, model.port, later.port) as new_gate,
            ):
                send_script(new_gate.port, requests_of("beside", 3))
                send_script(old_gate.port, requests_of("during", 2))
                wait_for_events(database, ADMITTED + 8, [old_gate, new_gate])
                both = rate(OLD, database, SINCE)
                assert [row for row in both if row[0] not in {"during", "beside"}] == usual
                assert {row[0]: row[3] for row in both if row[0] in {"during", "beside"}} == {
                    "during": 5,
                    "beside": 3,
                }
                assert rate(NEW, database, SINCE) == both
        earlier.stop()
    NEW.phoebe(database, "migrate")
    with rater(NEW, database, tmp_path):
        assert rate(NEW, database, SINCE) == both
    NEW.phoebe(database, "audit")


def test_a_step_back_before_the_schema_is_contracted(database: str, usual: Bill, tmp_path: Path) -> None:
    """The earlier rater starts on the schema that was expanded, and goes on with what this one stored."""
    OLD.phoebe(database, "migrate")
    NEW.phoebe(database, "migrate", "--phase", "expand")
    with engine(tmp_path) as model:
        with rater(NEW, database, tmp_path) as later, proxy(NEW, tmp_path, model.port, later.port) as gate:
            send_script(gate.port)
            wait_for_events(database, ADMITTED, [gate])
        with rater(OLD, database, tmp_path) as earlier:
            (tmp_path / "back").mkdir()
            with proxy(OLD, tmp_path / "back", model.port, earlier.port) as gate:
                send_script(gate.port, requests_of("back", 2))
                wait_for_events(database, ADMITTED + 2, [gate])
            found = rate(OLD, database, SINCE)
    assert [row for row in found if row[0] != "back"] == usual


def left_in_a_spool(version: Version, folder: Path) -> None:
    """Send the script through a version's addon that reaches no rater, so that all is in its spool."""
    with engine(folder) as model, proxy(version, folder, model.port, reserve_port()) as gate:
        send_script(gate.port)


def test_a_spool_of_the_earlier_addon_is_delivered_by_this_one(
    database: str, usual: Bill, tmp_path: Path
) -> None:
    left_in_a_spool(OLD, tmp_path)
    NEW.phoebe(database, "migrate")
    with (
        rater(NEW, database, tmp_path) as service,
        proxy(NEW, tmp_path, reserve_port(), service.port) as gate,
    ):
        wait_for_events(database, ADMITTED, [gate])
    assert rate(NEW, database, SINCE) == usual


def test_a_spool_of_this_addon_is_delivered_by_the_earlier_one_or_refused_in_words(
    database: str, usual: Bill, tmp_path: Path
) -> None:
    left_in_a_spool(NEW, tmp_path)
    files = sorted((tmp_path / "spool").glob("spool*.sqlite3"))
    assert files
    NEW.phoebe(database, "migrate")
    with (
        rater(NEW, database, tmp_path) as service,
        proxy(OLD, tmp_path, reserve_port(), service.port) as gate,
    ):
        gate.running.wait_until(
            lambda: "knows formats up to" in gate.running.said or stored_all(database),
            "deliver it or refuse it",
        )
        refused = "knows formats up to" in gate.running.said
    if refused:
        # It is left as it is, and what waits in it is delivered by the version that wrote it.
        with (
            rater(NEW, database, tmp_path) as service,
            proxy(NEW, tmp_path, reserve_port(), service.port) as gate,
        ):
            wait_for_events(database, ADMITTED, [gate])
    assert rate(NEW, database, SINCE) == usual


def stored_all(url: str) -> bool:
    try:
        wait_for_events(url, ADMITTED, [])
    except AssertionError:
        return False
    return True


CLIENT = """
import sys
from datetime import datetime
from phoebe_client import Client

with Client(sys.argv[1]) as rater:
    print(rater.resolve_price(sys.argv[2], prompt_tokens=1000, completion_tokens=500).cost)
    print(len(list(rater.rated_usage(*map(datetime.fromisoformat, sys.argv[3:5])))))
"""


def test_the_earlier_client_and_this_rater(database: str, tmp_path: Path) -> None:
    python = OLD.commands / "python"
    if subprocess.run([python, "-c", "import phoebe_client"], check=False, capture_output=True).returncode:
        pytest.skip("the earlier version has no client")
    found = billed(NEW, NEW, database, tmp_path)
    with rater(NEW, database, tmp_path) as service:
        day = SINCE.replace(hour=0, minute=0, second=0, microsecond=0)
        window = (day.isoformat(), day.replace(hour=23).isoformat())
        command = [str(python), "-c", CLIENT, f"127.0.0.1:{service.port}"]
        done = subprocess.run(
            [*command, "meta-llama/Llama-3.1-8B-Instruct", *window],
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    cost, rollups = done.stdout.split()
    assert float(cost) > 0
    assert int(rollups) >= len(found)
