"""The metrics of several workers, as one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from phoebe_addon.metrics import Metrics
from phoebe_addon.workers.merged_metrics import GAUGES, Merged, Snapshot, counts_of, merged, snapshot_of
from phoebe_runtime.followed_files import FileChanges


def value(snapshot: Snapshot, sample: str, **labels: str) -> float | None:
    """Read one sample of a snapshot; None: there is none."""
    found = [
        value
        for _, _, _, samples in snapshot
        for name, own, value in samples
        if (name, own) == (sample, labels)
    ]
    assert len(found) <= 1
    return found[0] if found else None


def metrics() -> Metrics:
    def nothing() -> float:
        return 0

    return Metrics(nothing, nothing, nothing, nothing, nothing)


def test_counters_are_added_up_by_their_labels() -> None:
    one, two = metrics(), metrics()
    one.admitted.labels("openai.chat").inc(3)
    two.admitted.labels("openai.chat").inc(4)
    two.admitted.labels("cohere.chat").inc(5)

    both = merged([("1", snapshot_of(one.registry)), ("2", snapshot_of(two.registry))])

    assert value(both, "phoebe_exchanges_admitted_total", api="openai.chat") == 7
    assert value(both, "phoebe_exchanges_admitted_total", api="cohere.chat") == 5


def test_histograms_are_added_up_bucket_by_bucket() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    for registry, seen in zip(registries, (0.5, 1.5), strict=True):
        Histogram("took_seconds", "How long.", buckets=(1, 2), registry=registry).observe(seen)

    both = merged((str(number), snapshot_of(each)) for number, each in enumerate(registries))

    assert value(both, "took_seconds_bucket", le="1.0") == 1
    assert value(both, "took_seconds_bucket", le="2.0") == 2
    assert value(both, "took_seconds_count") == 2
    assert value(both, "took_seconds_sum") == 2


def test_when_counting_began_is_the_earliest_time() -> None:
    one: Snapshot = [("a", "counter", "", [("a_total", {}, 1.0), ("a_created", {}, 200.0)])]
    two: Snapshot = [("a", "counter", "", [("a_total", {}, 1.0), ("a_created", {}, 100.0)])]

    assert value(merged([("1", one), ("2", two)]), "a_created") == 100


def test_a_task_that_is_down_in_one_worker_is_down() -> None:
    one, two = metrics(), metrics()
    one.note_task("delivery", up=True)
    two.note_task("delivery", up=False)

    both = merged([("1", snapshot_of(one.registry)), ("2", snapshot_of(two.registry))])

    assert value(both, "phoebe_task_up", task="delivery") == 0


def test_a_file_that_is_refused_in_one_worker_is_refused() -> None:
    one, two = metrics(), metrics()
    refused, in_use = FileChanges("routes", []), FileChanges("routes", [])
    refused.refuse("it is gone")
    one.follow_file("routes", lambda: in_use)
    two.follow_file("routes", lambda: refused)

    both = merged([("1", snapshot_of(one.registry)), ("2", snapshot_of(two.registry))])

    assert value(both, "phoebe_file_refused", file="routes") == 1


def test_a_gauge_without_a_rule_is_shown_for_each_worker() -> None:
    registry = CollectorRegistry()
    Gauge("last_seconds", "When.", registry=registry).set(5)

    both = merged([("1", snapshot_of(registry)), ("2", snapshot_of(registry))])

    assert value(both, "last_seconds", worker="1") == value(both, "last_seconds", worker="2") == 5


def test_every_gauge_of_the_addon_has_a_rule() -> None:
    made = metrics()
    made.follow_misdirected(lambda: 0)

    gauges = {name for name, kind, _, _ in snapshot_of(made.registry) if kind == "gauge"}

    # Those of a process are shown for each worker.
    assert not {name for name in gauges if not name.startswith("process_")} - GAUGES.keys()


def test_of_a_worker_that_has_ended_the_counts_stay_and_the_gauges_do_not() -> None:
    made = metrics()
    made.free.inc(2)

    left = counts_of(snapshot_of(made.registry))

    assert value(left, "phoebe_exchanges_free_total") == 2
    assert value(left, "phoebe_spool_events") is None


def test_what_is_merged_is_written_out_as_one_registry_would_be() -> None:
    registry = CollectorRegistry()
    Counter("a", "Some.", ["b"], registry=registry).labels("c").inc(3)
    merging = CollectorRegistry()
    merging.register(Merged(lambda: merged([("1", snapshot_of(registry))])))

    assert generate_latest(merging) == generate_latest(registry)
