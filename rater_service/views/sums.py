"""How it is shown where the hourly sums were not those of the events."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.events.hourly_usage import Rebuilt, SumsDifference
from rater_service.hours import utc_text
from rater_service.rating.day_sums import DaySumDifference, RebuiltDays
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table


class SumsJson(TypedDict):
    """Hourly sums that were not those of the events; `differences` has the first of them."""

    dry_run: bool
    hours: int
    hours_differing: int
    difference_count: int
    differences: Sequence[SumsDifference]


class DaySumsJson(TypedDict):
    """Sums by the day that were not those of the rollups; `differences` has the first of them."""

    dry_run: bool
    days: int
    days_differing: int
    difference_count: int
    differences: Sequence[DaySumDifference]


SUMS = Kind("sums", SumsJson)
DAY_SUMS = Kind("day-sums", DaySumsJson)


def sums_json(rebuilt: Rebuilt, *, dry_run: bool) -> SumsJson:
    """Return what is written of hourly sums as JSON."""
    return {
        "dry_run": dry_run,
        "hours": rebuilt.hours,
        "hours_differing": rebuilt.hours_differing,
        "difference_count": rebuilt.difference_count,
        "differences": rebuilt.differences,
    }


def day_sums_json(rebuilt: RebuiltDays, *, dry_run: bool) -> DaySumsJson:
    """Return what is written of sums by the day as JSON."""
    return {
        "dry_run": dry_run,
        "days": rebuilt.days,
        "days_differing": rebuilt.days_differing,
        "difference_count": rebuilt.difference_count,
        "differences": rebuilt.differences,
    }


def show_rebuilt(rebuilt: Rebuilt, *, dry_run: bool) -> None:
    """Show which sums differed, and by what."""
    if not rebuilt.difference_count:
        write(f"{counted(rebuilt.hours, 'hour')}: all sums are those of the events")
        return
    fate = "dry run, nothing changed" if dry_run else "made again; rate these hours again"
    write_table(
        f"{counted(rebuilt.difference_count, 'sum')} in {rebuilt.hours_differing} of "
        f"{counted(rebuilt.hours, 'hour')} differed: {fate}",
        ("hour", "auth_id", "resource_id", "model_id", "base_model", "kind", "was", "events make"),
        map(_row, rebuilt.differences),
    )


def show_rebuilt_days(rebuilt: RebuiltDays, *, dry_run: bool) -> None:
    """Show which sums by the day differed, and by what."""
    if not rebuilt.difference_count:
        write(f"{counted(rebuilt.days, 'day')}: all sums are those of the rollups")
        return
    fate = "dry run, nothing changed" if dry_run else "made again"
    write_table(
        f"{counted(rebuilt.difference_count, 'sum')}, of {rebuilt.days_differing} of "
        f"{counted(rebuilt.days, 'day')}: {fate}",
        ("sum", "from", "auth_id", "resource_id", "model_id", "rollups were", "USD was", "rollups", "USD"),
        (tuple(_cells(difference)) for difference in rebuilt.differences),
    )


def _cells(difference: DaySumDifference) -> Iterator[str | int | Decimal | None]:
    yield difference.sum
    yield utc_text(difference.day)
    yield from (difference.auth_id, difference.resource_id, difference.model_id)
    yield from (difference.summed_rollups, difference.summed_cost, difference.rollups, difference.cost)


def _row(difference: SumsDifference) -> tuple[str | None, ...]:
    return (
        utc_text(difference.window_start),
        difference.auth_id,
        difference.resource_id,
        difference.model_id,
        difference.base_model,
        Words(_kind(difference)),
        Words(difference.summed),
        Words(difference.metered),
    )


def _kind(difference: SumsDifference) -> str:
    words = ["usage" if difference.usage_found else "no usage"]
    if difference.model_untrusted:
        words.append("untrusted model")
    words.append("completed" if difference.completed else "not completed")
    return ", ".join(words)
