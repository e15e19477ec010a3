"""What several workers have counted, as one.

Each worker counts for itself, in its own memory: so a request costs what it costs in one process, and nothing
is shared that a killed worker could leave damaged. (prometheus_client's mode for several processes writes
every count to a mapped file, and has no gauges that are asked when they are read.)

Counters and histograms are added up, and what ended workers had counted stays in the sum: a counter that went
down would be taken for one that began anew. A gauge is treated as `GAUGES` says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

type Sample = tuple[str, dict[str, str], float]
"""Name, labels, value."""
type Snapshot = list[tuple[str, str, str, list[Sample]]]
"""Families, each: name, type, help, samples. As JSON has it, too."""
type Merge = Callable[[float, float], float]


def _earlier(one: float, other: float) -> float:
    """Give the earlier of two times, of which 0 is none."""
    return min(one, other) or max(one, other)


GAUGES: dict[str, Merge] = {
    "phoebe_exchanges_under_way": float.__add__,
    "phoebe_spool_bytes": float.__add__,
    "phoebe_spool_events": float.__add__,
    "phoebe_spool_events_lost": float.__add__,
    "phoebe_spool_files_damaged": float.__add__,
    "phoebe_spools_misdirected": float.__add__,
    "phoebe_spool_limit_bytes": float.__add__,
    "phoebe_spool_oldest_event_timestamp_seconds": _earlier,
    "phoebe_spool_free_disk_bytes": min,  # of one disk
    "phoebe_spool_writable": min,
    "phoebe_rater_up": min,
    "phoebe_rater_last_success_timestamp_seconds": max,
    "phoebe_certificate_not_after_timestamp_seconds": min,
    "phoebe_build_info": max,
    "phoebe_task_up": min,  # down in one is down
    "phoebe_file_refused": max,  # refused in one is refused
    "phoebe_file_read_timestamp_seconds": min,  # so that one that reads nothing is seen
}
"""How two workers' values of a gauge make one. Any other gauge is shown for each, with the label `worker`."""

_ADDED = {"counter", "histogram", "summary"}
_CREATED = "_created"


def snapshot_of(registry: CollectorRegistry) -> Snapshot:
    """Return what a registry holds now."""
    return [
        (
            family.name,
            family.type,
            family.documentation,
            [(sample.name, dict(sample.labels), float(sample.value)) for sample in family.samples],
        )
        for family in registry.collect()
    ]


def counts_of(snapshot: Snapshot) -> Snapshot:
    """Return what stays of the snapshot of a worker that has ended: all but its gauges."""
    return [family for family in snapshot if family[1] in _ADDED]


def merged(snapshots: Iterable[tuple[str, Snapshot]]) -> Snapshot:
    """Merge snapshots, each with the name of its worker, into one."""
    families: dict[str, tuple[str, str, str, dict[tuple[str, ...], Sample]]] = {}
    for worker, snapshot in snapshots:
        for name, kind, text, samples in snapshot:
            _, _, _, found = families.setdefault(name, (name, kind, text, {}))
            merge = float.__add__ if kind in _ADDED else GAUGES.get(name)
            for sample, labels, value in samples:
                own = labels if merge else {**labels, "worker": worker}
                key = (sample, *sorted(f"{label}={each}" for label, each in own.items()))
                before = found[key][2] if key in found else None
                found[key] = (sample, own, _one_value(sample, merge, before, value))
    return [(name, kind, text, list(found.values())) for name, kind, text, found in families.values()]


class Merged(Collector):
    """Collects what a snapshot holds, for a registry of prometheus_client."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Sequence[Metric]:
        """Say nothing of what there will be: that makes the registry not ask."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Make the families of the snapshot."""
        for name, kind, text, samples in self._snapshot():
            family = Metric(name, text, kind)
            for sample, labels, value in samples:
                family.add_sample(sample, labels, value)
            yield family


def _one_value(sample: str, merge: Merge | None, before: float | None, value: float) -> float:
    if before is None or merge is None:
        return value
    # When counting began is a time, and no count.
    return min(before, value) if sample.endswith(_CREATED) else merge(before, value)
