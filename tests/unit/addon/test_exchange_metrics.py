"""What is counted of exchanges that ended."""

from prometheus_client import CollectorRegistry

from phoebe_addon.exchange_metrics import OTHER, RESOURCES_MAX, ExchangeMetrics
from phoebe_proto.v1.metering_pb2 import MeteringEvent


def event(**given: object) -> MeteringEvent:
    made = MeteringEvent(
        api="openai.chat",
        resource_id="resource-1",
        auth_id="a-customer",
        outcome="completed",
        status_code=200,
    )
    made.start_time.FromMilliseconds(1_000_000)
    made.event_time.FromMilliseconds(1_002_000)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def counted(*events: MeteringEvent) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = ExchangeMetrics(registry)
    for each in events:
        metrics.count(each)
    return registry


def test_how_long_it_took_and_until_its_first_byte() -> None:
    streamed = event(streamed=True, usage_found=True)
    streamed.first_byte_time.FromMilliseconds(1_000_200)
    registry = counted(streamed)

    labels = {"api": "openai.chat", "outcome": "completed"}
    assert registry.get_sample_value("phoebe_exchange_duration_seconds_sum", labels) == 2
    labels = {"api": "openai.chat", "streamed": "true"}
    assert registry.get_sample_value("phoebe_time_to_first_byte_seconds_count", labels) == 1
    assert registry.get_sample_value("phoebe_time_to_first_byte_seconds_bucket", labels | {"le": "0.1"}) == 0
    assert registry.get_sample_value("phoebe_time_to_first_byte_seconds_bucket", labels | {"le": "0.25"}) == 1


def test_tokens_are_counted_by_kind_from_the_start() -> None:
    registry = counted(event(usage_found=True, prompt_tokens=10, cached_tokens=4, completion_tokens=3))

    kinds = ("input", "output", "cache_read", "cache_write", "reasoning")
    found = [
        registry.get_sample_value("phoebe_tokens_total", {"api": "openai.chat", "kind": kind})
        for kind in kinds
    ]
    assert found == [10, 3, 4, 0, 0]


def test_a_whole_answer_without_usage_is_counted_by_resource_and_one_broken_off_is_another_matter() -> None:
    registry = counted(event(), event(outcome="aborted", answer_bytes=5), event(outcome="upstream_error"))

    labels = {"api": "openai.chat", "resource": "resource-1"}
    assert registry.get_sample_value("phoebe_usage_missing_total", labels) == 1
    name = "phoebe_exchanges_aborted_with_output_total"
    assert registry.get_sample_value(name, {"api": "openai.chat"}) == 1


def test_labels_are_bounded_and_name_no_customer() -> None:
    registry = counted(*(event(resource_id=f"r{number}") for number in range(2 * RESOURCES_MAX)))

    labels = [
        sample.labels
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "phoebe_usage_missing_total"
    ]
    assert len(labels) == RESOURCES_MAX + 1
    other = {"api": "openai.chat", "resource": OTHER}
    assert registry.get_sample_value("phoebe_usage_missing_total", other) == RESOURCES_MAX
    assert "a-customer" not in str(list(registry.collect()))


def test_missing_usage_of_what_was_admitted_is_there_before_the_first() -> None:
    registry = CollectorRegistry()
    metrics = ExchangeMetrics(registry)

    metrics.expect("openai.chat", "resource-1")

    labels = {"api": "openai.chat", "resource": "resource-1"}
    assert registry.get_sample_value("phoebe_usage_missing_total", labels) == 0
