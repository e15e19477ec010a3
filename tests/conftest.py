"""A fresh, migrated database for every test that asks for one, on every PostgreSQL at hand, and a rater."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

# As in the command line: gRPC's fork handlers break child processes now and then.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

import grpc
import pytest
from hypothesis import HealthCheck, settings

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.database.database import Pool, open_pool
from rater_service.service.server import running_server
from tests.harness.given_server import is_given, reason_to_skip, server_url
from tests.harness.isolation import isolated
from tests.harness.ledger import Ledger, make_event
from tests.harness.postgres import (
    DROP_TEMPLATE,
    TEMPLATE,
    NoSystemPostgres,
    PostgresServer,
    cluster_at,
    database,
    embedded_server,
    prepare,
    system_server,
)
from tests.harness.rater import Rater

# No deadline: on a busy machine it fails what is right. A failure prints how to see the same case again.
settings.register_profile(
    "phoebe", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("phoebe")


# Tests that are run only where they are asked for, by `-m` and the name: each has a target of its own.
LANES = frozenset(
    {
        "archive",
        "browser",
        "clients",
        "deploy",
        "docs",
        "engine",
        "focus",
        "long",
        "scale",
        "upgrade",
        "watch",
    }
)


# The last one: folders mark their tests before.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of lanes that are not asked for."""
    not_asked_for = {lane for lane in LANES if lane not in config.getoption("markexpr")}
    on_given_server = is_given(config.getoption("--postgres"))
    on_both = config.getoption("--postgres") == "all"
    again = set(tests_again(items)) if on_both else set()
    left_out = [
        item
        for item in items
        if not_asked_for.intersection(mark.name for mark in item.iter_markers())
        or (on_given_server and "postgres" not in getattr(item, "fixturenames", ()))
        or item in again
    ]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    if on_given_server and items:
        given = server_url(config.getoption("--postgres"))
        distributed = bool(asyncio.run(cluster_at(given)).others)
        for item in items:
            reason = reason_to_skip(
                item.path.as_posix().partition("/tests/integration/")[2],
                getattr(item, "originalname", item.name),
                distributed=distributed,
            )
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"not on a server that was given: {reason}"))


def tests_again(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Give the cases of tests that the second PostgreSQL need not see, as it has had the test's first one.

    What differs between the cases of a test is what is stored or asked, and not the statements that do it.
    Where that is not so, a test is marked `every_postgres`. With --postgres=system none is left out.
    """
    seen = set[tuple[Path, str]]()
    for item in items:
        case = getattr(item, "callspec", None)
        if case is None or case.params.get("postgres") != "system":
            continue
        test = item.path, getattr(item, "originalname", item.name)
        if test in seen and not item.get_closest_marker("every_postgres"):
            yield item
        seen.add(test)


# The kinds of tests that stay within their process.
ISOLATED = tuple(Path(__file__).with_name(kind) for kind in ("unit", "property"))


def isolation_of(item: pytest.Item) -> AbstractContextManager[None]:
    return isolated() if any(map(item.path.is_relative_to, ISOLATED)) else nullcontext()


# Not at the end of a test: after the last one the servers of other tests may be stopped.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    with isolation_of(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with isolation_of(item):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say how many processes test, by `--numprocesses`.

    "logical", of tests that compute: as many as there are cores. "auto", of all: tests wait for other
    processes and for the database half of their time.
    """
    cores = os.cpu_count() or 1
    return cores if config.option.numprocesses == "logical" else 2 * cores


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        metavar="embedded|system|all|URL",
        type=_postgres,
        default="all",
        help="test on the PostgreSQL from the Python wheel, on the machine's own (15 or newer), on both, or "
        "what needs a database on a server at a URL, as a superuser",
    )


def _postgres(written: str) -> str:
    if written in {"embedded", "system", "all"} or is_given(written):
        return written
    raise argparse.ArgumentTypeError("it is embedded, system, all, or the URL of a server: postgresql://…")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "postgres" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--postgres")
        # Its URL may hold a password, and would stand in the names of tests.
        servers = ("embedded", "system") if chosen == "all" else ("given" if is_given(chosen) else chosen,)
        if metafunc.definition.get_closest_marker("one_postgres"):
            servers = servers[:1]
        metafunc.parametrize("postgres", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    given = request.param == "given"
    url_given = server_url(request.config.getoption("--postgres"))
    start: dict[str, Callable[[], AbstractContextManager[str]]] = {
        "embedded": embedded_server,
        "system": system_server,
        "given": lambda: nullcontext(url_given),
    }
    try:
        with start[request.param]() as url, ThreadPoolExecutor(max_workers=1) as thread:
            # In a thread of its own, because the event loops of this one belong to the tests.
            server = thread.submit(asyncio.run, cluster_at(url)).result() if given else PostgresServer(url)
            thread.submit(asyncio.run, prepare(server, is_own=not given)).result()
            yield server
            if given:
                thread.submit(asyncio.run, server.execute_everywhere(DROP_TEMPLATE)).result()
    except NoSystemPostgres:
        pytest.skip("this machine has no PostgreSQL of its own of version 15 or newer")


@pytest.fixture
async def empty_database_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """A database without a schema."""
    async with database(postgres, "template0") as url:
        yield url


@pytest.fixture
async def database_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """A migrated database without rows."""
    async with database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with open_pool(database_url) as opened:
        yield opened


@pytest.fixture(name="make_event")
def make_event_fixture() -> Callable[..., MeteringEvent]:
    """Make valid events; see `tests.harness.ledger.make_event`."""
    return make_event


@pytest.fixture
async def ledger(pool: Pool) -> Ledger:
    """A database with the usual prices."""
    made = Ledger(pool)
    await made.load()
    return made


@pytest.fixture
async def rater(pool: Pool) -> AsyncIterator[Rater]:
    """A service on a database without prices, answering on a real port."""
    stopping = asyncio.Event()
    async with (
        running_server(pool, "127.0.0.1:0", stopping) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Rater(port, channel, MeteringServiceStub(channel), RatingServiceStub(channel), pool, stopping)
