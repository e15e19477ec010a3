"""Real parts for the end-to-end tests: a scripted engine, a recording rater, mitmdump with the addon."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.engine import Engine, document
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

IDENTITY = {"X-Saturn-Auth-Id": "auth-1", "X-Saturn-Resource-Id": "resource-1"}


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """The engine, with nothing in its memory."""
    shared_engine.script = document({})
    shared_engine.requests.clear()
    return shared_engine


@pytest.fixture(scope="session")
def rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def proxy(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """One proxy for all tests that need no special options."""
    started = Proxy(
        tmp_path_factory.mktemp("proxy"),
        *("--mode", f"reverse:{shared_engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_body_limit": "100k"},
        from_nothing=True,
    )
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    """A client that comes from a trusted edge, with an identity."""
    with httpx.Client(base_url=proxy.url, headers=IDENTITY, timeout=20) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
