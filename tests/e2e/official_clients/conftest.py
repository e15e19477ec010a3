"""One proxy for all official clients, with a resource for every engine, and both ways to the engine."""

from collections.abc import Iterator

import pytest
import yaml

from tests.harness.both_ways import BothWays
from tests.harness.engine import Engine
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

ENGINES = ("vllm", "openai", "sglang", "llama.cpp", "tgi", "ollama", "tensorrt-llm", "dynamo")


def resource_map(url: str) -> dict[str, object]:
    """Make a map with a resource named after each engine, and some that are more particular."""
    return {
        **{name: {"url": url, "engine": name} for name in ENGINES},
        "continuous": {"url": url, "engine": "vllm", "usage": "continuous"},
        "particular": {"url": url, "models": ["only/this"]},
        "undeclared": {"url": url},
    }


@pytest.fixture(scope="package")
def mapped_proxy(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("official-clients")
    upstreams = folder / "upstreams.yaml"
    upstreams.write_text(yaml.safe_dump(resource_map(shared_engine.url)))
    started = Proxy(
        folder,
        options={
            "phoebe_upstream": str(upstreams),
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_body_limit": "100k",
        },
        from_nothing=True,
    )
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()


@pytest.fixture
def ways(mapped_proxy: Proxy, engine: Engine, rater: EventRecorder) -> BothWays:
    return BothWays(engine, mapped_proxy, rater)
