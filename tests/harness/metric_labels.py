"""The metrics there are, with their labels: as both halves make them, before anything has happened."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry

from phoebe_addon.metrics import Metrics as AddonMetrics
from phoebe_addon.workers.merged_metrics import GAUGES
from phoebe_addon.workers.program import OWN_METRICS
from rater_service.service.metrics import Metrics as RaterMetrics

# What Prometheus itself knows of everything it reads.
SCRAPED = frozenset({"job", "instance", "pod", "namespace"})
# Labels of samples that are no labels of their family.
_OF_SAMPLES = {"histogram": {"le"}}
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
    "info": ("_info",),
}


def addon_registry() -> CollectorRegistry:
    """Make the registry of a proxy, without the gauges that its meter adds."""
    return AddonMetrics(*[lambda: 0.0] * 5).registry


def rater_registry() -> CollectorRegistry:
    """Make the registry of a rater."""
    return RaterMetrics().registry


def families_of(registry: CollectorRegistry) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Give name, type and labels of all families that are ours."""
    for collector in list(registry._collector_to_names):
        for family in collector.describe() if hasattr(collector, "describe") else ():
            if family.name.startswith("phoebe_"):
                labels = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
                yield family.name, family.type, frozenset(labels or ())


def addon_families() -> dict[str, tuple[str, frozenset[str]]]:
    """Give the type and labels of each family of a proxy."""
    found = {name: (kind, labels) for name, kind, labels in families_of(addon_registry())}
    later = {name: ("gauge", frozenset[str]()) for name in GAUGES if name not in found}
    later["phoebe_build_info"] = ("gauge", frozenset({"version", "python", "component"}))
    own = {name: (kind, frozenset[str]()) for name, kind, _ in OWN_METRICS}
    return found | later | own


def rater_families() -> dict[str, tuple[str, frozenset[str]]]:
    """Give the type and labels of each family of a rater."""
    return {name: (kind, labels) for name, kind, labels in families_of(rater_registry())}


def series_of(families: Mapping[str, tuple[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """Give the labels of all series, by their names: those with `_total` and `_bucket` behind, too."""
    return {
        name + suffix: labels | (_OF_SAMPLES.get(kind, set()) if suffix == "_bucket" else set()) | SCRAPED
        for name, (kind, labels) in families.items()
        for suffix in _SUFFIXES[kind]
    }
