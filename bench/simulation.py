"""What grows with the rate of a day, and where: arithmetic on measured bytes and microseconds."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

HOURS_OF_DAY = 24
SECONDS_OF_HOUR = 3600
DAYS_OF_YEAR = 365
FULL = 0.7
"""As much of a core is planned for; the rest is for what comes all at once."""
COSTS = Path(__file__).with_name("simulation.json")


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, and of how many events. wal: write-ahead log, with all that vacuum can add;
    key_hour: sums, bills and ledger of one customer, resource and model in an hour. All bytes are those on
    disk, with indexes; all microseconds are of CPU. proxy_us: of a plain request.
    """

    events: int
    event_bytes: float
    wal_bytes: float
    key_hour_bytes: float
    proxy_us: float
    rater_us: float
    server_us: float


@dataclass(frozen=True, slots=True)
class Day:
    """A day. events_per_s: on average; peak: how many times as many there are in the busiest second; keys:
    customers with their resources and models that are used in an hour; days_kept: how long events are kept.
    """

    events_per_s: float
    peak: float
    keys: int
    days_kept: int

    def times(self, factor: float) -> "Day":
        """Give a day with so many times the events, and as many times the keys."""
        return Day(self.events_per_s * factor, self.peak, round(self.keys * factor), self.days_kept)


class Figure(NamedTuple):
    """Something that grows. part: what has to carry it; taken_by: what there is when one is not enough."""

    part: str
    what: str
    value: float
    unit: str
    taken_by: str


MORE_PROXIES = "`phoebe proxy` with more workers, more machines"
MORE_RATERS = "more raters on the same database"
LARGER_POSTGRES = "more cores and NVMe for PostgreSQL"
STANDBY = "a standby for what is only read"
PRUNE = "`phoebe prune`, and its archive elsewhere"
FOR_EVER = "a larger disk: bills are kept for ever"


def simulate(costs: Costs, day: Day) -> list[Figure]:
    """Say what a day makes of each part."""
    peak = day.events_per_s * day.peak
    events = day.events_per_s * SECONDS_OF_HOUR * HOURS_OF_DAY
    # An hour with fewer events than keys uses as many keys as it has events.
    key_hours = min(day.keys, day.events_per_s * SECONDS_OF_HOUR) * HOURS_OF_DAY
    kept = events * costs.event_bytes * day.days_kept
    for_ever = key_hours * costs.key_hour_bytes * DAYS_OF_YEAR
    return [
        Figure("all", "events a day", events, "", ""),
        Figure("all", "events a second at the peak", peak, "", ""),
        Figure("proxies", "cores at the peak", _cores(peak, costs.proxy_us), "cores", MORE_PROXIES),
        Figure("raters", "cores at the peak", _cores(peak, costs.rater_us), "cores", MORE_RATERS),
        Figure("PostgreSQL", "cores at the peak", _cores(peak, costs.server_us), "cores", LARGER_POSTGRES),
        Figure("PostgreSQL", "log at the peak", peak * costs.wal_bytes, "B/s", LARGER_POSTGRES),
        Figure("PostgreSQL", "log a day", events * costs.wal_bytes, "B", STANDBY),
        Figure("disk", f"events of {day.days_kept} days", kept, "B", PRUNE),
        Figure("disk", "sums, bills and ledger of a year", for_ever, "B", FOR_EVER),
    ]


def _cores(per_s: float, each_us: float) -> float:
    return per_s * each_us / 1e6 / FULL


def text(figure: Figure) -> str:
    """Write the value of a figure with two digits that count, and its unit."""
    value, prefixes = figure.value, iter(("", "k", "M", "G", "T", "P"))
    prefix = next(prefixes)
    while figure.unit.startswith("B") and value >= 1000:
        value, prefix = value / 1000, next(prefixes)
    digits = f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    return f"{digits} {prefix}{figure.unit}".strip()


def table(costs: Costs, day: Day, factors: tuple[int, ...] = (1, 10, 100, 1000)) -> Iterator[str]:
    """Write a table in Markdown: the day, and days of so many times its events and keys."""
    columns = [simulate(costs, day.times(factor)) for factor in factors]
    yield f"| part | | {' | '.join(f'{factor:,} times' for factor in factors)} | what takes more |"
    yield f"|---|---|{'---:|' * len(factors)}---|"
    for row in zip(*columns, strict=True):
        values = " | ".join(map(text, row))
        yield f"| {row[0].part} | {row[0].what} | {values} | {row[0].taken_by} |"


def read_costs(path: Path = COSTS) -> Costs:
    """Read what was measured last."""
    return Costs(**json.loads(path.read_text("utf-8")))


def write_costs(costs: Costs, path: Path = COSTS) -> None:
    """Keep what was measured."""
    rounded = {name: round(value, 1) for name, value in asdict(costs).items()}
    path.write_text(json.dumps(rounded, indent=2) + "\n", "utf-8")
