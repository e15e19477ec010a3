"""What is counted of exchanges that ended: how long they took, tokens, and what is amiss with their usage.

The children of each API are made once, because to look one up by its labels costs more than to count.
"""

from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry, Counter, Histogram

from phoebe_addon.exchange.event import Outcome, is_unbilled_output, is_without_usage
from phoebe_proto.v1.metering_pb2 import MeteringEvent

RESOURCES_MAX = 200
"""Resources with a label of their own; usage that is missing of others is counted as that of `other`."""
OTHER = "other"
_API_MAX = 200
_EXPECTED_MAX = 1000
# As OpenTelemetry's conventions for generative AI have them, and longer ones: streams last for minutes.
DURATION_BUCKETS_S = tuple(0.01 * 2**power for power in range(17))
FIRST_BYTE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
KINDS = {
    "input": "prompt_tokens",
    "output": "completion_tokens",
    "cache_read": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}
"""Kinds of tokens, and the fields of an event that hold them. The last three are parts of the first two."""


class ExchangeMetrics:
    """Counts exchanges, by API, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "phoebe_exchange_duration_seconds",
            "From the first byte of a request to the end of its exchange.",
            ["api", "outcome"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._first_byte = Histogram(
            "phoebe_time_to_first_byte_seconds",
            "From the first byte of a request to the first of its answer's body.",
            ["api", "streamed"],
            buckets=FIRST_BYTE_BUCKETS_S,
            registry=registry,
        )
        self._tokens = Counter(
            "phoebe_tokens",
            "Tokens as engines reported them. cache_read and cache_write are parts of input, reasoning "
            "of output.",
            ["api", "kind"],
            registry=registry,
        )
        self._missing = Counter(
            "phoebe_usage_missing",
            "Answers that were completed without usage: they can't be billed.",
            ["api", "resource"],
            registry=registry,
        )
        self._with_output = Counter(
            "phoebe_exchanges_aborted_with_output",
            "Exchanges that did not complete and have no usage, although a part of the answer was passed on.",
            ["api"],
            registry=registry,
        )
        self._untrusted = Counter(
            "phoebe_model_untrusted",
            "Answers whose model's name may be the client's own word: they are not billed.",
            ["api"],
            registry=registry,
        )
        self._apis: dict[str, _Api] = {}
        self._resources: set[str] = set()
        self._expected: set[tuple[str, str]] = set()

    def expect(self, api: str, resource_id: str) -> None:
        """Show the count of missing usage before there is any, so that the first increase is seen."""
        if (api, resource_id) not in self._expected and len(self._expected) < _EXPECTED_MAX:
            self._expected.add((api, resource_id))
            self._missing.labels(api, self._label(resource_id))

    def count(self, event: MeteringEvent) -> None:
        """Count an exchange that ended. event: its own."""
        api = self._apis.get(event.api)
        if api is None:
            if len(self._apis) >= _API_MAX:
                return
            api = self._apis[event.api] = self._children(event.api)
        start_s = _seconds(event.start_time)
        api.durations[event.outcome].observe(_seconds(event.event_time) - start_s)
        if event.HasField("first_byte_time"):
            api.first_bytes[event.streamed].observe(_seconds(event.first_byte_time) - start_s)
        if event.usage_found:
            for field, tokens in api.tokens:
                if count := getattr(event, field):
                    tokens.inc(count)
        elif is_without_usage(event):
            self._missing.labels(event.api, self._label(event.resource_id)).inc()
        elif is_unbilled_output(event):
            api.with_output.inc()
        if event.model_untrusted:
            api.untrusted.inc()

    def _children(self, api: str) -> "_Api":
        return _Api(
            durations={str(outcome): self._duration.labels(api, str(outcome)) for outcome in Outcome},
            first_bytes={flag: self._first_byte.labels(api, str(flag).lower()) for flag in (False, True)},
            tokens=[(field, self._tokens.labels(api, kind)) for kind, field in KINDS.items()],
            with_output=self._with_output.labels(api),
            untrusted=self._untrusted.labels(api),
        )

    def _label(self, resource_id: str) -> str:
        if resource_id not in self._resources and len(self._resources) < RESOURCES_MAX:
            self._resources.add(resource_id)
        return resource_id if resource_id in self._resources else OTHER


class _Api:
    """The children of one API."""

    __slots__ = ("durations", "first_bytes", "tokens", "untrusted", "with_output")

    def __init__(
        self,
        durations: dict[str, Histogram],
        first_bytes: dict[bool, Histogram],
        tokens: list[tuple[str, Counter]],
        with_output: Counter,
        untrusted: Counter,
    ) -> None:
        self.durations = durations
        self.first_bytes = first_bytes
        self.tokens = tokens
        self.with_output = with_output
        self.untrusted = untrusted


def _seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
