"""A real engine behind a real mitmdump with the addon: `make test-engine` installs it and runs the tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rig.programs import PROJECT
from tests.engine.metered_client import MeteredClient, metered_client
from tests.engine.spoken_api import MODEL
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.python_child import child

PYTHON = PROJECT / ".venv-engine" / "bin" / "python"
START_TIMEOUT_S = 60.0
# How much the operator has said of the engine: its URL only, its kind, its kind and its model.
RESOURCES = """
undeclared: "{url}"
declared: {{ url: "{url}", engine: llama.cpp }}
one-model: {{ url: "{url}", engine: llama.cpp, models: ["{model}"] }}
reranker: {{ url: "{reranker_url}", engine: llama.cpp }}
"""


@contextmanager
def llama_server(folder: Path, pooling: str) -> Iterator[str]:
    """Run llama.cpp's server as a process of its own as long as the context lasts; gives its URL."""
    assert PYTHON.exists(), "the engine is not installed: make test-engine"
    log = folder / "llama.log"
    with child([PYTHON, "-m", "tests.engine.llama_server", folder, MODEL, pooling], errors=log) as server:
        watchdog = threading.Timer(START_TIMEOUT_S, server.process.kill)
        watchdog.start()
        url = server.hear()
        watchdog.cancel()
        assert url, f"the engine did not start: {log.read_text()}"
        yield url
        assert server.end() == 0, log.read_text()


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_server(tmp_path_factory.mktemp("engine"), "mean") as url:
        yield url


@pytest.fixture(scope="session")
def reranker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with llama_server(tmp_path_factory.mktemp("reranker"), "rank") as url:
        yield url


@pytest.fixture(scope="session")
def engine(engine_url: str) -> Iterator[httpx.Client]:
    """A client that talks to the engine itself, past the proxy."""
    with httpx.Client(base_url=engine_url, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="session")
def rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="session")
def proxy(
    engine_url: str, reranker_url: str, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    upstreams = folder / "upstreams.yaml"
    upstreams.write_text(RESOURCES.format(url=engine_url, reranker_url=reranker_url, model=MODEL))
    started = Proxy(
        folder, options={"phoebe_upstream": str(upstreams), "phoebe_rater": f"127.0.0.1:{rater.port}"}
    )
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()


@pytest.fixture(params=["undeclared", "declared", "one-model"])
def client(request: pytest.FixtureRequest, proxy: Proxy, rater: EventRecorder) -> Iterator[MeteredClient]:
    with metered_client(proxy, rater, request.param) as opened:
        yield opened


@pytest.fixture
def declared(proxy: Proxy, rater: EventRecorder) -> Iterator[MeteredClient]:
    """A client of the resource whose engine is declared to be llama.cpp."""
    with metered_client(proxy, rater, "declared") as opened:
        yield opened


@pytest.fixture
def reranker(proxy: Proxy, rater: EventRecorder) -> Iterator[MeteredClient]:
    """A client of the resource that reranks."""
    with metered_client(proxy, rater, "reranker") as opened:
        yield opened
