"""A client of one resource, through the proxy, that also gets the event of each exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from tests.engine.spoken_api import Counts
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy


class MeteredClient:
    def __init__(self, http: httpx.Client, rater: EventRecorder) -> None:
        self.http = http
        self._rater = rater

    def post(self, path: str, body: object) -> tuple[httpx.Response, MeteringEvent]:
        response = self.http.post(path, json=body)
        return response, self.event_of(response)

    def event_of(self, response: httpx.Response) -> MeteringEvent:
        request_id = response.headers["x-request-id"]
        return self._rater.wait_for(lambda event: event.request_id == request_id)

    def metered(self) -> int:
        """Return how many events there are so far, whoever's."""
        return len(self._rater.events)


@contextmanager
def metered_client(proxy: Proxy, rater: EventRecorder, resource: str) -> Iterator[MeteredClient]:
    headers = {"X-Saturn-Auth-Id": "auth-1", "X-Saturn-Resource-Id": resource}
    with httpx.Client(base_url=proxy.url, headers=headers, timeout=20) as http:
        yield MeteredClient(http, rater)


def counts_of(event: MeteringEvent) -> Counts:
    return Counts(
        event.prompt_tokens,
        event.cached_tokens if event.HasField("cached_tokens") else None,
        event.completion_tokens,
    )


def new_prompt() -> str:
    """Make a prompt of 40 tokens, of which the engine has at most the start in its cache."""
    return f"story {uuid4()} "[:40]
