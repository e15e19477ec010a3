"""Parts that run already: how the demo is told of them, and how its clients then show who they are."""

import httpx
import pytest

from demo import traffic
from demo.errors import DemoError
from demo.parts import Proxy
from demo.running import RunningParts, read_running
from demo.traffic import Request

ALL = {"DEMO_EDGE": "http://edge:8080/", "DEMO_RATER": "rater:50051", "DEMO_METRICS": "addon:9090"}


def test_parts_that_run_already_are_named_together_or_not_at_all() -> None:
    assert read_running({}) is None
    proxy = Proxy("http://edge:8080", "addon:9090", is_edge=True)
    assert read_running(ALL) == RunningParts(proxy, "rater:50051")


@pytest.mark.parametrize("missing", ALL)
def test_one_that_is_not_named_is_an_error(missing: str) -> None:
    with pytest.raises(DemoError, match="must be given together"):
        read_running({name: value for name, value in ALL.items() if name != missing})


@pytest.mark.parametrize("resource_id", ["llama-blue", None])
async def test_a_customer_of_an_edge_shows_a_key_and_no_identity(resource_id: str | None) -> None:
    identity = traffic._identity(Request("plain", "acme", resource_id, "m", base_model="b"))
    request = httpx.Request("POST", "http://edge/v1", headers=identity)

    await traffic._as_customer(request)

    assert request.headers["Authorization"] == "Bearer demo-acme"
    assert request.headers["X-Deployment"] == (resource_id or "")
    assert not any(name.startswith("x-saturn") for name in request.headers)
