"""Metrics of running programs, in the format of Prometheus."""

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

type Metrics = Counter[tuple[str, str]]
"""Values by the name of the metric and those of its labels, joined."""


def parse_metrics(text: str) -> Metrics:
    """Reads what an endpoint of metrics answers."""
    metrics: Metrics = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            metrics[sample.name, "".join(sample.labels.values())] += int(sample.value)
    return metrics


def total(metrics: Metrics, name: str) -> int:
    """Adds up a metric over its labels."""
    return sum(value for (each, _), value in metrics.items() if each == name)
