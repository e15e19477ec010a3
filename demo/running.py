"""Parts that run already, as in compose.yaml: the demo then only sends its traffic and has it rated."""

from collections.abc import Mapping
from dataclasses import dataclass

from demo.errors import DemoError
from demo.parts import Proxy

_NAMES = ("DEMO_EDGE", "DEMO_RATER", "DEMO_METRICS")


@dataclass(frozen=True, slots=True)
class RunningParts:
    """The edge, with the metrics of the proxy behind it, and the rater's host:port."""

    proxy: Proxy
    rater: str


def read_running(environment: Mapping[str, str]) -> RunningParts | None:
    """Reads which parts run already; None: none. Raises DemoError if only some are named."""
    edge, rater, metrics = (environment.get(name, "") for name in _NAMES)
    if not (edge or rater or metrics):
        return None
    if not (edge and rater and metrics):
        raise DemoError(f"{', '.join(_NAMES)} must be given together")
    return RunningParts(Proxy(edge.rstrip("/"), metrics, is_edge=True), rater)
