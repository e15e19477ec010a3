"""What is measured of followed files: whether each is in use as it is, and what became of its changes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Changes(Protocol):
    """What is known of a followed file."""

    fault: str
    """Why what the file says now is not in use; empty when it is."""
    taken: int
    """How often a change came into use."""
    refused: int
    """How often one did not."""
    taken_at: float
    """When what is in use was read, in seconds since 1970; 0: never."""


class FileMetrics(Collector):
    """Tells how followed files stand, when the metrics are read."""

    def __init__(self) -> None:
        self._files: dict[str, Callable[[], Changes]] = {}

    def follow(self, name: str, changes: Callable[[], Changes]) -> None:
        """Measure a file as well. name: the label. changes: asked for how it stands."""
        self._files[name] = changes

    def describe(self) -> Sequence[Metric]:
        """List the families, without samples."""
        return self._families()

    def collect(self) -> Iterator[Metric]:
        """Make the families."""
        refused, reloads, taken_at = families = self._families()
        for name, changes in self._files.items():
            found = changes()
            refused.add_metric([name], bool(found.fault))
            reloads.add_metric([name, "taken"], found.taken)
            reloads.add_metric([name, "refused"], found.refused)
            taken_at.add_metric([name], found.taken_at)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "phoebe_file_refused",
                "Whether a file can't be used as it is now, so that what it said before holds.",
                labels=["file"],
            ),
            CounterMetricFamily(
                "phoebe_file_reloads",
                "Changes of a file that came into use, or were refused.",
                labels=["file", "result"],
            ),
            GaugeMetricFamily(
                "phoebe_file_read_timestamp_seconds",
                "When what is in use of a file was read; 0: nothing was.",
                labels=["file"],
            ),
        )
