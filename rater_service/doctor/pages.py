"""Reads what the metrics ports of the rater and of proxies say: probes and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.errors import OperatorError

_FAILED = "FAILED: "
_NOT_COUNTED = "does not count: "


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric, with its labels."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Samples:
    """All values that a page of metrics has."""

    all: Sequence[Sample]

    def of(self, name: str) -> list[Sample]:
        """Give those of one metric."""
        return [sample for sample in self.all if sample.name == name]

    def value(self, name: str) -> float | None:
        """Give the value of a metric that has one; None: the page has no such metric."""
        return next((sample.value for sample in self.of(name)), None)


async def read_samples(access: Access, url: str) -> Samples:
    """Read the metrics at a metrics port. Raises httpx.HTTPError; OperatorError: they are not Phoebe's."""
    answer = await access.get(f"{url}/metrics")
    samples = parse_samples(answer.text)
    if answer.status != 200 or samples is None:
        raise OperatorError(
            f"{url}/metrics (status {answer.status}) has no metrics of Phoebe's: name its metrics port"
        )
    return samples


def parse_samples(text: str) -> Samples | None:
    """Read a page of metrics; None: it has none of Phoebe's."""
    try:
        found = [
            Sample(sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except ValueError:
        return None
    return Samples(found) if any(sample.name.startswith("phoebe_") for sample in found) else None


async def probe(access: Access, url: str) -> list[Finding]:
    """Ask whether a program is ready, and say in its words what is amiss. Raises as `read_samples`."""
    answer = await access.get(f"{url}/readyz")
    found = parse_probe(answer.text)
    if answer.status not in {200, 503} or found is None:
        raise OperatorError(
            f"{url}/readyz (status {answer.status}) is no probe of Phoebe's: name its metrics port"
        )
    return found


def parse_probe(text: str) -> list[Finding] | None:
    """Read what a probe answered; None: it is no answer of Phoebe's."""
    lines = text.splitlines()
    if not lines or lines[0] not in {"ready", "not ready"}:
        return None
    advice = "docs/watching.md says what each line means, docs/runbooks.md what to do"
    found = [failed(line.removeprefix(_FAILED), advice) for line in lines if line.startswith(_FAILED)]
    found += [
        warning(line.removeprefix(_NOT_COUNTED), advice) for line in lines if line.startswith(_NOT_COUNTED)
    ]
    return found or [ok("it is ready")]
